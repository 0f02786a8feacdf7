"""Free energy differences from nonequilibrium work."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import known
from ..estimate import Estimate


class FreeEnergy(eqx.Module):
    r"""A ratio of partition functions, from an exponential average.

    - `log_ratio`: ln(Z_1 / Z_0), with its standard error; -beta Delta F at one temperature, the
      log evidence ln p(y) on a ramp from prior to posterior.
    - `effective_samples`: (sum w)^2 / sum w^2, how many equal weights would do as well. The error
      means little where this is small.
    - `bias`: by how much n paths underestimate ln(Z_1/Z_0) on average, to second order; small
      beside the error wherever that is small, and not corrected for.
    """

    log_ratio: Estimate
    effective_samples: Float[Array, ""]
    bias: Float[Array, ""]

    def difference(self, temperature=1.0) -> Estimate:
        """Delta F = -kT ln(Z_1 / Z_0), for ends at one temperature."""
        value = -temperature * self.log_ratio.value
        return Estimate(value, temperature * self.log_ratio.error, self.log_ratio.count)


def jarzynski(
    log_weight: Float[Array, " paths"], alive: Float[Array, " paths"] | None = None
) -> FreeEnergy:
    r"""ln(Z_1 / Z_0) = ln <exp(log_weight)>, the nonequilibrium work theorem.

    With one temperature `log_weight` = -beta (total work). The error is that of the delta method,
    sd(w) / (mean(w) sqrt(n)).

    **Arguments:** `log_weight`, `(paths,)`, from paths that start in equilibrium: the
    `log_weight` of a `tj.Result`; `alive`, `(paths,)`, zero for the paths to leave out (those
    that diverged; leaving many out biases the result).

    **Returns:** a `FreeEnergy`. **Raises:** ValueError for fewer than two paths.

    **Source:** C. Jarzynski, Phys. Rev. Lett. 78, 2690 (1997), eq. (2).
    """
    log_weight = jnp.asarray(log_weight)
    if log_weight.ndim != 1 or log_weight.shape[0] < 2:
        raise ValueError(
            f"log_weight has shape {log_weight.shape}: expected (paths,) with at least two paths"
        )
    kept = jnp.ones_like(log_weight) if alive is None else jnp.asarray(alive, log_weight.dtype)
    if (values := known(kept)) is not None and (values != 0).sum() < 2:
        raise ValueError("alive leaves fewer than two paths: nothing can be averaged")
    masked = jnp.where(kept > 0, log_weight, -jnp.inf)
    largest = jnp.max(masked)
    # Relative to the largest weight nothing overflows, and the sums are exact to rounding.
    w = jnp.where(kept > 0, jnp.exp(masked - largest), 0)
    n = jnp.sum(kept > 0)
    mean = jnp.sum(w) / n
    variance = jnp.sum(jnp.where(kept > 0, (w / mean - 1) ** 2, 0)) / (n - 1)
    error = jnp.sqrt(variance / n)
    effective = jnp.sum(w) ** 2 / jnp.sum(w**2)
    estimate = Estimate(largest + jnp.log(mean), error, n)
    return FreeEnergy(estimate, effective, variance / (2 * n))
