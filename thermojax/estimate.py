"""A number and its standard error: no mean is ever shown without it."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._tree import one_each


class Estimate(eqx.Module):
    """A value (scalar or array) with its standard error and the number of samples behind it.

    Printed with the digits that the error leaves: `-55.22 ± 0.03`.
    """

    value: Array | np.ndarray | float
    error: Array | np.ndarray | float
    count: Array | np.ndarray | float

    def __str__(self):
        value, error = np.asarray(self.value), np.asarray(self.error)
        if value.ndim == 0:
            return with_error(float(value), float(error))
        shown = [with_error(v, e) for v, e in zip(value.ravel(), error.ravel(), strict=True)]
        return "[" + ", ".join(shown) + "]"


def weighted_mean(values: Array, weights: Array, paired: bool = False) -> Estimate:
    """sum w x / sum w with the error of the ratio estimator; samples on the first axis.

    The error is sqrt(sum w^2 (x - mean)^2) / sum w, by the delta method; with equal weights it is
    the standard error of the mean. Count is the number of weights that are not zero. With `paired`
    the samples 2j and 2j + 1 depend on each other, and the error is that of the pairs.
    """
    count = jnp.sum(weights != 0)
    w = one_each(weights / jnp.sum(weights), values)
    # A sample of weight zero may hold anything, and must not reach the gradient either.
    values = jnp.where(w != 0, values, 0)
    mean = jnp.sum(w * values, axis=0)
    deviation, independent = w * (values - mean), count
    if paired:
        deviation = deviation[::2] + deviation[1::2]
        independent = jnp.sum(jnp.any((weights != 0).reshape(-1, 2), axis=1))
    bessel = independent / jnp.maximum(independent - 1, 1)
    variance = jnp.sum(deviation**2, axis=0) * bessel
    return Estimate(mean, jnp.sqrt(variance), count)


def with_error(value: float, error: float) -> str:
    """`value ± error`, the error to one digit (two where it starts with 1)."""
    if not np.isfinite(value) or not np.isfinite(error):
        return f"{value} ± {error}"
    if error <= 0:
        return f"{value:.6g} ± 0"
    exponent = int(np.floor(np.log10(error)))
    if round(error / 10.0**exponent) < 2:
        exponent -= 1
    if exponent >= 0:
        scale = 10.0**exponent
        return f"{round(value / scale) * scale:.0f} ± {round(error / scale) * scale:.0f}"
    if exponent < -6 and abs(value) < 1e-3:
        digits = max(0, int(np.floor(np.log10(abs(value)))) - exponent) if value else 0
        return f"{value:.{digits}e} ± {error:.0e}"
    value = round(value, -exponent) + 0.0  # no minus before a zero
    return f"{value:.{-exponent}f} ± {error:.{-exponent}f}"
