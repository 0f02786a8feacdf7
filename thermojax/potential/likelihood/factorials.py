"""ln y! of counts, in a form that keeps its digits in float32 as well."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..gaussian import LOG_2PI

SERIES = 16  # counts from which ln y! comes by Stirling's series, to the rounding of a double


def log_factorial_remainder(y: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln y! - y ln m + m with m = max(y, 1): of the size of ln y, where ln y! is of y ln y.

    The large terms are left to be taken together with those of the likelihood, which they cancel.
    """
    few, many = jnp.minimum(y, SERIES), jnp.maximum(y, SERIES)
    size = jnp.maximum(few, 1)
    direct = jax.lax.lgamma(few + 1) - few * jnp.log(size) + size
    inverse = 1 / many
    square = inverse**2
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    return jnp.where(y < SERIES, direct, 0.5 * (LOG_2PI + jnp.log(many)) + series)
