"""Two Gaussians: divergence and optimal transport in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import Numbers, floating, known, require
from .._scale import power_of_two
from ..potential.gaussian import require_definite
from .units import require_in_range, root_of_cost


def kl_gaussian(
    mean0: Numbers, covariance0: Numbers, mean1: Numbers, covariance1: Numbers
) -> Float[Array, ""]:
    r"""KL(N_0 || N_1) in nats, from the second Gaussian to the first.

        KL = (tr D - ln det(1 + D) + (m_1 - m_0)^T S_1^-1 (m_1 - m_0)) / 2,
        D = L^-1 (S_0 - S_1) L^-T, S_1 = L L^T,

    written with the difference of the covariances so that a small divergence keeps its digits.

    **Arguments:** means, a number or `(dim,)`; covariances, a number, `(dim,)` for a diagonal, or
    a symmetric positive definite matrix `(dim, dim)`.

    **Returns:** a scalar. **Cost:** O(dim^3), or O(dim) for diagonals.

    **Raises:** ValueError for shapes that do not fit, NaN, or covariances that are not positive
    definite.
    """
    found = kl_between(*checked_pair(mean0, covariance0, mean1, covariance1, singular=False))
    return require_in_range("the divergence", found, found)


@jax.jit
def kl_between(m0, s0, m1, s1):
    """KL(N_0 || N_1) of Gaussians that were checked."""
    shift, s0, s1 = aligned_pair(m0, s0, m1, s1)
    if s1.ndim == 1:
        x = (s0 - s1) / s1
        return 0.5 * jnp.sum(x - jnp.log1p(x) + (shift / jnp.sqrt(s1)) ** 2)
    # In widths of the second: no product leaves the range of the numbers, whatever their units.
    width = jnp.sqrt(jnp.diagonal(s1))
    shift = shift / width
    s0, s1 = (s / width / width[:, None] for s in (s0, s1))
    root = jnp.linalg.cholesky(s1)
    white = lambda b: jax.scipy.linalg.solve_triangular(root, b, lower=True)
    return 0.5 * (excess(white(white(s0 - s1).T)) + jnp.sum(white(shift) ** 2))


@jax.custom_jvp
def excess(d: Float[Array, "dim dim"]) -> Float[Array, ""]:
    """tr D - ln det(1 + D) of a symmetric D, without the cancellation where D is small."""
    x = jnp.linalg.eigvalsh(d)
    return jnp.sum(x - jnp.log1p(x))


@excess.defjvp
def _(primals, tangents):
    # d = tr(D (1 + D)^-1 dD): no eigenvectors, whose derivatives fail where eigenvalues repeat.
    (d,), (change,) = primals, tangents
    return excess(d), jnp.trace(jnp.linalg.solve(jnp.eye(d.shape[0]) + d, d @ change))


def wasserstein_gaussian(
    mean0: Numbers, covariance0: Numbers, mean1: Numbers, covariance1: Numbers
) -> Float[Array, ""]:
    r"""The 2-Wasserstein distance W_2 between two Gaussians, the root of `transport_cost_gaussian`.

    It has a kink where the two agree, and the derivative given there is zero: take the cost where
    a distance is minimized.

    **Arguments:** means, a number or `(dim,)`; covariances, a number, `(dim,)` for a diagonal, or
    a symmetric positive semidefinite matrix `(dim, dim)`; zero for a point.

    **Returns:** a scalar, length. **Cost:** O(dim^3), or O(dim) for diagonals.

    **Raises:** ValueError for shapes that do not fit, NaN, or indefinite covariances.
    """
    pair = checked_pair(mean0, covariance0, mean1, covariance1, singular=True)
    scaled, unit = scaled_cost_gaussian(*pair)
    found = root_of_cost(scaled, 2)
    return require_in_range("the distance", found, found * unit)


def transport_cost_gaussian(
    mean0: Numbers, covariance0: Numbers, mean1: Numbers, covariance1: Numbers
) -> Float[Array, ""]:
    r"""The least mean square displacement between two Gaussians, W_2^2.

        W_2^2 = |m_0 - m_1|^2 + tr S_0 + tr S_1 - 2 tr (S_0^1/2 S_1 S_0^1/2)^1/2

    Differentiable to any order where the covariances are equal, share eigenvalues, or are
    singular. Along a null direction of a covariance, where the true derivative may be infinite,
    the one given here is zero.

    **Arguments:** means, a number or `(dim,)`; covariances, a number, `(dim,)` for a diagonal, or
    a symmetric positive semidefinite matrix `(dim, dim)`; zero for a point.

    **Returns:** a scalar, length^2. **Cost:** O(dim^3), or O(dim) for diagonals.

    **Raises:** ValueError for shapes that do not fit, NaN, or indefinite covariances.

    **Source:** D. C. Dowson, B. V. Landau, J. Multivar. Anal. 12, 450 (1982).
    """
    return cost_between(*checked_pair(mean0, covariance0, mean1, covariance1, singular=True))


def cost_between(m0, s0, m1, s1):
    """W_2^2 between Gaussians that were checked. **Raises:** ValueError where no float holds it."""
    scaled, unit = scaled_cost_gaussian(m0, s0, m1, s1)
    return require_in_range("the transport cost", scaled, scaled * unit * unit)


def scaled_cost_gaussian(m0, s0, m1, s1):
    """W_2^2 in units of a length near the size of the two, and that length."""
    widths = jnp.sqrt(jnp.maximum(jnp.max(jnp.abs(s0)), jnp.max(jnp.abs(s1))))
    unit = power_of_two(jnp.maximum(jnp.max(jnp.abs(m1 - m0)), widths))
    return squared_distance(m0 / unit, s0 / unit / unit, m1 / unit, s1 / unit / unit), unit


@jax.jit
def squared_distance(m0, s0, m1, s1):
    """W_2^2 of Gaussians in units in which no square leaves the range of the numbers."""
    shift, s0, s1 = aligned_pair(m0, s0, m1, s1)
    if s0.ndim == 1:
        a, b = (jnp.where(s > 0, jnp.sqrt(jnp.where(s > 0, s, 1)), 0) for s in (s0, s1))
        return jnp.sum(shift**2) + jnp.sum((a - b) ** 2)
    a, b = square_root(s0), square_root(s1)
    product = a @ b
    spread = jnp.sum(a**2) + jnp.sum(b**2) - 2 * jnp.trace(square_root(product @ product.T))
    # The same number as a sum of squares, |A - U B|^2 with U the orthogonal factor of A B: exact
    # to rounding, and never negative, also where the covariances nearly agree. The derivatives
    # are those of the formula above, since U depends on both.
    u, _, v = jnp.linalg.svd(jax.lax.stop_gradient(product))
    value = jax.lax.stop_gradient(jnp.sum((a - (u @ v) @ b) ** 2))
    return jnp.sum(shift**2) + value + (spread - jax.lax.stop_gradient(spread))


@jax.custom_jvp
def square_root(matrix: Float[Array, "dim dim"]) -> Float[Array, "dim dim"]:
    """The symmetric root of a positive semidefinite matrix; rounding counts as zero."""
    values, vectors = jnp.linalg.eigh(matrix)
    # The root would make 1e-8 out of the 1e-16 that rounding leaves of a zero.
    values = jnp.where(values > relative_rounding(matrix) * values[-1], values, 0)
    return (vectors * jnp.sqrt(values)) @ vectors.T


@square_root.defjvp
def _(primals, tangents):
    root = square_root(*primals)
    return root, root_tangent(root, *tangents)


def root_tangent(root: Float[Array, "dim dim"], change: Float[Array, "dim dim"]):
    """The X with root X + X root = change, zero between null directions of a symmetric root."""
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(root))
    pairs = values[:, None] + values[None, :]
    regular = pairs > jnp.sqrt(relative_rounding(root)) * values[-1]
    inverse = jnp.where(regular, 1 / jnp.where(regular, pairs, 1), 0)
    solve = lambda _, c: vectors @ (inverse * (vectors.T @ c @ vectors)) @ vectors.T
    # Its derivatives are solves again, never those of eigenvectors, which may not exist.
    return jax.lax.custom_linear_solve(lambda x: root @ x + x @ root, change, solve, symmetric=True)


def relative_rounding(matrix) -> float:
    """The share of the largest eigenvalue below which eigenvalues are only rounding."""
    return 4 * matrix.shape[0] * float(jnp.finfo(matrix.dtype).eps)


def checked_pair(mean0, covariance0, mean1, covariance1, singular: bool):
    """The means and covariances of two Gaussians as floats, after a check that they fit."""
    given = {"mean0": mean0, "covariance0": covariance0, "mean1": mean1, "covariance1": covariance1}
    given = {name: floating(value, name) for name, value in given.items()}
    for name, value in given.items():
        if name.startswith("covariance"):
            require_covariance(name, value, singular)
            continue
        if value.ndim > 1:
            raise ValueError(f"{name} has shape {value.shape}: expected a number or (dim,)")
        require(name, value, np.isfinite, "finite numbers")
    if len({value.shape[0] for value in given.values() if value.ndim}) > 1:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in given.items())
        raise ValueError(f"shapes {shapes}: expected one dimension for both Gaussians")
    return given.values()


def aligned_pair(m0, s0, m1, s1):
    """m_1 - m_0, `(dim,)`, and both covariances, `(dim,)` if they are diagonal, else matrices."""
    dim = max(value.shape[0] if value.ndim else 1 for value in (m0, s0, m1, s1))
    dtype = jnp.result_type(m0, s0, m1, s1)
    full = max(s0.ndim, s1.ndim) == 2

    def widened(s):
        s = s.astype(dtype)
        if s.ndim == 2:
            return 0.5 * (s + s.T)  # and so the derivatives are symmetric too
        s = jnp.broadcast_to(s, (dim,))
        return jnp.diag(s) if full else s

    return jnp.broadcast_to(m1 - m0, (dim,)).astype(dtype), widened(s0), widened(s1)


def require_covariance(name: str, covariance, singular: bool) -> None:
    """Refuse what is no covariance; eigenvalues of zero pass where `singular`."""
    value = known(covariance)
    if value is not None and singular:
        if value.ndim < 2:
            require(name, value, lambda v: np.isfinite(v) & (v >= 0), "finite, and not negative")
            return
        if value.ndim == 2 and value.shape[0] == value.shape[1]:
            # What rounding may leave of a zero eigenvalue is lifted above zero.
            rounding = 10 * len(value) * np.finfo(value.dtype).eps * np.max(np.abs(value))
            covariance = value + (rounding or 1.0) * np.eye(len(value))
    require_definite(name, covariance)
