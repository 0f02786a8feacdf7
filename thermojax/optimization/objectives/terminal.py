"""Costs of where the run ends: how far from a target law, and how many on the wrong side."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._arguments import choice, real, whole
from ..._component import Numbers, finite, floating, positive_number
from ...distances import kl_gaussian, transport_cost
from ...distribution import Densities, Moments
from ...estimate import Estimate
from ...potential.gaussian import require_definite
from ...sampling import Result
from ...system import Overdamped
from .objective import AbstractObjective, exact, function_of_means


class TerminalError(AbstractObjective):
    r"""The departure of the final positions from a target law: a scalar, zero where they agree.

    How the end is treated is a choice: left out, the end state is free; added with a weight, as in
    `tj.MeanWork() + 10.0 * tj.TerminalError((0.0, 1.0))`, it is penalized; with a large weight (in
    an exact picture) it is fixed. At a fixed weight w the end misses by about 1/w.

    - `"moments"`: z^T z + tr (Z - 1)^2, mean and covariance in units of the target's: with
      S* = L L^T, z = L^-1 (m - m*) and Z = L^-1 S L^-T. Target: (mean, covariance).
    - `"kl"`: KL of the Gaussian of the final moments from the target (mean, covariance).
    - `"transport_cost"`: W_2^2 of one coordinate from samples `(n,)`.
    - `"mmd"`: the squared maximum mean discrepancy from samples `(n, dim)`, with the kernel
      exp(-r^2 / 2 bandwidth^2).

    From a batch, the first two are biased upward in proportion to 1/batch, and so is the third; the
    last is not.

    **Arguments:** `target`: a pair (mean, covariance), numbers or `(dim,)` and `(dim, dim)`, or an
    array of samples; `measure`; `bandwidth`, a length (for `"mmd"`).

    **Raises:** ValueError for a measure that does not exist, a target of the wrong kind, or an
    exact Gaussian law asked for a distance to samples.

    **Source:** A. Gretton et al., J. Mach. Learn. Res. 13, 723 (2012), for the discrepancy.
    """

    target: tuple[Array, Array] | Array
    measure: Literal["moments", "kl", "transport_cost", "mmd"] = eqx.field(static=True)
    bandwidth: Float[Array, ""]

    def __init__(
        self,
        target,
        measure: Literal["moments", "kl", "transport_cost", "mmd"] = "moments",
        bandwidth: Numbers = 1.0,
    ):
        self.measure = choice("measure", measure, ("moments", "kl", "transport_cost", "mmd"))
        self.bandwidth = positive_number("bandwidth", bandwidth, "length")
        if measure in ("moments", "kl"):
            if not isinstance(target, tuple) or len(target) != 2:
                raise ValueError(f"measure = {measure!r} needs target=(mean, covariance)")
            mean = jnp.atleast_1d(finite("target mean", target[0]))
            covariance = floating(target[1], "target covariance")
            if covariance.ndim < 2:
                if covariance.shape not in ((), mean.shape) or mean.ndim != 1:
                    raise ValueError(
                        f"target has a mean of shape {mean.shape} and a covariance of shape "
                        f"{covariance.shape}: expected (dim,), and a number, (dim,) or (dim, dim)"
                    )
                covariance = jnp.diag(jnp.broadcast_to(covariance, mean.shape))
            require_definite("target covariance", covariance)
            if mean.ndim != 1 or covariance.shape != mean.shape * 2:
                raise ValueError(
                    f"target has a mean of shape {mean.shape} and a covariance of shape "
                    f"{covariance.shape}: expected (dim,) and (dim, dim)"
                )
            self.target = mean, covariance
        else:
            if isinstance(target, tuple):
                raise ValueError(f"measure = {measure!r} needs target=samples, an array")
            samples = finite("target", target)
            if samples.ndim < 1 or len(samples) < 2:
                raise ValueError(f"target has shape {samples.shape}: expected two samples or more")
            self.target = samples.reshape(len(samples), -1)
            if measure == "transport_cost" and self.target.shape[1] != 1:
                raise ValueError(
                    f"target has shape {samples.shape}: 'transport_cost' takes one coordinate, "
                    "(n,); use measure='mmd'"
                )

    def __call__(self, system, result):
        if isinstance(self.target, tuple):
            return self.from_moments(system, result, *self.target)
        x, weights = final_points(result)
        if x.shape[1] != self.target.shape[1]:
            raise ValueError(
                f"target has {self.target.shape[1]} coordinates, positions have {x.shape[1]}"
            )
        if self.measure == "transport_cost":
            value, push = transported(x[:, 0], weights, self.target[:, 0])
        else:
            value, push = discrepancy(x, weights, self.target, self.bandwidth, result)
        if not isinstance(result, Result):
            return exact(value)
        spread = result.mean(jax.lax.stop_gradient(push))
        return Estimate(value, spread.error, spread.count)

    def from_moments(self, system, result, mean, covariance) -> Estimate:
        dim = len(mean)

        def distance(raw):
            """The cost from the moments <y> and <y y^T> of y = x - target mean."""
            shift, second = raw[:dim], raw[dim:].reshape(dim, dim)
            spread = second - jnp.outer(shift, shift)
            if self.measure == "kl":
                return kl_gaussian(shift, spread, jnp.zeros(dim), covariance)
            root = jnp.linalg.cholesky(covariance)
            white = lambda b: jax.scipy.linalg.solve_triangular(root, b, lower=True)
            ratio = white(white(spread).T) - jnp.eye(dim)
            return jnp.sum(white(shift) ** 2) + jnp.sum(ratio**2)

        if isinstance(result, Moments):
            n = result.mean.shape[1] // (1 if isinstance(system, Overdamped) else 2)
            require_dimension(n, dim)
            shift = result.mean[-1, :dim] - mean
            second = result.covariance[-1, :dim, :dim] + jnp.outer(shift, shift)
            return exact(distance(jnp.concatenate([shift, second.ravel()])))
        x, weights = final_points(result)
        require_dimension(x.shape[1], dim)
        y = x - mean
        values = jnp.concatenate([y, (y[:, :, None] * y[:, None, :]).reshape(len(y), -1)], axis=1)
        if isinstance(result, Result):
            return function_of_means(result, values, distance)
        return exact(distance(weights @ values))


class ErasureError(AbstractObjective):
    r"""The probability to end on the wrong side, of one coordinate: a scalar.

    From paths it is a count, and a count has no gradient along a path: train it on a grid, in the
    Gaussian picture, with `gradient=tj.ScoreFunction()`, or with `gradient=tj.Smoothed(...)`, which
    sets `width`.

    **Arguments:** `side`: where the bit belongs, `"above"` or `"below"` the `boundary` (a length);
    `coordinate`: which one, of the flattened position; `width`: None for the count, else a length:
    the step is then sigmoid((x - boundary) / width).

    **Raises:** ValueError for another side, or a width that is not positive.
    """

    side: Literal["above", "below"] = eqx.field(static=True)
    boundary: Float[Array, ""]
    coordinate: int = eqx.field(static=True)
    width: Float[Array, ""] | None

    def __init__(
        self,
        side: Literal["above", "below"],
        boundary: Numbers = 0.0,
        coordinate: int = 0,
        width: Numbers | None = None,
    ):
        self.side = choice("side", side, ("above", "below"))
        self.boundary = floating(real("boundary", boundary, "a length"))
        self.coordinate = whole("coordinate", coordinate, 0)
        self.width = None if width is None else positive_number("width", width, "length")

    def of(self, runs):
        return self(runs.system, runs.counted if self.width is None else runs.forward)

    def counts(self):
        return self.width is None

    def smoothed(self, width):
        return ErasureError(self.side, self.boundary, self.coordinate, width)

    def __call__(self, system, result):
        sign = -1.0 if self.side == "above" else 1.0
        if isinstance(result, Moments):
            mean = result.mean[-1, self.coordinate] - self.boundary
            deviation = jnp.sqrt(result.covariance[-1, self.coordinate, self.coordinate])
            return exact(jax.scipy.stats.norm.cdf(sign * mean / deviation))
        x, weights = final_points(result)
        beyond = sign * (x[:, self.coordinate] - self.boundary)
        if isinstance(result, Densities):  # a cell that the boundary cuts counts in part
            share = beyond / result.grid.widths[self.coordinate] + 0.5
            return exact(jnp.sum(weights * jnp.clip(share, 0, 1)))
        if self.width is None:
            return result.mean((beyond > 0).astype(beyond.dtype))
        return result.mean(jax.nn.sigmoid(beyond / self.width))


def require_dimension(found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(f"target has {wanted} coordinates, positions have {found}")


def final_points(result) -> tuple[Float[Array, "n dim"], Float[Array, " n"]]:
    """The final positions, flattened, and weights of sum one: of paths, or of cells of a grid."""
    if isinstance(result, Densities):
        grid = result.grid
        return grid.samples.reshape(-1, grid.dim), result.final.ravel() * result.volume
    if isinstance(result, Moments):
        raise ValueError("an exact Gaussian law has no samples: use measure='moments' or 'kl'")
    leaves = jax.tree.leaves(result.position)
    x = jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    return x, result.weights / jnp.sum(result.weights)


def transported(x, weights, target):
    """W_2^2 to samples, and its derivative in the weight of each point (up to a constant).

    That is Kantorovich's potential, whose slope is 2 (x - T(x)), T the optimal map.
    """
    value = transport_cost(x, target, 2, x_weights=weights)
    order = jnp.argsort(x)
    levels = jnp.cumsum(weights[order]) - weights[order] / 2
    goal = jnp.sort(target)[jnp.clip((levels * len(target)).astype(int), 0, len(target) - 1)]
    slope = 2 * (x[order] - goal)
    rise = jnp.diff(x[order]) * (slope[1:] + slope[:-1]) / 2
    climb = jnp.concatenate([jnp.zeros(1, x.dtype), jnp.cumsum(rise)])
    return value, jnp.zeros_like(x).at[order].set(climb)


def discrepancy(x, weights, target, bandwidth, result):
    """The squared maximum mean discrepancy, without bias, and twice its witness function."""

    def kernel(a, b):
        square = jnp.sum((a[:, None] - b[None]) ** 2, axis=-1)
        return jnp.exp(-square / (2 * bandwidth**2))

    m = len(target)
    own, cross = kernel(x, x) @ weights, jnp.mean(kernel(x, target), axis=1)
    among = (jnp.sum(kernel(target, target)) - m) / (m * (m - 1))
    twins = jnp.sum(weights**2) if isinstance(result, Result) else 0.0  # pairs of one with itself
    inner = (weights @ own - twins) / (1 - twins)
    return inner - 2 * weights @ cross + among, 2 * (own - cross)
