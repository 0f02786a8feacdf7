"""Observations on their way through diffrax, which keeps floating numbers only."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._component import shown


def in_digits(x: Array) -> Array:
    """Whole numbers and booleans as floats, exactly: one for each byte, on a new last axis."""
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    x = x.astype(jnp.uint8) if x.dtype == bool else x
    digits = jax.lax.bitcast_convert_type(x, jnp.uint8)
    return digits.reshape(*x.shape, x.dtype.itemsize).astype(jnp.float32)


def from_digits(x: Array, dtype) -> Array:
    """The array that `in_digits` was given."""
    if jnp.issubdtype(dtype, jnp.inexact):
        return x
    digits = x.astype(jnp.uint8)
    if dtype.itemsize == 1:  # whose bytes are no axis of their own
        digits = digits[..., 0]
    if jnp.issubdtype(dtype, jnp.bool_):
        return digits > 0
    return jax.lax.bitcast_convert_type(digits, dtype)


def as_observed(value) -> Array:
    """An observation as an array, numbers of Python too.

    **Raises:** ValueError for anything else.
    """
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"observe returned {shown(value)}: expected numbers, arrays, or a pytree of arrays"
        ) from error
