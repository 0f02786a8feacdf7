"""The rates of a drift that need not be symmetric, from a few products, by Arnoldi's method."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import PRNGKeyArray

from ..device.spectrum import FIRST, MOST, SETTLED

UNSTABLE = (
    "a device with the drift -A x has no stationary law; check the sign of A, or shift it by a "
    "multiple of the identity"
)


class Rates(NamedTuple):
    """The slowest rate and the norm of a drift, as far as `products` products tell.

    - `slow`: the smallest real part of an eigenvalue. `norm`: the largest |A x| / |x|.
    """

    slow: float
    norm: float
    products: int


def rates_of(operator: lx.AbstractLinearOperator, key: PRNGKeyArray) -> Rates:
    """The rates of a stable operator of which nothing but products is known.

    Products go on until the lowest Ritz value has settled, or there are as many as dimensions.

    **Raises:** ValueError for an operator with an eigenvalue whose real part is not above zero.

    **Cost:** 32 to 512 products, and as many vectors. Source: Y. Saad, Numerical Methods for Large
    Eigenvalue Problems, section 6.2.
    """
    dim, count = operator.in_size(), 0
    eps = float(jnp.finfo(operator.in_structure().dtype).eps)
    size = min(FIRST, dim)
    while True:
        hessenberg = np.asarray(arnoldi(operator, key, size), np.float64)
        count += size
        if not np.all(np.isfinite(hessenberg)):
            raise ValueError("A x is not finite: expected the product of a finite matrix")
        values, vectors = np.linalg.eig(hessenberg[:-1])
        lowest = np.argmin(np.real(values))
        slow = float(np.real(values[lowest]))
        residual = float(np.abs(hessenberg[-1, -1] * vectors[-1, lowest]))
        whole = size >= dim
        if whole or size >= MOST or residual <= SETTLED * abs(slow):
            break
        size = min(2 * size, dim, MOST)
    norm = float(np.linalg.norm(hessenberg, 2))
    require_slow(values[lowest], norm, eps, dim, bool(whole or residual <= SETTLED * abs(slow)))
    return Rates(slow, norm, count)


def rates_of_matrix(matrix: np.ndarray) -> Rates:
    """Rates of a known matrix, by its eigenvalues and singular values."""
    values = np.linalg.eigvals(matrix)
    lowest, norm = values[np.argmin(np.real(values))], float(np.linalg.norm(matrix, 2))
    require_slow(lowest, norm, float(np.finfo(matrix.dtype).eps), len(matrix), True)
    return Rates(float(lowest.real), norm, 0)


def require_slow(lowest: complex, norm: float, eps: float, dim: int, settled: bool) -> None:
    """**Raises:** ValueError for a drift that does not come to rest."""
    if abs(lowest) <= 10 * eps * norm * dim:
        raise ValueError(
            f"A is singular to rounding (an eigenvalue of {abs(lowest):.2g} beside a norm of "
            f"{norm:.2g}): its device never comes to rest; add a multiple of the identity"
        )
    if lowest.real <= 10 * eps * norm * dim:  # a part that may be rounding is no rate
        shown = f"{lowest.real:.3g}" if lowest.imag == 0 else f"{lowest:.3g}"
        if not settled:
            raise ValueError(
                f"A may be unstable (after {MOST} products it seems to have an eigenvalue near "
                f"{shown}): {UNSTABLE}; method='exact', with its entries, tells for certain"
            )
        raise ValueError(
            f"A has the eigenvalue {shown}, expected real parts above zero, beyond rounding: "
            f"{UNSTABLE}"
        )


@eqx.filter_jit
def arnoldi(operator, key, size: int):
    """The Hessenberg matrix `(size + 1, size)` of A in a basis of `size` products.

    Where the vectors span all that the operator can reach, a random direction goes on.
    """
    dtype, dim = operator.in_structure().dtype, operator.in_size()
    draw = lambda i: jax.random.normal(jax.random.fold_in(key, i), (dim,), dtype)
    first = draw(0)
    basis = jnp.zeros((size + 1, dim), dtype).at[0].set(first / jnp.linalg.norm(first))

    def orthogonal(basis, w):
        along = jnp.zeros(size + 1, dtype)
        for _ in range(2):
            part = basis @ w
            w, along = w - part @ basis, along + part
        return w, along

    def step(basis, i):
        product = operator.mv(basis[i])
        w, along = orthogonal(basis, product)
        length = jnp.linalg.norm(w)
        ended = length <= 10 * jnp.finfo(dtype).eps * jnp.linalg.norm(product)
        other, _ = orthogonal(basis, draw(i + 1))
        new = jnp.where(ended, other / jnp.linalg.norm(other), w / jnp.where(ended, 1, length))
        column = along.at[i + 1].set(jnp.where(ended, 0, length))
        return basis.at[i + 1].set(new), column

    _, columns = jax.lax.scan(step, basis, jnp.arange(size))
    return columns.T
