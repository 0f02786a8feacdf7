"""Whether chains agree, and how many independent samples they are worth (Vehtari et al. 2021)."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from .._arguments import choice, flag
from .._scale import centered, constant, standardized
from .correlation import autocovariance, checked_window, integrated_time
from .values import chains_of, warn_of_coarse_values, within_rounding


def effective_sample_size(
    values: Float[ArrayLike, "time chains ..."],
    window: float = 5.0,
    *,
    method: Literal["window", "split", "bulk"] = "window",
) -> Float[Array, "..."]:
    r"""The number of independent samples that would give the mean as well: time * chains / tau.

    - `"window"`: tau is the `autocorrelation_time`, summed up to Sokal's window.
    - `"split"`: tau is that of the halves of all chains, summed by Geyer's initial monotone
      sequence, the sums rho(2k) + rho(2k+1), as long as they are positive, each no larger than the
      one before. rho is 1 - (W - mean covariance) / var+, with var+ of R-hat, so that chains that
      disagree count as few. This is Stan's and `arviz.ess(method="mean")`.
    - `"bulk"`: as `"split"`, of the normal scores of the ranks: for any law, heavy tails included,
      it says how well the center is known. This is `arviz.ess(method="bulk")`, ArviZ's default.

    **Arguments:** `values`, `(time, chains, ...)`; `window`, as for `autocorrelation_time`;
    `method`.

    **Returns:** `(...)`; above the number of samples where they are anticorrelated, though at most
    log10(samples) times as many with `"split"` and `"bulk"`.

    **Raises:** ValueError for fewer than four times (`"split"`, `"bulk"`: eight), or NaN.

    **Source:** A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Buerkner, Bayesian Analysis
    16, 667 (2021), eqs. (7)-(14), section 4.1; C. J. Geyer, Stat. Sci. 7, 473 (1992).
    """
    values, window = chains_of(values), checked_window(window)
    method = choice("method", method, ("window", "split", "bulk"))
    if method == "window":
        tau = integrated_time(values, window)
        found = jnp.asarray(tau.count / tau.value)
    elif values.shape[0] < 8:
        raise ValueError(
            f"values have shape {values.shape}: expected eight times or more for method={method!r}"
        )
    else:
        found = split_sample_size(values, method == "bulk")
    warn_of_coarse_values("the effective sample size", found, values)
    return found


@partial(jax.jit, static_argnames="rank_normalized")
def split_sample_size(values: Float[Array, "time chains ..."], rank_normalized: bool):
    """The effective sample size of the halves of all chains, by Geyer's monotone sequence."""
    halves = split_chains(values)
    y = normal_scores(halves) if rank_normalized else standardized(halves, (0, 1))[0]
    n, chains = y.shape[:2]
    fluctuation, means = centered(y, 0)
    covariance = autocovariance(fluctuation)
    within = covariance[0] * n / (n - 1)
    spread = jnp.var(means[0], axis=0, ddof=1)
    total = covariance[0] + spread
    still = constant(y, (0, 1))
    rho = 1 - (within - covariance) / jnp.where(still, 1, total)
    rho = rho.at[0].set(1.0)
    pairs = (n - 3) // 2 + 1  # as many as ArviZ looks at: lags up to n - 2
    even = rho[0 : 2 * pairs : 2]
    sums = even + rho[1 : 2 * pairs : 2]
    # The first pair whose sum is not positive ends the sequence; its even lag still counts.
    ended = (sums <= 0).at[-1].set(True)
    last = jnp.argmax(ended, axis=0)
    before = jnp.arange(pairs).reshape(-1, *[1] * (sums.ndim - 1)) < last
    monotone = jax.lax.cummin(sums, axis=0)
    tail = jnp.maximum(jnp.take_along_axis(even, last[None], axis=0)[0], 0)
    tau = -1 + 2 * jnp.sum(jnp.where(before, monotone, 0), axis=0) + tail
    samples = n * chains
    found = samples / jnp.maximum(tau, 1 / jnp.log10(samples))
    return jnp.where(spread_is_rounding(halves), jnp.nan, jnp.where(still, samples, found))


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
    rank_normalized = flag("rank_normalized", rank_normalized)
    values = chains_of(values)
    found = split_r_hat(values, rank_normalized)
    warn_of_coarse_values("R-hat", found, values)
    return found


def split_chains(values: Float[Array, "time chains ..."]) -> Float[Array, "half chains ..."]:
    """The halves of all chains as chains of their own."""
    half = values.shape[0] // 2
    return jnp.concatenate([values[:half], values[-half:]], axis=1)


def spread_is_rounding(values: Float[Array, "time chains ..."]) -> Array:
    """Whether the values differ, and by rounding alone."""
    y, _, scale = standardized(values, (0, 1))
    return within_rounding(values, jnp.mean(y**2, axis=(0, 1)), scale)


@partial(jax.jit, static_argnames="rank_normalized")
def split_r_hat(values: Float[Array, "time chains ..."], rank_normalized: bool):
    """R-hat of the halves of all chains."""
    halves = split_chains(values)
    if rank_normalized:
        folded = jnp.abs(halves - jnp.median(halves, axis=(0, 1)))
        found = jnp.maximum(*(scale_reduction(normal_scores(x)) for x in (halves, folded)))
    else:
        found = scale_reduction(standardized(halves, (0, 1))[0])
    return jnp.where(spread_is_rounding(halves), jnp.nan, found)


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
