"""The laws between which a system is moved: Gaussian, a density on the line, samples."""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import Numbers, finite, floating, require
from .._scale import power_of_two
from ..distances import sinkhorn_divergence, transport_cost
from ..distances.gaussian import cost_between, require_covariance
from ..distances.line import cell_of, common_levels
from ..distances.samples import checked_points
from ..distribution.linear import Quadratic, in_given_units
from ..distribution.moments import gaussian_entropy
from ..sampling import template_of
from ..system import AbstractSystem
from .line import LineEnergy


class AbstractLaw(eqx.Module):
    """The distribution of a position: the cost to move it to another, and its free energy."""

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """The number of coordinates."""

    @abc.abstractmethod
    def transport_cost(self, other, metric: Float[Array, " dim"]) -> Float[Array, ""]:
        """The squared W_2 to a law of the same kind, with |dx|^2 = sum metric_i dx_i^2."""

    @abc.abstractmethod
    def free_energy(self, system: AbstractSystem, control) -> Float[Array, ""]:
        """F = <U> - kT S of the configuration, at a control."""


class Normal(AbstractLaw):
    """The Gaussian N(mean, covariance) of a position, flattened.

    **Arguments:** `mean`, a number or `(dim,)`; `covariance`, a number, `(dim,)` for a diagonal,
    or a symmetric matrix `(dim, dim)`.

    **Raises:** ValueError for shapes that do not fit, or an indefinite covariance.
    """

    mean: Float[Array, " dim"]
    covariance: Float[Array, "dim dim"]

    def __init__(self, mean: Numbers, covariance: Numbers):
        mean = jnp.atleast_1d(finite("mean", mean))
        covariance = floating(covariance, "covariance")
        require_covariance("covariance", covariance, singular=True)
        dim = max(mean.size, *covariance.shape, 1)
        if mean.ndim > 1 or mean.size not in (1, dim) or 0 in covariance.shape:
            raise ValueError(
                f"mean has shape {mean.shape} and covariance {covariance.shape}: expected (dim,) "
                "and (dim, dim)"
            )
        self.mean = jnp.broadcast_to(mean, (dim,))
        if covariance.ndim < 2:
            covariance = jnp.diag(jnp.broadcast_to(covariance, (dim,)))
        self.covariance = covariance

    @property
    def dim(self) -> int:
        return self.mean.size

    def transport_cost(self, other: Normal, metric):
        root = jnp.sqrt(metric)
        scaled = [(root * x.mean, x.covariance * jnp.outer(root, root)) for x in (self, other)]
        return cost_between(*scaled[0], *scaled[1])

    def free_energy(self, system, control):
        entropy = gaussian_entropy(self.covariance)
        energy = self.energy(system, control).mean(self.mean, self.covariance)
        return energy - system.bath.temperature * entropy

    def energy(self, system: AbstractSystem, control) -> Quadratic:
        """U at a control, taken to be quadratic, of the flat position."""
        template = template_of(system, None)
        return quadratic_energy(system, self.mean if template is None else template, control)


@eqx.filter_jit
def quadratic_energy(system: AbstractSystem, template, control) -> Quadratic:
    return in_given_units(system, template).potential_energy(control)


class Density(AbstractLaw):
    """A law on the line: how much of it lies between neighboring points, evenly spread there.

    **Arguments:** `x`, `(points,)`, increasing; `density`, at the points, `(points,)`, or between
    them, `(points - 1,)`, normalized here.

    **Raises:** ValueError for shapes that differ, points that do not increase, or densities that
    are negative or zero everywhere.
    """

    x: Float[Array, " points"]
    shares: Float[Array, " cells"]

    def __init__(self, x: Numbers, density: Numbers):
        self.x, density = checked_points("x", x, 1), floating(density, "density")
        if density.ndim != 1 or density.size not in (self.x.size, self.x.size - 1):
            raise ValueError(
                f"density has shape {density.shape}: expected {self.x.shape}, as x, or one less"
            )
        require("x", self.x, lambda x: x.size > 1 and np.all(np.diff(x) > 0), "increasing points")
        fits = lambda d: np.isfinite(d) & (d >= 0) & (np.sum(d) > 0)
        require("density", density, fits, "finite numbers, none negative, not all zero")
        between = 0.5 * (density[1:] + density[:-1]) if density.size == self.x.size else density
        shares = between * jnp.diff(self.x)
        self.shares = shares / jnp.sum(shares)

    @property
    def dim(self) -> int:
        return 1

    @property
    def density(self) -> Float[Array, " cells"]:
        """The density between neighboring points, `(points - 1,)`."""
        return self.shares / jnp.diff(self.x)

    def quantile(self, levels: Float[Array, " n"]) -> Float[Array, " n"]:
        """The points below which these shares of the law lie."""
        cumulative = jnp.cumsum(self.shares)
        cell = cell_of(cumulative, levels)
        share = jnp.where(self.shares[cell] > 0, self.shares[cell], 1)
        within = jnp.clip((levels - (cumulative[cell] - self.shares[cell])) / share, 0, 1)
        return self.x[cell] + within * jnp.diff(self.x)[cell]

    def transport_cost(self, other: Density, metric):
        unit = power_of_two(self.x[-1] - self.x[0])
        near, far = (eqx.tree_at(lambda law: law.x, law, law.x / unit) for law in (self, other))
        return metric[0] * unit * cost_between_densities(near, far) * unit

    def free_energy(self, system, control):
        energy = LineEnergy(system.potential, control)
        return free_energy_between(self, energy, system.bath.temperature)


@eqx.filter_jit
def cost_between_densities(start: Density, end: Density) -> Float[Array, ""]:
    """The squared W_2 between two densities on the line."""
    width, middle = common_levels(jnp.cumsum(start.shares), jnp.cumsum(end.shares))
    # Gauss's rule is exact: both quantile functions are linear in between.
    nodes = [middle + sign * width / 12**0.5 for sign in (-1, 1)]
    return jnp.sum(width * sum((start.quantile(u) - end.quantile(u)) ** 2 for u in nodes)) / 2


@eqx.filter_jit
def free_energy_between(law: Density, energy: LineEnergy, kt) -> Float[Array, ""]:
    """<U> + kT int rho ln rho, by the trapezoidal rule for U between the points."""
    u, some = jax.vmap(energy)(law.x), law.shares > 0
    logs = jnp.log(jnp.where(some, law.density, 1))
    return jnp.sum(law.shares * (0.5 * (u[1:] + u[:-1]) + kt * logs))


class Samples(AbstractLaw):
    """Independent draws from a law; distances between them carry their sampling error.

    On the line the cost is exact for the samples; in more dimensions it is the Sinkhorn divergence.

    **Arguments:** `values`, `(n,)` or `(n, dim)`, for example the `position` of a `tj.Result`.

    **Raises:** ValueError for another shape, or numbers that are not finite.
    """

    values: Float[Array, "n dim"]

    def __init__(self, values: Numbers):
        values = floating(values, "values")
        self.values = checked_points("values", values[:, None] if values.ndim == 1 else values, 2)

    @property
    def dim(self) -> int:
        return self.values.shape[1]

    def transport_cost(self, other: Samples, metric):
        x, y = (law.values * jnp.sqrt(metric) for law in (self, other))
        if self.dim > 1:
            return sinkhorn_divergence(x, y)
        return transport_cost(x[:, 0], y[:, 0])

    def free_energy(self, system, control):
        raise ValueError(
            "the free energy of samples is not known: pass a tj.bounds.Normal or "
            "tj.bounds.Density, or bound the dissipation alone with tj.bounds.dissipation"
        )
