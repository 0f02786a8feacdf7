"""The matrix of a problem as the device knows it: by its product with a vector."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from ..._component import floating, known, shown
from ...potential import AbstractPotential


class Cures(NamedTuple):
    """The cures, by problem, of a matrix that is not square, not symmetric, or indefinite."""

    shape: str
    asymmetry: str
    sign: str


NORMAL_EQUATIONS = Cures(*["solve the normal equations, A^T A x = A^T b, in its place"] * 3)
OF_PROBLEM = {
    "inv": Cures(*["take (A^T A)^-1 A^T, from the inverse of A^T A, in its place"] * 3),
    "logdet": Cures(
        "no other has a determinant", *["ln |det A| is half of the logdet of A^T A"] * 2
    ),
    "box_qp": Cures(
        "the function is x . A x / 2 - b . x",
        "take (A + A^T) / 2, of which x . A x is the same",
        "the function is not convex; add a multiple of the identity",
    ),
}
REAL = "expected real numbers; a Hermitian system of n is a real one of 2n, [[Re, -Im], [Im, Re]]"


def operator_of(
    A: Any, b: Array | None = None, cure: str = NORMAL_EQUATIONS.shape
) -> lx.AbstractLinearOperator:
    """A matrix, a lineax operator or a function x -> A x as a lineax operator.

    `cure`: what to do with a matrix that is not square.

    **Raises:** ValueError for what is none of them, a shape that is not square or does not fit b,
    complex numbers, NaN, and a function without b, which would say the dimension.
    """
    operator: Any
    if isinstance(A, lx.AbstractLinearOperator):
        operator = A
        taken = A.in_structure()
        if not isinstance(taken, jax.ShapeDtypeStruct) or len(taken.shape) != 1:
            raise ValueError("A takes a pytree: expected an operator on one vector, (dim,)")
        if A.out_structure().shape != taken.shape:
            raise ValueError(
                f"A has {A.out_size()} rows and {A.in_size()} columns: expected a square matrix; "
                f"{cure}"
            )
        if jnp.issubdtype(taken.dtype, jnp.complexfloating):
            raise ValueError(f"A is complex: {REAL}")
    elif callable(A) and not isinstance(A, type):
        if b is None:
            raise ValueError("A is a function: pass a lineax operator, which knows its dimension")
        structure = jax.ShapeDtypeStruct(b.shape, b.dtype)
        try:
            got = jax.eval_shape(A, structure)
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            raise ValueError(
                "A(x) asks for the numbers in x, as NumPy does: expected a function that is "
                "written with jax.numpy, or calls another by jax.pure_callback"
            ) from error
        if got != structure:
            raise ValueError(f"A(b) is {shown(got)}: expected what b is, {shown(structure)}")
        operator = lx.FunctionLinearOperator(A, structure)
    else:
        operator = lx.MatrixLinearOperator(square("A", A, cure))
    if b is not None and b.shape != (operator.in_size(),):
        raise ValueError(
            f"b has shape {b.shape}: expected ({operator.in_size()},), one number per row of A"
        )
    return operator


def require_known(**values: Any) -> None:
    """**Raises:** ValueError for what is being traced: the device is chosen by numbers.

    So it is with numbers inside of somebody's jit, where all that is computed is traced.
    """
    for name, value in values.items():
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            raise ValueError(
                f"{name} is being traced by jit, vmap or grad: the device, its steps and its bill "
                "are chosen by numbers; call this outside"
            )
    if isinstance(jnp.zeros(()), Tracer):
        raise ValueError(
            "tj.linalg is called inside of jit, vmap or grad: the device, its steps and its bill "
            "are chosen by numbers; call it outside"
        )


def entries(
    operator: lx.AbstractLinearOperator, problem: str, has_steps: bool = True
) -> Float[Array, "dim dim"]:
    """The matrix itself; `has_steps`: whether the problem has a method that needs products alone.

    **Raises:** ValueError where its product is all that is known of it.
    """
    if isinstance(operator, lx.MatrixLinearOperator):
        return operator.matrix
    if not has_steps:
        raise ValueError(
            f"A is known by its products alone, and {problem} decomposes a matrix: pass its "
            "entries, (dim, dim)"
        )
    raise ValueError(
        f"A is known by its products alone, and method='exact' of {problem} decomposes a matrix: "
        "pass its entries, or method='steps'"
    )


def square(name: str, value: Any, cure: str = NORMAL_EQUATIONS.shape) -> Float[Array, "dim dim"]:
    """A square matrix of finite real numbers. **Raises:** ValueError, which names it."""
    if any(map(is_complex, jax.tree.leaves(value))):
        raise ValueError(f"{name} is complex: {REAL}")
    matrix = floating(value, name)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        then = f"; {cure}" if matrix.ndim == 2 and matrix.size else ""
        raise ValueError(
            f"{name} has shape {matrix.shape}: expected a square matrix, (dim, dim){then}"
        )
    numbers = known(matrix)
    if numbers is not None and not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} is not finite: expected numbers, found NaN or infinity")
    return matrix


def is_complex(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return isinstance(value, complex)
    return jnp.issubdtype(dtype, jnp.complexfloating)


class Springs(AbstractPotential):
    """U = x . A x / 2 - b . x for a symmetric A of which nothing but products is known.

    Its force is b - A x, by one product; its equilibrium is N(A^-1 b, kT A^-1).
    """

    operator: lx.AbstractLinearOperator
    b: Float[Array, " dim"]

    def energy(self, x, control):
        return half_form(self.operator, x) - jnp.sum(self.b * x)

    def template(self, control):
        return jnp.zeros_like(self.b)


@eqx.filter_custom_jvp
def half_form(operator: lx.AbstractLinearOperator, x):
    """x . A x / 2 of a symmetric A: its derivative by x is A x, without one of the product."""
    return 0.5 * jnp.sum(x * operator.mv(x))


@half_form.def_jvp
def _half_form_jvp(primals, tangents):
    (operator, x), (of_operator, of_x) = primals, tangents
    ax = operator.mv(x)
    change = jnp.zeros_like(ax[0]) if of_x is None else jnp.sum(ax * of_x)
    if jax.tree.leaves(of_operator):
        _, moved = eqx.filter_jvp(lambda a: a.mv(x), (operator,), (of_operator,))
        change = change + 0.5 * jnp.sum(x * moved)
    return 0.5 * jnp.sum(x * ax), change
