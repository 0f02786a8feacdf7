"""The matrix equations of linear motion: exponential with covariance, Lyapunov, square root.

All are products and solves of matrices with derivatives that stay finite where eigenvalues repeat.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

# On a GPU the default product of float32 keeps 10 bits; squared over and over, none would be left.
dot = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


SWEEPS = 4  # of the balancing; two and three coordinates need one or two


def integral(rate, t):
    """int_0^t e^(-rate s) ds, also at rate = 0."""
    small = jnp.abs(rate * t) < jnp.finfo(t.dtype).eps
    safe = jnp.where(small, 1, rate)
    return jnp.where(small, t * (1 - rate * t / 2), -jnp.expm1(-safe * t) / safe)


def balancing(a):
    """Powers of two d, `(dim,)`, for which rows and columns of A_ij d_j / d_i are alike in size.

    Position and momentum may differ by twenty orders of magnitude, and so then do the entries that
    couple them: what is small beside the largest entry would count as rounding.

    Source: E. E. Osborne, J. ACM 7, 338 (1960).
    """
    size = jnp.abs(jax.lax.stop_gradient(a)) * (1 - jnp.eye(a.shape[0], dtype=a.dtype))
    # In logarithms, base 2: products of entries may leave the range of the numbers.
    logs = jnp.where(size > 0, jnp.log2(jnp.where(size > 0, size, 1)), -jnp.inf)

    def one(i, d):
        column = jnp.max(logs[:, i] - d)
        row = jnp.max(logs[i] + d)
        coupled = jnp.isfinite(row) & jnp.isfinite(column)
        return d.at[i].set(jnp.where(coupled, jnp.round(0.5 * (row - column)), d[i]))

    sweep = lambda _, d: jax.lax.fori_loop(0, a.shape[0], one, d)
    start = jnp.zeros(a.shape[0], a.dtype)
    return jnp.exp2(jax.lax.fori_loop(0, SWEEPS, sweep, start))


def doubled(drift, diffusion, t):
    """(e^(-A t), S(t)) by Taylor series over a small step and doubling."""
    double = t.dtype == jnp.float64
    order, most = (20, 64) if double else (12, 40)
    size = jnp.abs(jax.lax.stop_gradient(drift))
    size = jnp.maximum(jnp.max(jnp.sum(size, 0)), jnp.max(jnp.sum(size, 1)))
    # Beyond 2^most / |A| every mode that is not zero to rounding has decayed.
    t = jnp.minimum(t, 2.0**most / jnp.maximum(2 * size, jnp.finfo(t.dtype).tiny * 2.0**most))
    exponent = jnp.frexp(2 * size * jax.lax.stop_gradient(t))[1]
    count = jnp.clip(exponent, 0, most)  # |A| h <= 1/2
    h = t * jnp.ldexp(jnp.ones_like(t), -count)

    # E = e^(-A h) - I keeps the digits that I + E loses; both series share one product per term.
    def term(carry, k):
        total, last = carry
        product = -h * dot(drift, last)
        left, right = product[:, :dim], product[:, dim:]
        last = jnp.concatenate([left / k, (right + right.T) / (k + 1)], 1)
        return (total + last, last), None

    dim = drift.shape[0]
    start = jnp.concatenate([jnp.eye(dim, dtype=t.dtype), h * diffusion], 1)
    empty = jnp.concatenate([jnp.zeros((dim, dim), t.dtype), h * diffusion], 1)
    orders = jnp.arange(1, order + 1, dtype=t.dtype)
    (series, _), _ = jax.lax.scan(term, (empty, start), orders)

    def twice(change, covariance):
        decay = jnp.eye(dim, dtype=t.dtype) + change
        later = dot(dot(decay, covariance), decay.T)
        return 2 * change + dot(change, change), covariance + (later + later.T) / 2

    # Not a while loop, which has no reverse mode: the steps beyond `count` are skipped.
    @jax.checkpoint
    def step(carry, i):
        return jax.lax.cond(i < count, twice, lambda *same: same, *carry), None

    carry = (series[:, :dim], series[:, dim:])
    (change, covariance), _ = jax.lax.scan(step, carry, jnp.arange(most))
    return jnp.eye(dim, dtype=t.dtype) + change, covariance


def lyapunov(a, b):
    """The X of A X + X A^T = B, with derivatives of every order from the same equation."""

    def apply(a, x):
        return dot(a, x) + dot(x, a.T)

    def solve(a, b):
        x = smith(a, b)
        return x + smith(a, b - apply(a, x))

    return jax.lax.custom_linear_solve(
        partial(apply, a),
        b,
        solve=lambda _, b: solve(a, b),
        transpose_solve=lambda _, b: solve(a.T, b),
    )


def smith(a, b):
    """Squared Smith iteration: X = sum_k U^k W U^kT, U = (q + A)^-1 (q - A), doubled each time."""
    eye = jnp.eye(a.shape[0], dtype=a.dtype)
    q = jnp.exp(jnp.linalg.slogdet(a)[1] / a.shape[0])  # the geometric mean of |eigenvalues|
    both = jnp.linalg.solve(q * eye + a, jnp.concatenate([q * eye - a, b], 1))
    u, half = both[:, : a.shape[0]], both[:, a.shape[0] :]
    w = 2 * q * jnp.linalg.solve(q * eye + a, half.T).T
    tolerance = jnp.finfo(a.dtype).eps / 4

    def going(carry):
        _, x, change, i = carry
        return (i < 100) & (change > tolerance * jnp.max(jnp.abs(x)))

    def step(carry):
        u, x, _, i = carry
        more = dot(dot(u, x), u.T)
        return dot(u, u), x + more, jnp.max(jnp.abs(more)), i + 1

    infinite = jnp.asarray(jnp.inf, a.dtype)
    return jax.lax.while_loop(going, step, (u, w, infinite, 0))[1]


def root(covariance):
    """A factor L with L L^T = S, also for singular S: diag(s) C^(1/2), C the correlations.

    Taking the scales s out keeps variances apart that differ by more than the rounding, such as
    those of position and momentum after a short step.
    """
    variance = covariance if covariance.ndim == 1 else jnp.diagonal(covariance)
    free = variance > 0
    scale = jnp.where(free, jnp.sqrt(jnp.where(free, variance, 1)), 0)
    if covariance.ndim == 1:
        return scale
    inverse = jnp.where(free, 1 / jnp.where(free, scale, 1), 0)
    return scale[:, None] * symmetric_root(covariance * inverse[:, None] * inverse)


@jax.custom_jvp
def symmetric_root(c):
    """C^(1/2) of a positive semidefinite matrix; eigenvalues below the rounding count as zero."""
    values, vectors = root_pairs(c)
    return dot(vectors * values, vectors.T)


def root_pairs(c):
    values, vectors = jnp.linalg.eigh(c)
    least = c.shape[0] * jnp.finfo(c.dtype).eps * values[-1]
    positive = values > least
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1)), 0), vectors


@symmetric_root.defjvp
def symmetric_root_jvp(primals, tangents):
    """L dL + dL L = dC, a Lyapunov equation: finite at repeated eigenvalues, unlike eigenvectors'.

    Between two null directions the root has no derivative, and it is taken as zero.
    """
    (c,), (dc,) = primals, tangents
    factor = symmetric_root(c)

    def solve(_, b):
        values, vectors = root_pairs(c)
        sums = values[:, None] + values
        rotated = dot(dot(vectors.T, b), vectors)
        rotated = jnp.where(sums > 0, rotated / jnp.where(sums > 0, sums, 1), 0)
        return dot(dot(vectors, rotated), vectors.T)

    apply = lambda x: dot(factor, x) + dot(x, factor)
    return factor, jax.lax.custom_linear_solve(apply, dc, solve, symmetric=True)
