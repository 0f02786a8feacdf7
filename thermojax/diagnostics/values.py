"""The values of chains, checked, and whether they tell more than their own rounding."""

from __future__ import annotations

import warnings

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import floating, known
from .._scale import constant, rounding


def chains_of(values) -> Float[Array, "time chains ..."]:
    """Values with a time and a chain axis, checked."""
    values = floating(values, "values")
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim < 2 or values.shape[0] < 4 or 0 in values.shape:
        raise ValueError(
            f"values have shape {values.shape}: expected (time, chains, ...), four times or more"
        )
    array = known(values)
    if array is not None and not np.all(np.isfinite(array)):
        raise ValueError("values are not finite everywhere: leave diverged chains out")
    return values


def within_rounding(values: Float[Array, "time chains ..."], variance, scale) -> Array:
    """Whether values are not all the same, and differ by rounding alone.

    `variance`, `(...)`, theirs in units of scale^2.
    """
    limit = rounding(values, (0, 1)) / scale[0, 0]
    return ~constant(values, (0, 1)) & (variance <= limit**2)


def warn_of_coarse_values(what: str, found, values, frames: int = 3) -> None:
    """Warn why a statistic is nan; silent while tracing. The user is `frames` above."""
    array = known(found)
    if array is not None and np.any(np.isnan(array)):
        warnings.warn(
            f"the values differ by no more than the rounding of {values.dtype}: {what} is nan; "
            "take what they have in common from them before they are rounded, or use float64",
            stacklevel=frames,
        )
