"""Sums of squares in any units: numbers about their mean, in a power of two of their own size.

Squares of numbers below 1e-19 are zero in float32, those of numbers above 1e19 infinite, and those
of numbers with a large common part are rounding. Statistics are taken of what `standardized`
returns, and carried back. A power of two changes no digit.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

COARSE = 4  # roundings of the largest number, below which a spread is no spread


def power_of_two(size: Float[Array, "..."]) -> Float[Array, "..."]:
    """A power of two near each of these numbers; 1 for zero, infinity and NaN. No gradient."""
    kind = jnp.finfo(size.dtype)
    size = jax.lax.stop_gradient(jnp.asarray(size))
    fine = jnp.isfinite(size) & (size > 0)
    # Within what has a reciprocal of full precision.
    size = jnp.clip(jnp.where(fine, size, 1), 8 * kind.tiny, kind.max / 8)
    return jax.lax.reduce_precision(size, kind.nexp, 0)


def centered(values: Float[Array, "..."], axis) -> tuple[Array, Array]:
    """The values less their mean over some axes, and that mean, whose axes are kept.

    In two passes: the mean of numbers with a large common part is known to a rounding of that
    part only, their differences from it are exact, and say how far it is off.
    """
    rough = jax.lax.stop_gradient(jnp.mean(values, axis=axis, keepdims=True))
    off = values - rough
    rest = jnp.mean(off, axis=axis, keepdims=True)
    return off - rest, rough + rest


def standardized(values: Float[Array, "..."], axis) -> tuple[Array, Array, Array]:
    """(values - mean) / scale, the mean and the scale, over some axes, which are kept.

    The scale is a power of two near the largest deviation.
    """
    off, mean = centered(values, axis)
    scale = power_of_two(jnp.max(jnp.abs(off), axis=axis, keepdims=True))
    return off / scale, mean, scale


def constant(values: Float[Array, "..."], axis) -> Array:
    """Whether all numbers along some axes are one and the same."""
    return jnp.max(values, axis=axis) == jnp.min(values, axis=axis)


def rounding(values: Float[Array, "..."], axis) -> Float[Array, "..."]:
    """The largest difference between values of this size that rounding alone may make."""
    return COARSE * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values), axis=axis)


def floored(error: Float[Array, "..."], value: Float[Array, "..."]) -> Float[Array, "..."]:
    """An error that is not below what the dtype can tell of the value; NaN stays NaN."""
    half = 0.5 * jnp.finfo(value.dtype).eps * jnp.abs(jax.lax.stop_gradient(value))
    return jnp.maximum(error, half.astype(error.dtype))
