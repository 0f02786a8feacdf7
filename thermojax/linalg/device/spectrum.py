"""The ends of a spectrum from a few products: how fast a device relaxes, how fine its steps are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .operator import NORMAL_EQUATIONS, Cures

FIRST = 32  # products before the first look
MOST = 512
SETTLED = 0.1  # of the lowest Ritz value: what its residual may be


class Spectrum(NamedTuple):
    """The smallest and the largest eigenvalue of A as far as `products` products tell them.

    Both are inside of the spectrum. `residual`: |A v - low v|, within which there is an eigenvalue.
    `values`, `weights`: the density of eigenvalues as a few points of it, whose weights sum to one.
    """

    low: float
    high: float
    residual: float
    products: int
    values: np.ndarray
    weights: np.ndarray

    @property
    def condition(self) -> float:
        return self.high / self.low


def spectrum_of(
    operator: lx.AbstractLinearOperator, key: PRNGKeyArray, cures: Cures = NORMAL_EQUATIONS
) -> Spectrum:
    """The spectrum of a symmetric positive definite operator by the method of Lanczos.

    Products go on until the lowest Ritz value has settled, or there are as many as dimensions.

    **Raises:** ValueError, with the cure, for an operator that is not symmetric, that has an
    eigenvalue below zero, or one that cannot be told from zero.

    **Cost:** 32 to 512 products, and as many vectors. Source: G. Golub, C. Van Loan, Matrix
    Computations, section 10.1.
    """
    dim = operator.in_size()
    require_symmetric(operator, key, cures)
    dtype = operator.in_structure().dtype
    count, size = 2, min(FIRST, dim)
    while True:
        values, weights, residual = map(np.asarray, lanczos(operator, key, size))
        count += size
        low, high = float(values.min()), float(values.max())
        residual = float(residual)
        rounding = rounding_of(low, high, dim, dtype)
        settled = residual <= SETTLED * low
        if low < -rounding or size >= min(dim, MOST) or (settled and low > rounding):
            break
        size = min(2 * size, dim, MOST)
    require_positive_spectrum(low, high, dim, dtype, cures)
    return Spectrum(low, high, residual, count, values, weights)


def rounding_of(low: float, high: float, dim: int, dtype: Any) -> float:
    """The size below which an eigenvalue cannot be told from zero."""
    return 10 * float(jnp.finfo(dtype).eps) * max(abs(low), abs(high)) * math.sqrt(dim)


def require_positive_spectrum(
    low: float, high: float, dim: int, dtype: Any, cures: Cures = NORMAL_EQUATIONS
) -> None:
    """**Raises:** ValueError where the lowest of values between eigenvalues is not above zero."""
    rounding = rounding_of(low, high, dim, dtype)
    if low < -rounding:
        raise ValueError(
            f"A is indefinite (it has an eigenvalue of at most {low:.3g}): its device has no "
            f"equilibrium; {cures.sign}"
        )
    if low <= rounding:
        raise ValueError(
            f"A is singular to rounding (eigenvalues from {low:.2g} to {high:.2g}): its device "
            "never comes to rest; add a multiple of the identity, or remove what is dependent"
        )


def require_symmetric(
    operator: lx.AbstractLinearOperator, key: PRNGKeyArray, cures: Cures = NORMAL_EQUATIONS
) -> None:
    """**Raises:** ValueError where two products tell A from A^T, or are not finite."""
    dim, eps = operator.in_size(), float(jnp.finfo(operator.in_structure().dtype).eps)
    asymmetry = float(skewness(operator, key))
    if math.isnan(asymmetry):
        raise ValueError("A x is not finite: expected the product of a finite matrix")
    if asymmetry > 100 * math.sqrt(dim) * eps:
        raise ValueError(
            f"A is not symmetric (u . A v and v . A u differ by {asymmetry:.2g} of |A|): a passive "
            f"device has symmetric couplings; {cures.asymmetry}"
        )


@eqx.filter_jit
def skewness(operator, key):
    """|u . A v - v . A u| / (|A u| |v|) for two random vectors: 2 products."""
    dtype, dim = operator.in_structure().dtype, operator.in_size()
    u, v = jax.random.normal(key, (2, dim), dtype)
    au, av = operator.mv(u), operator.mv(v)
    scale = jnp.linalg.norm(au) * jnp.linalg.norm(v)
    return jnp.abs(u @ av - v @ au) / jnp.where(scale > 0, scale, 1)


@eqx.filter_jit
def lanczos(operator, key, size: int):
    """The Ritz values of `size` products from a random vector, with what they tell.

    **Returns:** values, ascending; their weights in the vector, which sum to 1; the residual of the
    lowest.
    """
    dtype, dim = operator.in_structure().dtype, operator.in_size()
    first = jax.random.normal(jax.random.fold_in(key, 1), (dim,), dtype)
    values, vectors, residuals = ritz(operator, first, key, size)
    return values, (first @ vectors) ** 2 / jnp.sum(first**2), residuals[0]


def ritz(operator, first: Float[Array, " dim"], key, size: int):
    """Ritz values, ascending, their vectors `(dim, size)` and residuals |A v - value v|.

    Vectors are made orthogonal to all before, twice: rounding makes copies of eigenvalues else.
    Where they span all that A makes of the first, a random vector begins anew.
    """
    dim, dtype = len(first), first.dtype
    basis = jnp.zeros((size + 1, dim), dtype).at[0].set(first / jnp.linalg.norm(first))
    least = 10 * dim**0.5 * jnp.finfo(dtype).eps

    def beside(basis, w):
        for _ in range(2):
            w = w - (basis @ w) @ basis
        return w, jnp.linalg.norm(w)

    def step(basis, i):
        image = operator.mv(basis[i])
        w, length = beside(basis, image)
        another = jax.random.normal(jax.random.fold_in(key, i + 2), (dim,), dtype)
        fresh, other = beside(basis, another)
        more = length > least * jnp.linalg.norm(image)
        w = jnp.where(more, w / jnp.where(more, length, 1), fresh / jnp.where(other > 0, other, 1))
        return basis.at[i + 1].set(w), (basis[i] @ image, jnp.where(more, length, 0))

    basis, (along, off) = jax.lax.scan(step, basis, jnp.arange(size))
    tridiagonal = jnp.diag(along) + jnp.diag(off[:-1], 1) + jnp.diag(off[:-1], -1)
    values, vectors = jnp.linalg.eigh(tridiagonal)
    return values, basis[:-1].T @ vectors, jnp.abs(off[-1] * vectors[-1])
