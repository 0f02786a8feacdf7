"""What the energy and the drive of one sample are made of, as far as speed depends on it."""

from __future__ import annotations

from collections.abc import Iterator

import jax
from jax.extend.core import JaxprEqn, subjaxprs
from jaxtyping import Array, PyTree

from .terms import NoiseTerm

LIBRARY = ("conv_general_dilated", "triangular_solve", "fft")  # calls of one, path after path


def has_matrix_products(position: PyTree[Array], noise: NoiseTerm) -> bool:
    """Whether the energy or the drive of one sample multiplies by a matrix, or the like."""

    def multiplies(equation) -> bool:
        sizes = [x.aval.ndim for x in equation.invars]
        name = equation.primitive.name
        return name in LIBRARY or (name == "dot_general" and max(sizes) > 1)

    return any(map(multiplies, equations(position, noise)))


def goes_forward(position: PyTree[Array], noise: NoiseTerm) -> bool:
    """Whether nothing in the energy has a derivative of its own for reverse mode only."""
    names = (equation.primitive.name for equation in equations(position, noise))
    return not any(name.startswith("custom_vjp") for name in names)


def equations(position: PyTree[Array], noise: NoiseTerm) -> Iterator[JaxprEqn]:
    """All that the energy and the drive of one sample compute."""
    system, control = noise.system, noise.table.kick[0]
    sample = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), position)

    def motion(x):
        driven = None if system.drive is None else system.drive(x, control)
        return system.potential.energy(x, control), driven

    def within(jaxpr):
        yield from jaxpr.eqns
        for inner in subjaxprs(jaxpr):
            yield from within(inner)

    yield from within(jax.make_jaxpr(motion)(sample).jaxpr)
