r"""Directions of the weights along which no datum becomes less probable.

Along such a direction v the likelihood stays above a positive number however far one goes: it has
no maximum, and a posterior with a flat prior cannot be normalized. For likelihoods that are concave
in the weights the converse holds as well, and where there is none, such a posterior is proper
(Albert and Anderson, Biometrika 71, 1 (1984); Speckman, Lee and Sun, Biometrika 96, 983 (2009)).
They are

    { v != 0 : G v >= 0, E v = 0 },

with a row of G for each sign that a datum asks for, and one of E for each value that it fixes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from ...potential import (
    AbstractLikelihood,
    GaussianLikelihood,
    LinearRegression,
    LogisticRegression,
    PoissonRegression,
    SoftmaxRegression,
)
from .columns import DEPENDENT
from .terms import double

NEWTON_STEPS = 30
CERTAIN = 30.0  # margins that no maximum of a likelihood has: the search has gone off
LARGEST_PROGRAM = 2_000_000  # numbers of a linear program
TIME_LIMIT = 60.0  # s, of the linear program
LARGEST_CONE = 20_000_000  # numbers of G


class Cone(NamedTuple):
    """G `(signs, dim)` and E `(values, dim)` of the directions that data leave open."""

    signs: Float[np.ndarray, "signs dim"]
    values: Float[np.ndarray, "values dim"]


def cone_of(term: AbstractLikelihood) -> Cone | None:
    """The open directions of a likelihood; None where they are not known."""
    none = lambda table: np.zeros((0, table.shape[1]))
    if isinstance(term, LogisticRegression):
        table = double(term.signed_features)
        return Cone(table, none(table))
    if isinstance(term, SoftmaxRegression):
        rows, classes = term.one_hot.shape
        if rows * (classes - 1) * term.features.shape[1] * classes > LARGEST_CONE:
            return None
        # of every other class: a_i . (v of the own class - v of the other)
        own = double(term.one_hot)
        others = np.eye(classes)[None] - own[:, None]  # (rows, classes, classes)
        others = others[own == 0].reshape(rows, classes - 1, classes)
        table = -np.einsum("id,ijc->ijdc", double(term.features), others)
        table = table.reshape(rows * (classes - 1), -1)
        return Cone(table, none(table))
    if isinstance(term, PoissonRegression):
        table, seen = double(term.features), double(term.counts) > 0
        return Cone(-table[~seen], table[seen])
    if isinstance(term, LinearRegression):
        table = double(term.features)
        return Cone(none(table), table)
    if isinstance(term, GaussianLikelihood):
        operator = term.white_operator
        table = np.eye(term.white_y.size) if operator is None else double(operator)
        return Cone(none(table), table)
    return None


class OpenDirections(NamedTuple):
    """What data leave open: `flat` directions, along which no probability changes, their number;
    and whether along others probabilities only rise: of `all` data, of `some`, of `none`, or
    `unknown` where that took too long."""

    flat: int
    rising: Literal["all", "some", "none", "unknown"]


def open_directions(cone: Cone) -> OpenDirections:
    """What the directions of a cone are like; see the module."""
    signs, values = normalized(cone.signs), normalized(cone.values)
    dim = signs.shape[1]
    size = np.maximum(np.max(np.abs(np.concatenate([signs, values])), axis=0, initial=0), 1e-300)
    signs, values = signs / size, values / size
    free = null_space(values)
    signs = signs @ free
    flat = free.shape[1] - rank(signs)
    if signs.size == 0 or flat == dim:
        return OpenDirections(flat, "none")
    return OpenDirections(flat, rising(signs))


def rising(signs: Float[np.ndarray, "signs dim"]) -> Literal["all", "some", "none", "unknown"]:
    """Whether some v has G v >= 0 and not G v = 0, and if so, whether in all rows G v > 0.

    Newton's method for the least sum of ln(1 + exp(-G v)) ends in a proof: where it converges, the
    probabilities p > 0 with p G = 0 that it finds exclude any such v; where it comes to G v > 0,
    that is one. A linear program decides the rest.
    """
    v = np.zeros(signs.shape[1])
    for _ in range(NEWTON_STEPS):
        margin = signs @ v
        if np.min(margin) > 1e-6 * np.max(np.abs(margin)) > 0:
            return "all"
        if np.max(np.abs(margin)) > CERTAIN:
            break
        p = 1 / (1 + np.exp(margin))
        slope = p @ signs
        bend = (signs.T * (p * (1 - p))) @ signs
        bend[np.diag_indices_from(bend)] += 1e-10 * np.trace(bend) / len(v)  # flat directions
        step = np.linalg.solve(bend, slope)
        if slope @ step < 1e-14 * len(signs):
            return "none"
        v = v + step
    return by_linear_program(signs)


def by_linear_program(signs: np.ndarray) -> Literal["all", "some", "none", "unknown"]:
    """The largest sum of G v over G v >= 0 in a box, and then the largest of its smallest row."""
    from scipy.optimize import linprog

    rows, dim = signs.shape
    if signs.size > LARGEST_PROGRAM:
        return "unknown"
    options = {"time_limit": TIME_LIMIT}
    box = [(-1.0, 1.0)] * dim
    total = linprog(-signs.sum(axis=0), -signs, np.zeros(rows), bounds=box, options=options)
    if total.status != 0:
        return "unknown"
    if -total.fun <= 1e-7 * rows:
        return "none"
    least = np.concatenate([-signs, np.ones((rows, 1))], axis=1)
    goal = np.concatenate([np.zeros(dim), [-1.0]])
    most = linprog(goal, least, np.zeros(rows), bounds=[*box, (None, 1.0)], options=options)
    return "all" if most.status == 0 and -most.fun > 1e-9 else "some"


def normalized(rows: np.ndarray) -> np.ndarray:
    """The rows that are not zero, each in units of its largest number."""
    largest = np.max(np.abs(rows), axis=1, initial=0)
    return rows[largest > 0] / largest[largest > 0, None]


def spectrum(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of the products of columns."""
    return np.linalg.eigh(rows.T @ rows)


def rank(rows: np.ndarray) -> int:
    values = spectrum(rows)[0]
    return int(np.sum(values > DEPENDENT * np.max(values, initial=0)))


def null_space(rows: np.ndarray) -> np.ndarray:
    """Directions that the rows do not see, as columns; all of them where there is no row."""
    if rows.size == 0:
        return np.eye(rows.shape[1])
    values, vectors = spectrum(rows)
    return vectors[:, values <= DEPENDENT * values[-1]]
