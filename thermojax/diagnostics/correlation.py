"""The autocorrelation of chains, and its integral, the autocorrelation time."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import real, whole
from .._component import positive, shown
from .._scale import constant, standardized
from ..estimate import Estimate
from .values import chains_of, warn_of_coarse_values, within_rounding


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
    warn_of_coarse_values("the autocorrelation", found, values)
    return found


@partial(jax.jit, static_argnames="lags")
def correlation(values: Float[Array, "time chains ..."], lags: int | None):
    y, _, scale = standardized(values, (0, 1))
    covariance = autocovariance(y)[:lags]
    still = constant(values, (0, 1))
    found = jnp.where(still, 1.0, covariance / jnp.where(still, 1, covariance[0]))
    return jnp.where(within_rounding(values, covariance[0], scale), jnp.nan, found)


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
    found = integrated_time(values, window)
    warn_of_coarse_values("the autocorrelation time", found.value, values)
    return found


def checked_window(window):
    return real("window", window, "a positive number of autocorrelation times", positive)


@jax.jit
def integrated_time(values: Float[Array, "time chains ..."], window) -> Estimate:
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
    tau = jnp.where(within_rounding(values, covariance[0], scale), jnp.nan, tau)
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
