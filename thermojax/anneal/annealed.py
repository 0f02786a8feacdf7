"""The paths of an annealing, there and back, and what they say of the target's normalization."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .._component import AbstractComponent
from .._tree import by_name
from ..estimate import Estimate, weighted_mean
from ..estimators.exponential import exponential_average
from ..interop.arviz import weighted_draws


class Annealed(AbstractComponent):
    r"""Paths from the base to the target; each array has the batch as its first axis.

    - `samples`: positions at the end, in the shape of the target's, each with the weight
      exp(log_weights). `log_weights`, `(batch,)`: minus the total work, kT = 1, so that
      <exp(log_weights)> = Z whatever the steps; -inf for a path that diverged.
    - `protocol_work`, `shadow_work`, `drive_work`, `(batch,)`: the parts of the total work. The
      first alone would be biased at a finite step.
    - `alive`, `(batch,)`: 0 for paths that diverged.
    - `resampled`: whether paths were drawn anew on the way. They are then not independent, and all
      errors are nan: repeat the run with other keys.
    """

    samples: PyTree[Array]
    log_weights: Float[Array, " batch"]
    protocol_work: Float[Array, " batch"]
    shadow_work: Float[Array, " batch"]
    drive_work: Float[Array, " batch"]
    alive: Float[Array, " batch"]
    resampled: bool = eqx.field(static=True, default=False)

    @property
    def elbo(self) -> Estimate:
        """<log_weights> <= ln Z, the evidence lower bound: minus the mean work.

        Of the paths that did not diverge, with the logarithm of their share, as the bound demands.
        """
        found = weighted_mean(jnp.where(self.alive > 0, self.log_weights, 0), self.alive)
        share = jnp.log(jnp.mean(self.alive))
        return self.with_known_error(found.value + share, found.error, found.count)

    @property
    def log_z(self) -> Estimate:
        """ln <exp(log_weights)>, which is ln Z up to the bias of a logarithm, (error)^2 / 2."""
        found = exponential_average(self.log_weights).log_ratio
        return self.with_known_error(found.value, found.error, found.count)

    def with_known_error(self, value, error, count) -> Estimate:
        """An estimate whose error is nan where paths depend on each other."""
        return Estimate(value, jnp.full_like(error, jnp.nan) if self.resampled else error, count)

    @property
    def dissipated_work(self) -> Estimate:
        """ln Z - ELBO, the mean work that was wasted: <W> - Delta F, from these same paths."""
        elbo, log_z = self.elbo, self.log_z
        return Estimate(log_z.value - elbo.value, jnp.hypot(elbo.error, log_z.error), elbo.count)

    @property
    def effective_samples(self) -> Float[Array, ""]:
        """(sum w)^2 / sum w^2: how many equal weights would do as well."""
        return exponential_average(self.log_weights).effective_samples

    @property
    def diverged(self) -> Int[Array, ""]:
        """The number of paths that left the range of finite numbers."""
        return jnp.sum(self.alive == 0)

    def to_arviz(self):
        """The samples resampled by weight, as ArviZ plots and summarizes them.

        **Raises:** ImportError that names the extra, where ArviZ is missing.
        """
        stats = dict(log_weight=self.log_weights, diverging=self.alive == 0)
        return weighted_draws(by_name(self.samples), self.log_weights, stats, resampled=True)


class AnnealedBack(AbstractComponent):
    """Paths from samples of the target back to the base.

    `log_weights`, `(batch,)`: of the same paths run forward, ln w; minus their work. Under them
    <exp(-log_weights)> = 1 / Z. -inf for a path that diverged.
    """

    log_weights: Float[Array, " batch"]
    alive: Float[Array, " batch"]

    @property
    def eubo(self) -> Estimate:
        """<log_weights> >= ln Z, the evidence upper bound, of samples that are the target's own."""
        return weighted_mean(jnp.where(self.alive > 0, self.log_weights, 0), self.alive)

    @property
    def log_z(self) -> Estimate:
        """-ln <exp(-log_weights)>: ln Z from the way back alone."""
        turned = jnp.where(self.alive > 0, -self.log_weights, -jnp.inf)
        found = exponential_average(turned, self.alive).log_ratio
        return Estimate(-found.value, found.error, found.count)

    def forward_effective_share(self, log_z) -> Float[Array, ""]:
        """Z / <w>, the effective share of forward paths as the target's samples see it.

        A mode that no forward path reaches has weights without bound there, and the share is near
        0, where the forward paths themselves may say 1.
        """
        mean = exponential_average(self.log_weights, self.alive).log_ratio.value
        return jnp.exp(jnp.asarray(log_z) - mean)

    @property
    def diverged(self) -> Int[Array, ""]:
        """The number of paths that left the range of finite numbers."""
        return jnp.sum(self.alive == 0)
