"""A likelihood taken apart: the terms that are known, and those that are a function alone."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Float

from ...potential import (
    AbstractLikelihood,
    AbstractPotential,
    LinearRegression,
    LogisticRegression,
    PoissonRegression,
    RandomEffects,
    Scaled,
    SoftmaxRegression,
    Sum,
)


def terms_in(potential: AbstractPotential) -> Iterator[AbstractPotential]:
    """The terms of sums, sums within them and multiples of them too."""
    if isinstance(potential, Sum):
        for term in potential.terms:
            yield from terms_in(term)
    elif isinstance(potential, Scaled):
        yield from terms_in(potential.potential)
    else:
        yield potential


def potentials_in(potential: AbstractPotential) -> Iterator[AbstractPotential]:
    """A potential, and all that it holds in its fields, at any depth."""
    yield potential
    below = lambda node: node is not potential and isinstance(node, AbstractPotential)
    for node in jax.tree.leaves(potential, is_leaf=below):
        if isinstance(node, AbstractPotential):
            yield from potentials_in(node)


def known_terms(likelihood: AbstractPotential) -> list[AbstractLikelihood]:
    """The terms of a likelihood whose data can be looked at."""
    return [term for term in terms_in(likelihood) if isinstance(term, AbstractLikelihood)]


def is_known(likelihood: AbstractPotential) -> bool:
    """Whether all of its terms are."""
    return all(isinstance(term, AbstractLikelihood) for term in terms_in(likelihood))


def table_of(term: AbstractLikelihood) -> Float[np.ndarray, "rows dim"] | None:
    """The features that weights multiply, `(rows, dim)`; None where there are no such."""
    if isinstance(term, LogisticRegression):
        return double(term.signs)[:, None] * double(term.signed_features)
    if isinstance(term, LinearRegression | PoissonRegression | RandomEffects | SoftmaxRegression):
        return double(term.features)
    return None


def double(values) -> np.ndarray:
    return np.asarray(values, np.float64)


def listed(numbers, most: int = 5) -> str:
    """Numbers in words: `1`, `1 and 4`, `1, 2, 3, 4, 5 and 12 more`."""
    names = [str(n) for n in numbers]
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
