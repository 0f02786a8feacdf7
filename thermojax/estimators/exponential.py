"""The exponential average, and how far it can be trusted."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import known
from ..estimate import Estimate

ENOUGH = 100  # effective samples for which the error of an exponential average can be trusted


class FreeEnergy(eqx.Module):
    r"""A ratio of partition functions; each entry a scalar.

    - `log_ratio`: ln(Z_1 / Z_0), with its standard error; -beta Delta F at one temperature, the
      log evidence ln p(y) on a ramp from prior to posterior.
    - `effective_samples`: (sum w)^2 / sum w^2, how many equal weights would do as well (from two
      sides: all samples times the share of the worse). The error means little where it is small.
    - `bias`: by how much n paths underestimate ln(Z_1/Z_0) on average, to second order; small
      beside the error wherever that is small, and not corrected for. Zero but for `jarzynski`.
    """

    log_ratio: Estimate
    effective_samples: Float[Array, ""]
    bias: Float[Array, ""]

    def difference(self, temperature=1.0) -> Estimate:
        """Delta F = -kT ln(Z_1 / Z_0), for ends at one temperature."""
        value = -temperature * self.log_ratio.value
        return Estimate(value, temperature * self.log_ratio.error, self.log_ratio.count)

    @property
    def doubt(self) -> str | None:
        """Why the error should not be trusted, in words; None where it can be, or while tracing."""
        effective, count = known(self.effective_samples), known(self.log_ratio.count)
        if effective is None or count is None or not effective < min(ENOUGH, count / 2):
            return None
        return (
            f"the average is dominated by few paths ({effective:.0f} effective of {count:.0f}): "
            "its error means little; run slower, optimize the protocol, or run the reverse as well "
            "and use bar"
        )


def exponential_average(
    log_weight: Float[Array, " paths"], alive: Float[Array, " paths"] | None = None
) -> FreeEnergy:
    """ln of the mean of exp(log_weight), of the paths that are alive; `jarzynski` without words."""
    kept = jnp.ones_like(log_weight) if alive is None else jnp.asarray(alive, log_weight.dtype)
    masked = jnp.where(kept > 0, log_weight, -jnp.inf)
    largest = jnp.max(masked)
    # Relative to the largest weight nothing overflows, and the sums are exact to rounding.
    w = jnp.where(kept > 0, jnp.exp(masked - largest), 0)
    n = jnp.sum(kept > 0)
    mean = jnp.sum(w) / n
    variance = jnp.sum(jnp.where(kept > 0, (w / mean - 1) ** 2, 0)) / (n - 1)
    estimate = Estimate(largest + jnp.log(mean), jnp.sqrt(variance / n), n)
    return FreeEnergy(estimate, jnp.sum(w) ** 2 / jnp.sum(w**2), variance / (2 * n))
