"""Two laws on the line, from samples or as densities: optimal transport by equal quantiles."""

from __future__ import annotations

import numbers
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._component import require, shown
from .._scale import power_of_two
from .samples import checked_points, checked_weights, normalized_weights
from .units import require_in_range, root_of_cost


def wasserstein(
    x: Float[ArrayLike, " n"],
    y: Float[ArrayLike, " m"],
    p: float = 2,
    *,
    x_weights: Float[ArrayLike, " n"] | None = None,
    y_weights: Float[ArrayLike, " m"] | None = None,
) -> Float[Array, ""]:
    r"""The Wasserstein distance W_p between two sets of samples on the line, exact.

        W_p = (int_0^1 |F_x^-1(u) - F_y^-1(u)|^p du)^(1/p),

    the coupling of equal quantiles. For p > 1 it has a kink where the two agree, and the
    derivative given there is zero: take `transport_cost` where a distance is minimized.

    **Arguments:** `x`, `(n,)` and `y`, `(m,)`, of any sizes, in any order; `p`, at least 1;
    weights, `(n,)` and `(m,)`, not negative, normalized here.

    **Returns:** a scalar, length. **Cost:** O((n + m) log(n + m)).

    **Raises:** ValueError for arrays that are not one-dimensional, NaN, or weights that do not fit.
    """
    scaled, unit = scaled_cost_samples(x, y, p, x_weights, y_weights)
    found = root_of_cost(scaled, p)
    return require_in_range("the distance", found, found * unit)


def transport_cost(
    x: Float[ArrayLike, " n"],
    y: Float[ArrayLike, " m"],
    p: float = 2,
    *,
    x_weights: Float[ArrayLike, " n"] | None = None,
    y_weights: Float[ArrayLike, " m"] | None = None,
) -> Float[Array, ""]:
    r"""The least mean |displacement|^p between two sets of samples on the line, W_p^p, exact.

    Without a root, and so smooth where the two agree. Two finite samples of one law cost about 1/n
    for p = 2.

    **Arguments:** `x`, `(n,)` and `y`, `(m,)`, of any sizes, in any order; `p`, at least 1;
    weights, `(n,)` and `(m,)`, not negative, normalized here.

    **Returns:** a scalar, length^p, differentiable in samples and weights. **Cost:**
    O((n + m) log(n + m)).

    **Raises:** ValueError for arrays that are not one-dimensional, NaN, or weights that do not fit.
    """
    scaled, unit = scaled_cost_samples(x, y, p, x_weights, y_weights)
    return require_in_range("the transport cost", scaled, scaled * unit**p)


def scaled_cost_samples(x, y, p, x_weights, y_weights):
    """W_p^p in units of a length near the largest number, and that length; checks its arguments."""
    require_power(p)
    x, y = checked_points("x", x, 1), checked_points("y", y, 1)
    a = checked_weights("x_weights", x_weights, x, "x")
    b = checked_weights("y_weights", y_weights, y, "y")
    unit = power_of_two(jnp.maximum(jnp.max(jnp.abs(x)), jnp.max(jnp.abs(y))))
    return coupled_samples(x / unit, y / unit, a, b, p), unit


@partial(jax.jit, static_argnames="p")
def coupled_samples(x, y, x_weights, y_weights, p):
    """W_p^p of the coupling of equal quantiles, of samples that were checked."""
    if x.shape == y.shape and x_weights is None and y_weights is None:
        return jnp.mean(jnp.abs(jnp.sort(x) - jnp.sort(y)) ** p)
    x, levels_x = ordered(x, x_weights)
    y, levels_y = ordered(y, y_weights)
    width, middle = common_levels(levels_x, levels_y)
    distance = x[cell_of(levels_x, middle)] - y[cell_of(levels_y, middle)]
    return jnp.sum(width * jnp.abs(distance) ** p)


def wasserstein_density(
    grid: Float[ArrayLike, " points"],
    density0: Float[ArrayLike, " points"],
    density1: Float[ArrayLike, " points"],
    p: float = 2,
) -> Float[Array, ""]:
    r"""The Wasserstein distance W_p between two densities on one grid of the line.

    The root of `transport_cost_density`. For p > 1 it has a kink where the two agree, and the
    derivative given there is zero.

    **Arguments:** `grid`, `(points,)`, increasing, spaced as you like; densities there,
    `(points,)`, not negative, normalized here by the trapezoidal rule; `p`, at least 1.

    **Returns:** a scalar, length. **Cost:** O(points log points).

    **Raises:** ValueError for shapes that differ, a grid that does not increase, or densities that
    are negative, not finite, or zero everywhere.
    """
    scaled, unit = scaled_cost_densities(grid, density0, density1, p)
    found = root_of_cost(scaled, p)
    return require_in_range("the distance", found, found * unit)


def transport_cost_density(
    grid: Float[ArrayLike, " points"],
    density0: Float[ArrayLike, " points"],
    density1: Float[ArrayLike, " points"],
    p: float = 2,
) -> Float[Array, ""]:
    r"""The least mean |displacement|^p between two densities on one grid of the line, W_p^p.

    Between grid points the cumulative distribution is taken as linear, and the integral over
    quantiles of the two inverses is then exact for p = 1, 2, 3: second order in the spacing.
    Regions without mass are crossed, as they should be.

    **Arguments:** `grid`, `(points,)`, increasing, spaced as you like; densities there,
    `(points,)`, not negative, normalized here by the trapezoidal rule; `p`, at least 1.

    **Returns:** a scalar, length^p. **Cost:** O(points log points).

    **Raises:** ValueError for shapes that differ, a grid that does not increase, or densities that
    are negative, not finite, or zero everywhere.
    """
    scaled, unit = scaled_cost_densities(grid, density0, density1, p)
    return require_in_range("the transport cost", scaled, scaled * unit**p)


def scaled_cost_densities(grid, density0, density1, p):
    """W_p^p in units of a length near that of the grid, and that length; checks its arguments."""
    require_power(p)
    x = checked_points("grid", grid, 1)
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
    return coupled_densities(x / unit, *both, p), unit


@partial(jax.jit, static_argnames="p")
def coupled_densities(grid, density0, density1, p):
    """W_p^p of the coupling of equal quantiles, of densities that were checked."""
    masses = [0.5 * (d[1:] + d[:-1]) * jnp.diff(grid) for d in (density0, density1)]
    masses = [mass / jnp.sum(mass) for mass in masses]
    width, middle = common_levels(*map(jnp.cumsum, masses))

    def inverse(mass, u):
        levels = jnp.cumsum(mass)
        cell = cell_of(levels, u)
        share = jnp.where(mass[cell] > 0, mass[cell], 1)
        within = jnp.clip((u - (levels[cell] - mass[cell])) / share, 0, 1)
        return grid[cell] + within * jnp.diff(grid)[cell]

    total = 0.0
    for node in (-(3**-0.5) / 2, 3**-0.5 / 2):  # Gauss-Legendre: both inverses are linear here
        u = middle + node * width
        total += 0.5 * jnp.abs(inverse(masses[0], u) - inverse(masses[1], u)) ** p
    return jnp.sum(width * total)


def ordered(x, weights):
    """The samples in order, and the cumulative weight up to and with each."""
    order = jnp.argsort(x)
    return x[order], jnp.cumsum(normalized_weights(weights, x)[order])


def common_levels(levels0, levels1):
    """The intervals of [0, 1] between the levels of both: their widths and middles."""
    levels = jnp.sort(jnp.concatenate([jnp.zeros(1, levels0.dtype), levels0, levels1]))
    return jnp.diff(levels), 0.5 * (levels[1:] + levels[:-1])


def cell_of(levels, u):
    """The index of the cell of a cumulative distribution in which the level u lies."""
    return jnp.clip(jnp.searchsorted(levels, u), 0, levels.shape[0] - 1)


def require_power(p) -> None:
    concrete = isinstance(p, numbers.Real) and not isinstance(p, bool)
    if not concrete or not 1 <= float(p) <= 100:  # static: it decides the program
        raise ValueError(f"p = {shown(p)}: expected a number from 1 to 100, such as 2")
