"""Time averages against the ensemble average."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._component import floating, known
from .._repr import with_numbers
from .._scale import centered, standardized
from ..estimate import Estimate
from ..estimators.fluctuation import verdict
from .correlation import autocovariance, checked_window, windowed_sum
from .values import chains_of, warn_of_coarse_values, within_rounding


class Ergodicity(eqx.Module):
    r"""Time averages against the ensemble average.

    - `time_averages`, `(chains, ...)`: the mean over time of each chain, with its own error.
    - `ensemble`, `(...)`: what they are compared with.
    - `z`, `(chains, ...)`: their distances in standard errors.
    - `chi_square`, `p_value`, `(...)`: all chains together, with `degrees` of freedom.
    """

    time_averages: Estimate
    ensemble: Estimate
    z: Float[Array, "chains ..."]
    chi_square: Float[Array, "..."]
    degrees: int
    p_value: Float[Array, "..."]

    __pdoc__ = with_numbers

    def __str__(self):
        if known(self.p_value) is None:
            return repr(self)
        p = np.min(np.asarray(self.p_value))
        of = f", the least of {self.p_value.size}" if self.p_value.size > 1 else ""
        return (
            f"time averages of {self.z.shape[0]} chains equal the ensemble average "
            f"{self.ensemble}: {verdict(p)}{of}"
        )


def ergodicity(
    values: Float[ArrayLike, "time chains ..."],
    ensemble: Estimate | Float[ArrayLike, "..."] | None = None,
    *,
    window: float = 5.0,
) -> Ergodicity:
    r"""Compare the mean over time of EACH chain with the mean over the ensemble.

    The error of a time average is sqrt(variance * tau / time) from the fluctuations inside of the
    chains, about their own means: a chain that is shut into one well looks as sure of its mean as
    it is, and differs. Under the hypothesis the sum of z^2 over chains is chi-squared.

    **Arguments:** `values`, `(time, chains, ...)`, stationary from the first time on; `ensemble`:
    the exact average, `(...)`, or an `Estimate` of it from other paths, whose error counts; by
    default the mean of the chains, which tells only whether they agree (two chains or more).
    `window`, as for `autocorrelation_time`.

    **Returns:** an `Ergodicity`. **Raises:** ValueError for fewer than four times, NaN, or one
    chain and nothing to compare it with.
    """
    values, window = chains_of(values), checked_window(window)
    if ensemble is None and values.shape[1] < 2:
        raise ValueError("one chain and no ensemble average: pass ensemble=, or more chains")
    if ensemble is not None and not isinstance(ensemble, Estimate):
        ensemble = Estimate(floating(ensemble, "ensemble"), 0.0, 0)
    if ensemble is not None and jnp.shape(ensemble.value) not in (values.shape[2:], ()):
        raise ValueError(
            f"ensemble has shape {jnp.shape(ensemble.value)}: expected {values.shape[2:]}, that of "
            "one value of one chain"
        )
    found = compare_averages(values, ensemble, window)
    degrees = values.shape[1] - (ensemble is None)
    p_value = jax.scipy.special.gammaincc(degrees / 2, found[-1] / 2)
    warn_of_coarse_values("their time average", found[0].error, values)
    return Ergodicity(*found, degrees, p_value)


@eqx.filter_jit
def compare_averages(values: Float[Array, "time chains ..."], ensemble: Estimate | None, window):
    """The first four fields of an `Ergodicity`."""
    n, m = values.shape[:2]
    # All in units of the scale, about the mean of all chains.
    y, shift, scale = standardized(values, (0, 1))
    blurred = within_rounding(values, jnp.mean(y**2, axis=(0, 1)), scale)
    shift, scale = shift[0, 0], scale[0, 0]
    fluctuation, means = centered(y, 0)
    means = means[0]
    covariance = autocovariance(fluctuation)
    # Means are known to their rounding; the average that is given, to that of the values.
    least = jnp.max(jnp.abs(y), axis=(0, 1))
    if ensemble is not None:
        least = jnp.maximum(least, 0.5 * jnp.max(jnp.abs(values), axis=(0, 1)) / scale)
    variance = windowed_sum(covariance, window, n)[0] / n + (jnp.finfo(y.dtype).eps * least) ** 2
    variance = jnp.where(blurred, jnp.nan, variance)
    if ensemble is None:
        reference, spread = jnp.mean(means, axis=0), variance / m
        each = variance * (1 - 1 / m)
    else:
        reference = (jnp.asarray(ensemble.value, means.dtype) - shift) / scale
        error = jnp.asarray(ensemble.error, means.dtype) / scale
        spread = error**2
        each = variance + spread
    distance = means - reference
    chi_square = in_errors(jnp.sum(distance**2, axis=0), variance)
    if ensemble is not None:
        # All share the error of the reference: the inverse of variance * 1 + spread * (ones).
        shared = spread * jnp.sum(distance, axis=0) ** 2
        chi_square -= in_errors(shared, variance * (variance + m * spread))
    stated = scale * jnp.sqrt(spread), shift + scale * reference
    if ensemble is not None:
        stated = (jnp.broadcast_to(x, scale.shape) for x in (ensemble.error, ensemble.value))
    error, reference = (jnp.asarray(x, means.dtype) for x in stated)
    return (
        Estimate(
            shift + scale * means, jnp.broadcast_to(scale * jnp.sqrt(variance), means.shape), n
        ),
        Estimate(reference, error, m),
        in_errors(distance, jnp.broadcast_to(jnp.sqrt(each), means.shape)),
        chi_square,
    )


def in_errors(distance, error):
    """distance / error; where the error is zero, zero for no distance and infinity for any."""
    certain = jnp.where(distance == 0, 0.0, jnp.sign(distance) * jnp.inf)
    return jnp.where(error == 0, certain, distance / jnp.where(error == 0, 1, error))
