"""The exponential average, and how far it can be trusted."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import exceeds, real
from .._component import floating, known, require
from .._repr import with_numbers
from .._scale import floored
from ..estimate import Estimate

ENOUGH = 100  # effective samples for which the error of an exponential average can be trusted


class FreeEnergy(eqx.Module):
    r"""A ratio of partition functions; each entry a scalar.

    - `log_ratio`: ln(Z_1 / Z_0), with its standard error; -beta Delta F at one temperature, the
      log evidence ln p(y) on a ramp from prior to posterior.
    - `effective_samples`: (sum w)^2 / sum w^2, how many equal weights would do as well (from two
      sides: all samples times the share of the worse, and 0 where they do not overlap). The error
      means little where it is small, and is infinite where it is 0.
    - `bias`: by how much n paths underestimate ln(Z_1/Z_0) on average, to second order; small
      beside the error wherever that is small, and not corrected for. Zero but for `jarzynski`.
    """

    log_ratio: Estimate
    effective_samples: Float[Array, ""]
    bias: Float[Array, ""]

    __pdoc__ = with_numbers

    def difference(self, temperature=1.0) -> Estimate:
        """Delta F = -kT ln(Z_1 / Z_0), for ends at one temperature, a scalar.

        **Raises:** ValueError for a temperature that is no positive number.
        """
        expected = "a positive number, kT"
        kt = real("temperature", temperature, expected, lambda t: np.isfinite(t) & (t > 0))
        value = -kt * self.log_ratio.value
        return Estimate(value, kt * self.log_ratio.error, self.log_ratio.count)

    @property
    def doubt(self) -> str | None:
        """The reason in words not to trust the error, or None; None while tracing."""
        effective, count = known(self.effective_samples), known(self.log_ratio.count)
        value, error = known(self.log_ratio.value), known(self.log_ratio.error)
        if effective is None or count is None or value is None or error is None:
            return None
        if exceeds(1, effective):
            return (
                "the works of the two directions do not overlap: the estimate lies somewhere "
                "between them, and its error is infinite; run slower, or in two stages, each with "
                "its own reverse"
            )
        if exceeds(min(ENOUGH, count / 2), effective):
            return (
                f"the average is dominated by few paths ({effective:.0f} effective of "
                f"{count:.0f}): its error means little; run slower, optimize the protocol, or run "
                "the reverse as well and use bar"
            )
        # An error is never stated below the rounding of its value.
        if error > 0 and not exceeds(error, np.finfo(value.dtype).eps * np.abs(value)):
            return (
                f"ln(Z_1/Z_0) = {value:.6g} is so large that its rounding in {value.dtype} is as "
                "large as its error: use float64, or take a constant from the energy"
            )
        return None


def paths_that_carry(paths: float, dissipated: float) -> float:
    """The number of paths that carry an exponential average: one in about exp(W_diss).

    The effective number that a sample states is too high where it has missed the rare paths, so
    the dissipation, in kT, is asked too (C. Jarzynski, Phys. Rev. E 73, 046105 (2006), for work
    distributions near Gaussian).
    """
    return paths * math.exp(-max(dissipated, 0.0))


def survivors(alive, log_weight: Float[Array, " paths"]) -> Float[Array, " paths"]:
    """`alive` as floats, `(paths,)`; ones where it is None.

    **Raises:** ValueError for what does not say yes or no of every path.
    """
    if alive is None:
        return jnp.ones_like(log_weight)
    if not jnp.issubdtype(getattr(alive, "dtype", float), jnp.bool_):
        alive = floating(alive, "alive")
    if jnp.shape(alive) != log_weight.shape:
        raise ValueError(
            f"alive has shape {jnp.shape(alive)}: expected {log_weight.shape} like log_weight, a "
            "number that is not zero for every path to keep"
        )
    require("alive", alive, lambda x: ~np.isnan(x), "1 or 0 for each path")
    return (jnp.asarray(alive) != 0).astype(log_weight.dtype)


def exponential_average(
    log_weight: Float[Array, " paths"], alive: Float[Array, " paths"] | None = None
) -> FreeEnergy:
    """ln of the mean of exp(log_weight), of the paths that are alive; `jarzynski` without words.

    The error of one path, or none, is nan.
    """
    kept = jnp.ones_like(log_weight) if alive is None else jnp.asarray(alive, log_weight.dtype)
    masked = jnp.where(kept > 0, log_weight, -jnp.inf)
    largest = jnp.max(masked)
    # Relative to the largest weight nothing overflows, and the sums are exact to rounding.
    w = jnp.where(kept > 0, jnp.exp(masked - largest), 0)
    n = jnp.sum(kept > 0)
    mean = jnp.sum(w) / n
    variance = jnp.sum(jnp.where(kept > 0, (w / mean - 1) ** 2, 0)) / (n - 1)
    value, error = largest + jnp.log(mean), jnp.sqrt(variance / n)
    estimate = Estimate(value, jnp.where(variance > 0, floored(error, value), error), n)
    return FreeEnergy(estimate, jnp.sum(w) ** 2 / jnp.sum(w**2), variance / (2 * n))
