"""A number and its standard error: no mean is ever shown without it."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import wadler_lindig as wl
from jaxtyping import Array

from ._arguments import is_real
from ._component import known, shown
from ._repr import MOST, text_of, with_numbers
from ._scale import floored, power_of_two
from ._tree import one_each


class Estimate(eqx.Module):
    """A value (scalar or array) with its standard error and the number of samples behind it.

    Printed with the digits that the error leaves: `-55.22 ± 0.03`. An error of nan says that it
    could not be found, from fewer than two independent samples, say.

    **Raises:** ValueError for what holds no real numbers, and for a value and an error whose shapes
    do not fit.
    """

    value: Array | np.ndarray | float
    error: Array | np.ndarray | float
    count: Array | np.ndarray | float

    def __check_init__(self):
        for name in ("value", "error", "count"):
            if not is_real(given := getattr(self, name)):
                raise ValueError(f"{name} = {shown(given)}: expected real numbers")
        value, error = np.shape(self.value), np.shape(self.error)
        if error not in (value, ()):
            raise ValueError(f"error has shape {error}: expected {value}, that of the value")

    def __str__(self):
        return self.numbers_text() or repr(self)

    def __pdoc__(self, **options):
        text, count = self.numbers_text(), text_of(self.count)
        if text is None or count is None:
            return with_numbers(self, **options)
        return wl.TextDoc(f"Estimate({text}, count={count})")

    def numbers_text(self) -> str | None:
        """The numbers as text; None while they are being traced."""
        value, error = known(self.value), known(self.error)
        if value is None or error is None or "O" in (value.dtype.kind, error.dtype.kind):
            return None
        if value.ndim == 0:
            return with_error(float(value), float(error))
        error = np.broadcast_to(error, value.shape).ravel()
        texts = [with_error(float(v), float(e)) for v, e in zip(value.ravel(), error, strict=True)]
        if len(texts) > MOST:
            texts = [*texts[:3], f"... ({len(texts)} in all)", *texts[-3:]]
        return "[" + ", ".join(texts) + "]"


def weighted_mean(values: Array, weights: Array, paired: bool = False) -> Estimate:
    """sum w x / sum w with the error of the ratio estimator; samples on the first axis.

    The error is sqrt(sum w^2 (x - mean)^2) / sum w, by the delta method; with equal weights it is
    the standard error of the mean. Count is the number of weights that are not zero. With `paired`
    the samples 2j and 2j + 1 depend on each other, and the error is that of the pairs. It is nan
    for fewer than two samples (pairs), and at least the rounding of the value.
    """
    taken = weights != 0
    count = jnp.sum(taken)
    taken, w = one_each(taken, values), one_each(weights / jnp.sum(weights), values)
    # A sample of weight zero may hold anything, and must not reach the gradient either.
    values = jnp.where(taken, values, 0)
    # A first mean, off by a rounding of what all values have in common, and what it is off.
    rough = jax.lax.stop_gradient(jnp.sum(w * values, axis=0))
    off = jnp.where(taken, values - rough, 0)
    rest = jnp.sum(w * off, axis=0)
    mean = rough + rest
    # Squares would leave the range of float32 in units as small as those of SI.
    scale = power_of_two(jnp.max(jnp.abs(off), axis=0))
    deviation, independent = w * ((off - rest) / scale), count
    if paired:
        deviation = deviation[::2] + deviation[1::2]
        independent = jnp.sum(jnp.any((weights != 0).reshape(-1, 2), axis=1))
    bessel = jnp.where(independent > 1, independent / jnp.maximum(independent - 1, 1), jnp.nan)
    error = scale * jnp.sqrt(jnp.sum(deviation**2, axis=0) * bessel)
    # Numbers that are all the same are their mean, without rounding.
    most = jnp.max(jnp.where(taken, off, -jnp.inf), axis=0)
    varied = most != jnp.min(jnp.where(taken, off, jnp.inf), axis=0)
    return Estimate(mean, jnp.where(varied, floored(error, mean), 0 * error), count)


def with_error(value: float, error: float) -> str:
    """The text `value ± error`, the error to one digit (two where it starts with 1)."""
    if not np.isfinite(value) or not np.isfinite(error):
        return f"{value:.6g} ± {error:.3g}"
    if error <= 0:
        return f"{value:.6g} ± 0"
    exponent, more = int(np.floor(np.log10(error))), 0
    if round(error / 10.0**exponent) < 2:
        exponent, more = exponent - 1, 1
    if exponent > 6 or (exponent < -6 and abs(value) < 1e-3):
        digits = max(0, int(np.floor(np.log10(abs(value)))) - exponent) if value else 0
        return f"{value:.{digits}e} ± {error:.{more}e}"
    if exponent >= 0:
        scale = 10.0**exponent
        return f"{round(value / scale) * scale:.0f} ± {round(error / scale) * scale:.0f}"
    value = round(value, -exponent) + 0.0  # no minus before a zero
    return f"{value:.{-exponent}f} ± {error:.{-exponent}f}"
