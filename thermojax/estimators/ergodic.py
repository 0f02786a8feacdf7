"""How much a long chain knows: autocorrelation, effective samples, convergence, ergodicity.

Values are `(time, chains)` or `(time, chains, ...)`, equally spaced in time, as the `saved.values`
of a `tj.Result` are; `(time,)` is one chain. All chains must sample one stationary law. For chains
too long to keep there is `tj.Streaming`. Times are counted in samples.

The unit of the values and what they have in common do not matter. Values that differ by no more
than their own rounding tell nothing: the answer is nan, and outside of jit a warning says so.
"""

from __future__ import annotations

import warnings
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import real, whole
from .._component import floating, known, positive, shown
from .._repr import with_numbers
from .._scale import centered, constant, rounding, standardized
from ..estimate import Estimate
from .fluctuation import verdict


def autocorrelation(
    values: Float[ArrayLike, "time chains ..."], lags: int | None = None
) -> Float[Array, "lags ..."]:
    r"""rho(k) = C(k)/C(0), the average over the chains, for lags k = 0, 1, ...

        C(k) = sum over t and chains of (x_t - mean)(x_t+k - mean) / (time * chains),

    about the mean of ALL chains (chains that disagree never decorrelate), normalized by the number
    of samples whatever the lag. A coordinate that never changes has rho = 1.

    **Arguments:** `values`, `(time, chains, ...)`; `lags`, how many, at most `time`.

    **Returns:** `(lags, ...)`. **Cost:** O(time log time) per chain, by fast Fourier transform.

    **Raises:** ValueError for fewer than four times, or NaN.
    """
    values = chains_of(values)
    n = values.shape[0]
    if lags is not None and (lags := whole("lags", lags)) > n:
        raise ValueError(
            f"lags = {shown(lags)}: expected between 1 and the {n} times of the values"
        )
    found = correlation(values, lags)
    warn_of_rounding("the autocorrelation", found, values)
    return found


@partial(jax.jit, static_argnames="lags")
def correlation(values: Float[Array, "time chains ..."], lags: int | None):
    y, _, scale = standardized(values, (0, 1))
    covariance = autocovariance(y)[:lags]
    still = constant(values, (0, 1))
    found = jnp.where(still, 1.0, covariance / jnp.where(still, 1, covariance[0]))
    return jnp.where(coarse(values, covariance[0], scale), jnp.nan, found)


def coarse(values: Float[Array, "time chains ..."], variance, scale) -> Array:
    """Whether values are not all the same, and differ by rounding alone.

    `variance`, `(...)`, theirs in units of scale^2.
    """
    limit = rounding(values, (0, 1)) / scale[0, 0]
    return ~constant(values, (0, 1)) & (variance <= limit**2)


def warn_of_rounding(what: str, found, values, frames: int = 3) -> None:
    """Say in words why a statistic is nan; silent while tracing. The user is `frames` above."""
    array = known(found)
    if array is not None and np.any(np.isnan(array)):
        warnings.warn(
            f"the values differ by no more than the rounding of {values.dtype}: {what} is nan; "
            "take what they have in common from them before they are rounded, or use float64",
            stacklevel=frames,
        )


def autocovariance(centered: Float[Array, "time chains ..."]) -> Float[Array, "time ..."]:
    """sum_t x_t x_t+k / time for each lag k, the mean over chains; twice the length of zeros keeps
    the ends from meeting."""
    n = centered.shape[0]
    power = jnp.mean(jnp.abs(jnp.fft.rfft(centered, n=2 * n, axis=0)) ** 2, axis=1)
    return jnp.fft.irfft(power, n=2 * n, axis=0)[:n] / n


def autocorrelation_time(
    values: Float[ArrayLike, "time chains ..."], window: float = 5.0
) -> Estimate:
    r"""The integrated autocorrelation time tau = 1 + 2 sum_k>0 rho(k), in samples.

    One sample in tau is independent: Var(mean) = C(0) tau / samples. This is (1 + rho)/(1 - rho)
    for rho(k) = rho^k; some authors call half of it tau. The sum stops at the first lag
    M >= window * max(tau(M), 2) (Sokal's automatic window), which leaves out exp(-2 window) of it
    where rho is exponential. The error is tau sqrt(2 (2 M + 1) / samples).

    **Arguments:** `values`, `(time, chains, ...)`; `window`, a number.

    **Returns:** an `Estimate` of shape `(...)`. Trust it only where time is above about 50 tau.

    **Raises:** ValueError for fewer than four times, or NaN.

    **Source:** A. D. Sokal, Monte Carlo methods in statistical mechanics (1997), sec. 3; U. Wolff,
    Comput. Phys. Commun. 156, 143 (2004).
    """
    values, window = chains_of(values), checked_window(window)
    found = integrated(values, window)
    warn_of_rounding("the autocorrelation time", found.value, values)
    return found


def checked_window(window):
    return real("window", window, "a positive number of autocorrelation times", positive)


@jax.jit
def integrated(values: Float[Array, "time chains ..."], window) -> Estimate:
    n, chains = values.shape[:2]
    y, _, scale = standardized(values, (0, 1))
    covariance = autocovariance(y)
    total, stop = windowed_sum(covariance, window, n * chains)
    # The mean that was subtracted took away its own variance.
    variance = covariance[0] + total / (n * chains)
    still = constant(values, (0, 1))
    tau = jnp.where(still, n, total / jnp.where(still, 1, variance))
    # Chains that never decorrelate are one sample each, not fewer.
    tau = jnp.clip(tau, 1 / (n * chains), n)
    tau = jnp.where(coarse(values, covariance[0], scale), jnp.nan, tau)
    error = tau * jnp.sqrt(2 * (2 * stop + 1).astype(tau.dtype) / (n * chains))
    return Estimate(tau, error, n * chains)


def windowed_sum(covariance: Float[Array, "lags ..."], window: float, samples: int):
    """C(0) + 2 sum C(k) up to Sokal's window, and the last lag; `samples` share one mean.

    Lag k has n - k pairs, not n; and each C(k) lacks the variance of the mean, sum / samples.
    """
    n = covariance.shape[0]
    lag = jnp.arange(n, dtype=covariance.dtype).reshape(-1, *[1] * (covariance.ndim - 1))
    covariance = covariance * (n / (n - lag))
    total = 2 * jnp.cumsum(covariance, axis=0) - covariance[0]
    tau = total / jnp.where(covariance[0] > 0, covariance[0], 1)
    # Anticorrelated chains have small sums from the first lag on, and still need a few lags.
    wide = (lag >= window * jnp.maximum(tau, 2)) | (lag == n - 1)
    stop = jnp.argmax(wide, axis=0)
    found = jnp.take_along_axis(total, stop[None], axis=0)[0]
    seen = (2 * stop + 1).astype(covariance.dtype) / samples
    return jnp.maximum(found, 0) / jnp.maximum(1 - seen, 0.5), stop


def effective_sample_size(
    values: Float[ArrayLike, "time chains ..."], window: float = 5.0
) -> Float[Array, "..."]:
    """How many independent samples give the mean as well: time * chains / tau.

    **Arguments:** `values`, `(time, chains, ...)`; `window`, as for `autocorrelation_time`.

    **Returns:** `(...)`; above the number of samples where they are anticorrelated.

    **Raises:** ValueError for fewer than four times, or NaN.
    """
    values, window = chains_of(values), checked_window(window)
    tau = integrated(values, window)
    warn_of_rounding("the effective sample size", tau.value, values)
    return jnp.asarray(tau.count / tau.value)


def r_hat(
    values: Float[ArrayLike, "time chains ..."], *, rank_normalized: bool = False
) -> Float[Array, "..."]:
    r"""Split R-hat, the potential scale reduction: near 1 where chains agree, above 1.01 not.

        R = sqrt(((n - 1)/n W + B/n) / W),

    over the halves of all chains, n samples each (the middle one of an odd number is left out),
    with W the mean of their variances and B/n the variance of their means.

    **Arguments:** `values`, `(time, chains, ...)`; `rank_normalized`: the larger of the R-hat of
    normal scores of the ranks, and of those of |x - median|, for heavy tails and for chains that
    differ in scale alone.

    **Returns:** `(...)`; 1 where nothing changes, infinity where the halves are different
    constants. **Raises:** ValueError for fewer than four times, or NaN.

    **Source:** A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Buerkner, Bayesian Analysis
    16, 667 (2021), eqs. (1)-(4), (14).
    """
    if not isinstance(rank_normalized, bool | np.bool_):
        raise ValueError(f"rank_normalized = {shown(rank_normalized)}: expected True or False")
    values = chains_of(values)
    found = split(values, bool(rank_normalized))
    warn_of_rounding("R-hat", found, values)
    return found


@partial(jax.jit, static_argnames="rank_normalized")
def split(values: Float[Array, "time chains ..."], rank_normalized: bool):
    half = values.shape[0] // 2
    values = jnp.concatenate([values[:half], values[-half:]], axis=1)
    y, _, scale = standardized(values, (0, 1))
    if rank_normalized:
        folded = jnp.abs(values - jnp.median(values, axis=(0, 1)))
        found = jnp.maximum(*(scale_reduction(normal_scores(x)) for x in (values, folded)))
    else:
        found = scale_reduction(y)
    variance = jnp.mean(y**2, axis=(0, 1))
    return jnp.where(coarse(values, variance, scale), jnp.nan, found)


def scale_reduction(values: Float[Array, "time chains ..."]) -> Float[Array, "..."]:
    """R-hat of chains as they are."""
    n = values.shape[0]
    off, mean = centered(values, 0)
    # The mean of equal numbers is off by a rounding, which would pass for a spread.
    still = constant(values, 0)
    mean = jnp.where(still, values[0], mean[0])
    within = jnp.mean(jnp.where(still, 0, jnp.sum(off**2, axis=0) / (n - 1)), axis=0)
    between = jnp.where(constant(mean, 0), 0, jnp.var(mean, axis=0, ddof=1))
    return reduction(within, between, n)


def reduction(within, between, n):
    """sqrt((n - 1)/n + B/(n W)), and its limits where W = 0; NaN stays NaN."""
    ratio = between / jnp.where(within == 0, 1, within)
    frozen = jnp.where(between == 0, 1.0, between * jnp.inf)
    return jnp.where(within == 0, frozen, jnp.sqrt((n - 1) / n + ratio))


def normal_scores(values: Float[Array, "time chains ..."]) -> Float[Array, "time chains ..."]:
    """Ranks over all times and chains, ties shared, as quantiles of the standard normal law."""
    flat = values.reshape(values.shape[0] * values.shape[1], -1)

    def scores(x):
        ordered = jnp.sort(x)
        low, high = (jnp.searchsorted(ordered, x, side=side) for side in ("left", "right"))
        return jax.scipy.special.ndtri(
            ((low + high + 1).astype(x.dtype) / 2 - 3 / 8) / (x.size + 1 / 4)
        )

    return jax.vmap(scores, 1, 1)(flat).reshape(values.shape)


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
    r"""Is the mean over time of EACH chain the mean over the ensemble?

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
    found = compared(values, ensemble, window)
    degrees = values.shape[1] - (ensemble is None)
    p_value = jax.scipy.special.gammaincc(degrees / 2, found[-1] / 2)
    warn_of_rounding("their time average", found[0].error, values)
    return Ergodicity(*found, degrees, p_value)


@eqx.filter_jit
def compared(values: Float[Array, "time chains ..."], ensemble: Estimate | None, window):
    """The first four entries of `Ergodicity`."""
    n, m = values.shape[:2]
    # All in units of the scale, about the mean of all chains.
    y, shift, scale = standardized(values, (0, 1))
    blurred = coarse(values, jnp.mean(y**2, axis=(0, 1)), scale)
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
    chi_square = ratio(jnp.sum(distance**2, axis=0), variance)
    if ensemble is not None:
        # All share the error of the reference: the inverse of variance * 1 + spread * (ones).
        shared = spread * jnp.sum(distance, axis=0) ** 2
        chi_square -= ratio(shared, variance * (variance + m * spread))
    told = scale * jnp.sqrt(spread), shift + scale * reference
    if ensemble is not None:
        told = (jnp.broadcast_to(x, scale.shape) for x in (ensemble.error, ensemble.value))
    error, reference = (jnp.asarray(x, means.dtype) for x in told)
    return (
        Estimate(
            shift + scale * means, jnp.broadcast_to(scale * jnp.sqrt(variance), means.shape), n
        ),
        Estimate(reference, error, m),
        ratio(distance, jnp.broadcast_to(jnp.sqrt(each), means.shape)),
        chi_square,
    )


def ratio(distance, error):
    """distance / error; where the error is zero, zero for no distance and infinity for any."""
    certain = jnp.where(distance == 0, 0.0, jnp.sign(distance) * jnp.inf)
    return jnp.where(error == 0, certain, distance / jnp.where(error == 0, 1, error))


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
