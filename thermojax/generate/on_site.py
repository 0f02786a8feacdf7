"""The energy of one unit by itself, and its equilibrium under a constant force, drawn exactly."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray

from .._component import AbstractComponent, finite, known

GRID = 1024  # points of the distribution function
DEPTH = 40.0  # kT above the lowest energy of interest, where the grid ends


class OnSite(AbstractComponent):
    r"""V_0(x) = J_2 x^2 + J_4 x^4, in a force f: exp(-(V_0 - f x) / kT) / Z(f).

    The law of one number is drawn by the inverse of its distribution function, on a grid of 1024
    points that ends where the density is e^-40 of that at rest or less.

    **Raises:** ValueError for an energy that is not bounded below.
    """

    quadratic: Float[Array, ""]
    quartic: Float[Array, ""]

    def __init__(self, quadratic, quartic):
        self.quadratic, self.quartic = finite("quadratic", quadratic), finite("quartic", quartic)
        for name, value in (("quadratic", self.quadratic), ("quartic", self.quartic)):
            if value.shape != ():
                raise ValueError(f"{name} has shape {value.shape}: expected one number")
        two, four = known(self.quadratic), known(self.quartic)
        if four is not None and four < 0:
            raise ValueError(
                f"quartic = {four:g}: the energy has no lowest value; make it positive"
            )
        if two is not None and four is not None and four == 0 and two <= 0:
            raise ValueError(
                f"quartic = 0 and quadratic = {two:g}: the energy has no lowest value; make one of "
                "them positive"
            )

    def energy(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """V_0 of each number."""
        square = x * x
        return square * (self.quadratic + self.quartic * square)

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """dV_0 / dx."""
        return x * (2 * self.quadratic + 4 * self.quartic * x * x)

    def curvature(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """d^2 V_0 / dx^2."""
        return 2 * self.quadratic + 12 * self.quartic * x * x

    def reach(self, force: Float[Array, "..."], temperature) -> Float[Array, "..."]:
        """The distance from 0 beyond which V_0 - f x > 40 kT."""
        force, depth = jnp.abs(force), DEPTH * temperature
        two, four = self.quadratic, self.quartic
        # Where x^4 outweighs thrice each other term, or x^2 twice: the nearer of both.
        over = jnp.where(four > 0, four, 1)
        negative = jnp.sqrt(3 * jnp.maximum(-two, 0) / over)
        by_four = jnp.maximum(jnp.cbrt(3 * force / over), (3 * depth / over) ** 0.25)
        by_four = jnp.where(four > 0, jnp.maximum(by_four, negative), jnp.inf)
        over = jnp.where(two > 0, two, 1)
        by_two = jnp.maximum(2 * force / over, jnp.sqrt(2 * depth / over))
        by_two = jnp.where(two > 0, by_two, jnp.inf)
        return jax.lax.stop_gradient(jnp.minimum(by_four, by_two))

    def on_grid(self, force: Float[Array, "..."], temperature):
        """(grid, ln of the unnormalized density there), both `(..., 1024)`."""
        reach = self.reach(force, temperature)[..., None]
        grid = reach * jnp.linspace(-1, 1, GRID, dtype=reach.dtype)
        return grid, -(self.energy(grid) - force[..., None] * grid) / temperature

    def log_partition(self, force: Float[Array, "..."], temperature) -> Float[Array, "..."]:
        """ln Z(f), by the trapezoidal rule, which is exact to rounding for such a density."""
        grid, log_density = self.on_grid(force, temperature)
        return logsumexp(log_density, axis=-1) + jnp.log(grid[..., 1] - grid[..., 0])

    def draw(
        self, key: PRNGKeyArray, force: Float[Array, "*units"], temperature, batch: int
    ) -> Float[Array, "batch *units"]:
        """Independent draws of units, each in its own force."""
        grid, log_density = self.on_grid(jnp.ravel(force), temperature)
        density = jnp.exp(log_density - jnp.max(log_density, axis=-1, keepdims=True))
        rising = jnp.cumsum(0.5 * (density[:, 1:] + density[:, :-1]), axis=-1)
        rising = jnp.pad(rising / rising[:, -1:], ((0, 0), (1, 0)))
        u = jax.random.uniform(key, (force.size, batch), grid.dtype)
        x = jax.vmap(jnp.interp)(u, rising, grid)
        return x.T.reshape(batch, *force.shape)

    def draw_freely(self, key: PRNGKeyArray, temperature, shape: tuple[int, ...]):
        """Independent draws without a force."""
        none = jnp.zeros((), self.quadratic.dtype)
        return self.draw(key, none, temperature, math.prod(shape)).reshape(shape)
