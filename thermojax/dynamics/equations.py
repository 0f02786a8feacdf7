"""What the energy and the drive of one sample are made of, as far as speed depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import JaxprEqn, subjaxprs
from jaxtyping import Array, PyTree

from ..system import AbstractSystem

LIBRARY = ("conv_general_dilated", "triangular_solve", "fft")  # calls of one, path after path


class Traits(NamedTuple):
    """`products`: it multiplies by a matrix, or the like. `forward`: it has forward mode, too."""

    products: bool = False
    forward: bool = False


def traits_of(system: AbstractSystem, control, position: PyTree[Array]) -> Traits:
    """Found by tracing both once; the position is that of a whole batch."""
    found = list(equations(system, control, position))
    # A derivative of its own for reverse mode only refuses forward mode.
    forward = not any(equation.primitive.name.startswith("custom_vjp") for equation in found)
    return Traits(any(map(multiplies, found)), forward)


def multiplies(equation: Any) -> bool:
    name = equation.primitive.name
    vectors = all(x.aval.ndim <= 1 for x in equation.invars)
    return name in LIBRARY or (name == "dot_general" and not vectors)


def equations(system: AbstractSystem, control, position: PyTree[Array]) -> Iterator[JaxprEqn]:
    """All that the energy and the drive of one sample compute."""
    sample = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), position)

    def motion(x):
        driven = None if system.drive is None else system.drive(x, control)
        return system.potential.energy(x, control), driven

    def within(jaxpr):
        yield from jaxpr.eqns
        for inner in subjaxprs(jaxpr):
            yield from within(inner)

    yield from within(jax.make_jaxpr(motion)(sample).jaxpr)
