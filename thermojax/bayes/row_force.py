"""The force of a likelihood estimated from a few of its rows, and the noise of the estimate."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from ..potential import AbstractLikelihood
from .coordinates import Coordinates
from .model import Model

GROUPS = 8  # of the rows of a minibatch, from whose differences the noise is known


class Drawn(NamedTuple):
    """A force `(n, dim)` whose mean over the rows is exact, and the variance of its noise."""

    force: Float[Array, "n dim"]
    variance: Float[Array, "n dim"]


class RowForce(eqx.Module):
    r"""-grad U in coordinates of its own, from rows that are drawn anew for every path.

        F = -grad U_prior(x) - sum_i grad U_i(c) - (N/m) sum_{i of m} [grad U_i(x) - grad U_i(c)],

    m of the N rows drawn with replacement: its mean is the force, whatever the center c. Without a
    center the terms with c are left out, and the noise is larger by far near the mode.

    The rows are taken in GROUPS, each of which gives a force: their mean is F, and their scatter
    the variance of F, unbiased.
    """

    model: Model
    coordinates: Coordinates
    center: Float[Array, " dim"] | None
    center_slope: Float[Array, " dim"]  # sum_i grad U_i(c); zero without a center
    count: int = eqx.field(static=True)  # N
    rows: int = eqx.field(static=True)  # m

    @classmethod
    def of(cls, model: Model, coordinates: Coordinates, centered: bool, rows: int) -> RowForce:
        """The force around the center of these coordinates, or around none."""
        center = coordinates.center
        count = row_count(model)
        slope = jnp.zeros_like(center)
        if centered:
            slope = eqx.filter_jit(jax.grad(lambda x: energy(model, model.likelihood, x)))(center)
        return cls(model, coordinates, center if centered else None, slope, count, rows)

    def __call__(self, key: PRNGKeyArray, z: Float[Array, "n dim"]) -> Drawn:
        """The force on every path, `(n, dim)` in the coordinates z, each with rows of its own."""
        shape = (len(z), GROUPS, self.rows // GROUPS)
        drawn = jax.random.randint(key, shape, 0, self.count)
        slopes = jax.vmap(self.slopes)(self.coordinates.outward(z), drawn)
        # Of x = center + factor z, a slope by z is factor^T times that by x.
        factor = self.coordinates.factor
        slopes = slopes * factor if factor.ndim == 1 else slopes @ factor
        mean = jnp.mean(slopes, axis=1)
        scatter = jnp.sum((slopes - mean[:, None]) ** 2, axis=1)
        return Drawn(-mean, scatter / (GROUPS * (GROUPS - 1)))

    def slopes(self, x: Float[Array, " dim"], drawn) -> Float[Array, "groups dim"]:
        """grad U by x, as each group of rows has it."""
        prior, likelihood = self.model.prior, self.model.likelihood
        assert isinstance(likelihood, AbstractLikelihood)
        common = self.center_slope
        if prior is not None:
            common = common + jax.grad(lambda y: energy(self.model, prior, y))(x)

        def of_group(rows):
            some = likelihood.with_rows(rows)
            slope = jax.grad(lambda y: energy(self.model, some, y))
            found = slope(x) if self.center is None else slope(x) - slope(self.center)
            return common + self.count / rows.size * found

        return jax.vmap(of_group)(drawn)


def energy(model: Model, potential, x: Float[Array, " dim"]) -> Float[Array, ""]:
    """The energy of a flat position."""
    return potential.energy(ravel_pytree(model.template)[1](x), None)


def row_count(model: Model) -> int:
    """N, the rows of the likelihood."""
    likelihood = model.likelihood
    assert isinstance(likelihood, AbstractLikelihood)
    return jax.eval_shape(likelihood.log_likelihood, model.template).shape[0]
