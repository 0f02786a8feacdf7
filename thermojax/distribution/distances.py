"""How far apart two distributions are: Gaussians in closed form, samples, densities on a grid.

The Wasserstein distance is what a transport bound needs, T Sigma >= gamma W_2^2 / tau, so every
function here returns it to its p-th power, the SQUARE for p = 2: without a root, and smooth where
the two agree. Lengths are those of the positions, divergences are in nats.
"""

from __future__ import annotations

import numbers
import warnings
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._component import Numbers, floating, known, positive_number, require, shown
from ..potential.gaussian import require_definite


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
    found = kl(*checked_pair(mean0, covariance0, mean1, covariance1, singular=False))
    return held("the divergence", found, found)


@jax.jit
def kl(m0, s0, m1, s1):
    shift, s0, s1 = aligned(m0, s0, m1, s1)
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


def wasserstein2_gaussian(
    mean0: Numbers, covariance0: Numbers, mean1: Numbers, covariance1: Numbers
) -> Float[Array, ""]:
    r"""The SQUARED 2-Wasserstein distance between two Gaussians.

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
    return squared_distance_in_words(
        *checked_pair(mean0, covariance0, mean1, covariance1, singular=True)
    )


def squared_distance_in_words(m0, s0, m1, s1):
    """`squared_distance` in units in which it is not lost, and what it is in the given ones."""
    unit = power_of_two(
        jnp.maximum(
            jnp.max(jnp.abs(m1 - m0)), jnp.sqrt(jnp.maximum(jnp.max(abs(s0)), jnp.max(abs(s1))))
        )
    )
    found = squared_distance(m0 / unit, s0 / unit / unit, m1 / unit, s1 / unit / unit)
    return held("the squared distance", found, found * unit * unit)


def power_of_two(size):
    """The power of two next to a size, by which division is exact; 1 for a size of 0."""
    size = jax.lax.stop_gradient(jnp.asarray(size))
    return jnp.where(size > 0, jnp.exp2(jnp.round(jnp.log2(jnp.where(size > 0, size, 1)))), 1)


def held(name: str, scaled, value):
    """`value`, after a check that its dtype tells it from nothing and from infinity.

    **Raises:** ValueError where `scaled`, the same in other units, is held and `value` is not.
    """
    both = known(scaled), known(value)
    if both[0] is None or both[1] is None:
        return value
    tiny = np.finfo(both[1].dtype).tiny
    lost = (both[0] > tiny) & (both[1] < tiny)
    if not np.all(np.isfinite(both[1])) or np.any(lost):
        raise ValueError(
            f"{name} is {both[1]}, out of the range of {both[1].dtype.name}: take other units of "
            "length, or float64"
        )
    return value


@jax.jit
def squared_distance(m0, s0, m1, s1):
    shift, s0, s1 = aligned(m0, s0, m1, s1)
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
    values = jnp.where(values > rounding(matrix) * values[-1], values, 0)
    return (vectors * jnp.sqrt(values)) @ vectors.T


@square_root.defjvp
def _(primals, tangents):
    root = square_root(*primals)
    return root, lyapunov(root, *tangents)


def lyapunov(root: Float[Array, "dim dim"], change: Float[Array, "dim dim"]):
    """The X with root X + X root = change, zero between null directions of a symmetric root."""
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(root))
    pairs = values[:, None] + values[None, :]
    regular = pairs > jnp.sqrt(rounding(root)) * values[-1]
    inverse = jnp.where(regular, 1 / jnp.where(regular, pairs, 1), 0)
    solve = lambda _, c: vectors @ (inverse * (vectors.T @ c @ vectors)) @ vectors.T
    # Its derivatives are solves again, never those of eigenvectors, which may not exist.
    return jax.lax.custom_linear_solve(lambda x: root @ x + x @ root, change, solve, symmetric=True)


def rounding(matrix) -> float:
    """The share of the largest eigenvalue below which eigenvalues are only rounding."""
    return 4 * matrix.shape[0] * float(jnp.finfo(matrix.dtype).eps)


def checked_pair(mean0, covariance0, mean1, covariance1, singular: bool):
    """What describes two Gaussians, as floats, of shapes that fit."""
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


def aligned(m0, s0, m1, s1):
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
    """`require_definite`, which lets zero eigenvalues pass where `singular`."""
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


def wasserstein(
    x: Float[ArrayLike, " n"],
    y: Float[ArrayLike, " m"],
    p: float = 2,
    *,
    x_weights: Float[ArrayLike, " n"] | None = None,
    y_weights: Float[ArrayLike, " m"] | None = None,
) -> Float[Array, ""]:
    r"""W_p^p between two sets of samples on the line, exact: the SQUARED distance for p = 2.

        W_p^p = int_0^1 |F_x^-1(u) - F_y^-1(u)|^p du,

    the coupling of equal quantiles. Two finite samples of one law are about 1/n apart.

    **Arguments:** `x`, `(n,)` and `y`, `(m,)`, of any sizes, in any order; `p`, at least 1;
    weights, `(n,)` and `(m,)`, not negative, normalized here.

    **Returns:** a scalar, length^p, differentiable in samples and weights. **Cost:**
    O((n + m) log(n + m)).

    **Raises:** ValueError for arrays that are not one-dimensional, NaN, or weights that do not fit.
    """
    require_power(p)
    x, y = points("x", x, 1), points("y", y, 1)
    a = checked_weights("x_weights", x_weights, x, "x")
    b = checked_weights("y_weights", y_weights, y, "y")
    unit = power_of_two(jnp.maximum(jnp.max(jnp.abs(x)), jnp.max(jnp.abs(y))))
    found = coupled_samples(x / unit, y / unit, a, b, p)
    return held("the distance", found, found * unit**p)


@partial(jax.jit, static_argnames="p")
def coupled_samples(x, y, x_weights, y_weights, p):
    if x.shape == y.shape and x_weights is None and y_weights is None:
        return jnp.mean(jnp.abs(jnp.sort(x) - jnp.sort(y)) ** p)
    x, levels_x = quantiles(x, x_weights)
    y, levels_y = quantiles(y, y_weights)
    width, middle = merged(levels_x, levels_y)
    distance = x[place(levels_x, middle)] - y[place(levels_y, middle)]
    return jnp.sum(width * jnp.abs(distance) ** p)


def wasserstein_density(
    grid: Float[ArrayLike, " points"],
    density0: Float[ArrayLike, " points"],
    density1: Float[ArrayLike, " points"],
    p: float = 2,
) -> Float[Array, ""]:
    r"""W_p^p between two densities on one grid of the line: the SQUARED distance for p = 2.

    Between grid points the cumulative distribution is taken as linear, and the integral over
    quantiles of the two inverses is then exact for p = 1, 2, 3: second order in the spacing.
    Regions without mass are crossed, as they should be.

    **Arguments:** `grid`, `(points,)`, increasing, spaced as you like; densities there,
    `(points,)`, not negative, normalized here by the trapezoidal rule; `p`, at least 1.

    **Returns:** a scalar, length^p. **Cost:** O(points log points).

    **Raises:** ValueError for shapes that differ, a grid that does not increase, or densities that
    are negative, not finite, or zero everywhere.
    """
    require_power(p)
    x = points("grid", grid, 1)
    require(
        "grid", x, lambda g: g.size > 1 and np.all(np.diff(g) > 0), "two increasing points or more"
    )
    for name, density in (("density0", density0), ("density1", density1)):
        if density is None:
            raise ValueError(f"{name} is None: expected a density on the grid, (points,)")
    both = [("density0", density0), ("density1", density1)]
    both = [checked_weights(name, d, x, "grid") for name, d in both]
    # Their sizes drop out: densities of lengths of 1e-20 are as high as 1e20.
    both = [None if d is None else d / power_of_two(jnp.max(d)) for d in both]
    unit = power_of_two(x[-1] - x[0])
    found = coupled_densities(x / unit, *both, p)
    return held("the distance", found, found * unit**p)


@partial(jax.jit, static_argnames="p")
def coupled_densities(grid, density0, density1, p):
    masses = [0.5 * (d[1:] + d[:-1]) * jnp.diff(grid) for d in (density0, density1)]
    masses = [mass / jnp.sum(mass) for mass in masses]
    width, middle = merged(*map(jnp.cumsum, masses))

    def inverse(mass, u):
        levels = jnp.cumsum(mass)
        cell = place(levels, u)
        inside = jnp.where(mass[cell] > 0, mass[cell], 1)
        share = jnp.clip((u - (levels[cell] - mass[cell])) / inside, 0, 1)
        return grid[cell] + share * jnp.diff(grid)[cell]

    total = 0.0
    for node in (-(3**-0.5) / 2, 3**-0.5 / 2):  # Gauss-Legendre: both inverses are linear here
        u = middle + node * width
        total += 0.5 * jnp.abs(inverse(masses[0], u) - inverse(masses[1], u)) ** p
    return jnp.sum(width * total)


def quantiles(x, weights):
    """The samples in order, and the cumulative share up to and with each."""
    order = jnp.argsort(x)
    return x[order], jnp.cumsum(shares(weights, x)[order])


def merged(levels0, levels1):
    """The intervals of [0, 1] between the levels of both: their widths and middles."""
    levels = jnp.sort(jnp.concatenate([jnp.zeros(1, levels0.dtype), levels0, levels1]))
    return jnp.diff(levels), 0.5 * (levels[1:] + levels[:-1])


def place(levels, u):
    """Which step of a cumulative distribution holds the level u."""
    return jnp.clip(jnp.searchsorted(levels, u), 0, levels.shape[0] - 1)


def sinkhorn(
    x: Float[ArrayLike, "n dim"],
    y: Float[ArrayLike, "m dim"],
    *,
    epsilon: float | None = None,
    x_weights: Float[ArrayLike, " n"] | None = None,
    y_weights: Float[ArrayLike, " m"] | None = None,
) -> Float[Array, ""]:
    r"""An estimate of the SQUARED 2-Wasserstein distance between samples in any dimension.

    The debiased Sinkhorn divergence S(x, y) = OT(x, y) - OT(x, x)/2 - OT(y, y)/2, where OT is the
    transport cost |x - y|^2 with an entropic penalty `epsilon`; zero where x is y, and W_2^2 as
    epsilon -> 0. On top of that, n samples of one law stand apart by about n^(-2/dim).

    **Arguments:** `x`, `(n, dim)` and `y`, `(m, dim)`; `epsilon`, length^2, by default 0.05
    standard deviations of |x_i - y_j|^2; weights, `(n,)` and `(m,)`, not negative, normalized here.

    **Returns:** a scalar, length^2, differentiable in the samples. **Cost:** O(n m) in memory, and
    per iteration. **Warns:** where the iterations did not converge.

    **Raises:** ValueError for shapes that do not fit, or NaN; ImportError without ott-jax.

    **Source:** A. Genevay, G. Peyre, M. Cuturi, AISTATS 2018; J. Feydy et al., AISTATS 2019.
    """
    x, y = points("x", x, 2), points("y", y, 2)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has shape {x.shape}, y {y.shape}: expected points of one dimension")
    if epsilon is not None:
        positive_number("epsilon", epsilon, "regularization, length^2")
    transport = import_ott()
    a = checked_weights("x_weights", x_weights, x, "x")
    b = checked_weights("y_weights", y_weights, y, "y")
    unit = power_of_two(jnp.maximum(jnp.max(jnp.abs(x)), jnp.max(jnp.abs(y))))
    regular = None if epsilon is None else jnp.asarray(epsilon) / unit / unit
    scaled, converged, used = debiased(transport.sinkdiv, x / unit, y / unit, a, b, regular)
    divergence = held("the squared distance", scaled, scaled * unit * unit)
    if (all_did := known(converged)) is not None and not all_did:
        warnings.warn(
            "the Sinkhorn iterations did not converge: take the distance as rough, or raise "
            f"epsilon (now {float(used * unit * unit):.3g})",
            stacklevel=2,
        )
    return divergence


@eqx.filter_jit
def debiased(sinkdiv, x, y, a, b, epsilon):
    """The divergence, whether all three problems converged, and the epsilon that was used."""
    a, b = shares(a, x), shares(b, y)
    x, y, a, b = (array.astype(jnp.result_type(x, y)) for array in (x, y, a, b))
    tolerance = {"threshold": 1e-4}  # on the marginals; the value is far closer
    divergence, solved = sinkdiv(x, y, epsilon=epsilon, a=a, b=b, solve_kwargs=tolerance)
    return divergence, jnp.all(jnp.stack(solved.converged)), solved.geoms[0].epsilon


def import_ott():
    """`ott.tools.sinkhorn_divergence`, or the sentence that says how to get it."""
    try:
        with warnings.catch_warnings():
            # ott-jax loads jaxopt, which says at import that nobody maintains it any more.
            warnings.filterwarnings("ignore", "JAXopt is no longer", DeprecationWarning)
            from ott.tools import sinkhorn_divergence
    except ImportError as error:
        raise ImportError(
            "tj.sinkhorn needs ott-jax: pip install 'thermojax[transport]'"
        ) from error
    return sinkhorn_divergence


def require_power(p) -> None:
    concrete = isinstance(p, numbers.Real) and not isinstance(p, bool)
    if not concrete or not 1 <= float(p) <= 100:  # static: it decides the program
        raise ValueError(f"p = {shown(p)}: expected a number from 1 to 100, such as 2")


def points(name: str, values, ndim: int):
    """Samples as floats of this many axes, finite, at least one of them."""
    values = floating(values, name)
    if values.ndim != ndim or values.size == 0:
        wanted = "(n,), samples on the line" if ndim == 1 else "(n, dim), one sample a row"
        raise ValueError(f"{name} has shape {values.shape}: expected {wanted}")
    require(name, values, np.isfinite, "finite numbers")
    return values


def checked_weights(name: str, weights, x, of: str):
    """Weights of samples or points, as floats, `(n,)`; None stays None."""
    if weights is None:
        return None
    weights, n = floating(weights, name), x.shape[0]
    if weights.shape != (n,):
        raise ValueError(f"{name} has shape {weights.shape}: expected {(n,)}, as many as {of}")
    fits = lambda w: np.all(np.isfinite(w) & (w >= 0)) and np.any(w > 0)
    require(name, weights, fits, "finite numbers, none negative, not all zero")
    return weights


def shares(weights, x):
    """Weights of sum one, equal ones for None."""
    if weights is None:
        return jnp.full(x.shape[0], 1 / x.shape[0], x.dtype)
    return weights / jnp.sum(weights)
