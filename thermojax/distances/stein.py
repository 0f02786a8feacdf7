"""The kernel Stein discrepancy: a sample against a density whose normalizer nobody knows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import whole
from .._keys import check_key
from .._tree import product
from .samples import checked_points, checked_weights, normalized_weights


def stein_discrepancy(
    x: Float[ArrayLike, "n dim"],
    score: Float[ArrayLike, "n dim"],
    weights: Float[ArrayLike, " n"] | None = None,
) -> Float[Array, ""]:
    r"""The squared kernel Stein discrepancy of a weighted sample from a density p.

        S^2 = sum_ij w_i w_j k_p(x_i, x_j),   k_p = s.s' k + s.grad' k + s'.grad k + tr grad grad' k

    with s = grad ln p and the inverse multiquadric kernel k = (1 + |x - x'|^2 / dim)^(-1/2), each
    coordinate in units of its standard deviation in the sample. Its mean is of order 1/n where the
    sample is of p. It sees where the sample is, not where it should be as well: a mode that is
    missed as a whole, far from all samples, leaves it nearly as it is.

    **Arguments:** `x`, `(n, dim)`; `score`, `(n, dim)`, grad ln p at each x; `weights`, `(n,)`.

    **Returns:** a scalar, without a unit. **Cost:** n^2 dim, and memory for n^2 numbers.

    **Raises:** ValueError for shapes that do not fit or numbers that are not finite.

    **Source:** J. Gorham, L. Mackey, ICML (2017), for the kernel; Q. Liu, J. Lee, M. Jordan, ICML
    (2016); K. Chwialkowski, H. Strathmann, A. Gretton, ICML (2016).
    """
    x, score, w = checked(x, score, weights)
    return w @ stein_kernel(x, score, w) @ w


def stein_p_value(
    x: Float[ArrayLike, "n dim"],
    score: Float[ArrayLike, "n dim"],
    key: PRNGKeyArray,
    weights: Float[ArrayLike, " n"] | None = None,
    replicas: int = 1000,
) -> Float[Array, ""]:
    r"""The probability that a sample of p itself has as large a kernel Stein discrepancy.

    By the wild bootstrap: the discrepancy of the sample, whose terms w_i k_p(x_i, .) have the mean
    zero under p, is compared with those of the same terms with random signs.

    **Arguments:** as `stein_discrepancy`, of independent samples; `key`, for the signs; `replicas`.

    **Returns:** a scalar, (1 + the number of replicas that are as large) / (1 + replicas).

    **Raises:** as `stein_discrepancy`.
    """
    check_key(key)
    x, score, w = checked(x, score, weights)
    replicas = whole("replicas", replicas)
    matrix = w[:, None] * stein_kernel(x, score, w) * w
    signs = jax.random.rademacher(key, (replicas, x.shape[0]), x.dtype)
    others = jnp.sum(product(signs, matrix) * signs, axis=1)
    return (1 + jnp.sum(others >= jnp.sum(matrix))) / (1 + replicas)


def checked(x, score, weights):
    x, score = checked_points("x", x, 2), checked_points("score", score, 2)
    if x.shape != score.shape:
        raise ValueError(f"score has shape {score.shape}: expected {x.shape}, that of x")
    weights = checked_weights("weights", weights, x, "x")
    return x, score, normalized_weights(weights, x)


def stein_kernel(x, score, w) -> Float[Array, "n n"]:
    """k_p of all pairs."""
    dim = x.shape[1]
    mean = w @ x
    unit = jnp.sqrt(w @ (x - mean) ** 2)
    unit = jnp.where(unit > 0, unit, 1) * jnp.sqrt(jnp.asarray(dim, x.dtype))
    x, score = (x - mean) / unit, score * unit
    norms = jnp.sum(x**2, axis=1)
    square = jnp.maximum(norms[:, None] + norms - 2 * product(x, x.T), 0)
    along = jnp.sum(score * x, axis=1)  # s . x
    cross = product(score, x.T)  # s . x'
    # (s - s') . (x - x')
    turned = along[:, None] - cross - cross.T + along
    q = 1 / (1 + square)
    root = jnp.sqrt(q)
    return root * (product(score, score.T) + q * (turned + dim - 3 * square * q))
