"""The statistics of chains too long to keep, in memory that grows with the logarithm of time."""

from __future__ import annotations

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from .._component import floating, known
from .._repr import with_numbers
from .._scale import COARSE, floored, power_of_two
from ..estimate import Estimate
from .convergence import reduction
from .values import warn_of_coarse_values

LEVELS = 31  # blocks of 1, 2, 4, ... samples: as many as an int32 can count
FEWEST_BLOCKS = 8  # in all chains together, behind an autocorrelation time
ENOUGH_BLOCKS = 32  # behind one that can be relied on
WINDOW = 2.0  # the least length of a block in autocorrelation times


class StreamingSummary(eqx.Module):
    """The statistics of chains so far; shapes `(...)`, as one value of one chain.

    `mean`, with an error that knows the autocorrelation; `variance`; `autocorrelation_time`, in
    samples, as `tj.diagnostics.autocorrelation_time`; `effective_samples`, samples by that time;
    `r_hat`, split; `resolved`: whether blocks much longer than that time exist (else the run is too
    short or the chains disagree, and the errors are too small). `samples`, a scalar: time * chains.
    Where the values differ by no more than their rounding, all but the mean is nan, and so is a
    variance that the dtype cannot hold (float32 ends at 1e-38).
    """

    mean: Estimate
    variance: Float[Array, "..."]
    autocorrelation_time: Estimate
    effective_samples: Float[Array, "..."]
    r_hat: Float[Array, "..."]
    resolved: Array
    samples: Int[Array, ""]

    __pdoc__ = with_numbers

    def __str__(self):
        if known(self.r_hat) is None:
            return repr(self)
        doubt = "" if bool(jnp.all(self.resolved)) else "; NOT RESOLVED, run longer"
        return (
            f"mean {self.mean} from {int(self.samples)} samples, autocorrelation time "
            f"{self.autocorrelation_time}, R-hat at most {float(jnp.max(self.r_hat)):.4f}{doubt}"
        )


class Streaming(eqx.Module):
    r"""Mean, variance, autocorrelation time and R-hat of chains, one sample at a time.

        stream = tj.diagnostics.Streaming.start(values)  # (chains, ...): shape and dtype only
        stream = stream.update(values)                # in jit, in scan, in a training loop
        stream.summary()

    Each level l averages blocks of b = 2^l samples and keeps the variance V_l of the block means
    and half the mean square difference D_l of neighbours. Their covariance is V_l - D_l, so that

        tau_l = b (3 V_l - 2 D_l) / V_0 = 1 + 2 sum_k w_k rho(k),

    with a window w that is flat up to lag b and falls to zero at 2 b: what it leaves out vanishes
    exponentially, unlike in plain blocking. The first level with b >= 2 max(tau_l, 2) is used,
    and is resolved where there are 32 blocks or more.

    `count`: samples so far, a scalar, at most 2^31 - 1. `shift`, `(chains, ...)`: the first sample,
    and `scale`, `(...)`: a power of two near the first difference from it; the other fields,
    `(levels, chains, ...)`, are of (values - shift) / scale, so that float32 holds the squares of
    values in any unit, and small differences of large ones. **Cost:** memory of 4 * 31 samples per
    chain; two levels per update on average. No gradient flows through.

    **Source:** H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989); J. Ramirez et al., J.
    Chem. Phys. 133, 154103 (2010); D. N. Politis, J. P. Romano, J. Time Ser. Anal. 16, 67 (1995).
    """

    count: Int[Array, ""]
    shift: Float[Array, "chains ..."]
    scale: Float[Array, "..."]
    last: Float[Array, "levels chains ..."]
    mean: Float[Array, "levels chains ..."]
    variance: Float[Array, "levels chains ..."]
    difference: Float[Array, "levels chains ..."]

    @classmethod
    def start(cls, template: Float[ArrayLike, "chains ..."]) -> Streaming:
        """An empty record for values like these, `(chains, ...)`; their numbers do not matter.

        **Raises:** ValueError for a scalar: the first axis is that of the chains.
        """
        template = floating(template, "template")
        template = template.astype(jnp.promote_types(template.dtype, jnp.float32))
        if template.ndim < 1 or 0 in template.shape:
            raise ValueError(
                f"template has shape {template.shape}: expected (chains, ...), for one x[None]"
            )
        zeros = jnp.zeros((LEVELS, *template.shape), template.dtype)
        first = zeros[0], zeros[0, 0]
        return cls(jnp.zeros((), jnp.int32), *first, zeros, zeros, zeros, zeros)

    def update(self, values: Float[ArrayLike, "chains ..."]) -> Streaming:
        """The record with one more sample of every chain, `(chains, ...)`.

        **Raises:** ValueError for values of another shape than the template.
        """
        values, shape = floating(values, "values"), self.last.shape[1:]
        if values.shape != shape:
            raise ValueError(f"values have shape {values.shape}: expected {shape} as at first")
        return self.updated(values)

    @eqx.filter_jit
    def updated(self, values: Float[Array, "chains ..."]) -> Streaming:
        """The compiled part of `update`, of values that fit."""
        dtype = self.last.dtype
        count = self.count + 1
        fields = (self.last, self.mean, self.variance, self.difference)

        def enter(state):
            """Add a finished block to its level; two of them make one of the next level."""
            level, block, (last, mean, variance, difference) = state
            number = count >> level  # of blocks at this level, with this one
            n = number.astype(dtype)
            before = last[level]
            change = block - mean[level]
            updated = mean[level] + change / n
            spread = variance[level] + (change * (block - updated) - variance[level]) / n
            half = 0.5 * (block - before) ** 2
            # The first block has no neighbour: its difference is weighted with zero.
            gap = difference[level] + (half - difference[level]) / jnp.maximum(n - 1, 1)
            gap = jnp.where(number > 1, gap, 0)
            fields = (
                last.at[level].set(block),
                mean.at[level].set(updated),
                variance.at[level].set(spread),
                difference.at[level].set(gap),
            )
            return level + 1, 0.5 * (before + block), fields

        def goes_on(state):
            level = state[0]
            return (count & ((1 << level) - 1)) == 0

        values = jax.lax.stop_gradient(jnp.asarray(values, dtype))
        shift = jnp.where(self.count == 0, values, self.shift)
        largest = jnp.max(jnp.abs(values - shift), axis=0)
        # Until a value differs from the first one all that is kept is zero, in any unit.
        unit = jnp.where(largest > 0, power_of_two(largest), 0)
        scale = jnp.where(self.scale > 0, self.scale, unit)
        block = (values - shift) / jnp.where(scale > 0, scale, 1)
        start = (jnp.zeros((), jnp.int32), block, fields)
        fields = jax.lax.while_loop(goes_on, enter, start)[2]
        names = ("last", "mean", "variance", "difference")
        kept = dict(zip(names, fields, strict=True))
        return dataclasses.replace(self, count=count, shift=shift, scale=scale, **kept)

    def summary(self) -> StreamingSummary:
        """The statistics of the chains so far; shapes `(...)`. May be called under jit.

        **Raises:** ValueError before the fourth sample, where the count is known.
        """
        count = known(self.count)
        if count is not None and count < 4:
            raise ValueError(f"{count} samples so far: expected at least four of every chain")
        found = self.summarized()
        mean = known(found.mean.value)
        if mean is not None and not np.all(np.isfinite(mean)):
            warnings.warn(
                "the values were not finite at some time, and the summary is nan: leave diverged "
                "chains out",
                stacklevel=3,
            )
        else:
            tau = found.autocorrelation_time.value
            warn_of_coarse_values("the autocorrelation time", tau, self.mean, 4)
        return found

    @eqx.filter_jit
    def summarized(self) -> StreamingSummary:
        """The compiled part of `summary`."""
        chains = self.mean.shape[1]
        per_chain = self.count >> jnp.arange(LEVELS)
        column = lambda x: x.reshape(-1, *[1] * (self.mean.ndim - 2))
        blocks = column(per_chain * chains).astype(self.mean.dtype)
        length = column(2.0 ** jnp.arange(LEVELS)).astype(self.mean.dtype)
        scale = jnp.where(self.scale > 0, self.scale, 1)
        # About the mean of all chains: chains that disagree never decorrelate.
        means = self.mean + (self.shift - self.shift[0]) / scale
        mean = jnp.mean(means, axis=1)
        squares = jnp.mean(self.variance + (means - mean[:, None]) ** 2, axis=1)
        variance = squares * blocks / jnp.maximum(blocks - 1, 1)
        difference = jnp.mean(self.difference, axis=1)
        frozen = variance[0] == 0
        # What values of this size, and their differences from the first, are rounded to.
        size = jnp.max(jnp.abs(self.shift) / scale + jnp.abs(self.mean[0]), axis=0)
        limit = COARSE * jnp.finfo(size.dtype).eps * size
        blurred = ~frozen & (variance[0] <= limit**2)
        tau = length * (3 * variance - 2 * difference) / jnp.where(frozen, 1, variance[0])

        usable = (blocks >= FEWEST_BLOCKS) & (column(per_chain) >= 2)
        usable = usable | (length == 1)
        # Anticorrelated chains have a small tau_l from the first level on.
        long = length >= WINDOW * jnp.maximum(tau, 2)
        enough = usable & long & (blocks >= ENOUGH_BLOCKS)
        resolved = jnp.any(enough, axis=0) & ~frozen & ~blurred
        longest = jnp.broadcast_to(jnp.sum(usable, axis=0) - 1, resolved.shape)
        level = jnp.where(resolved, jnp.argmax(enough, axis=0), longest)[None]
        pick = lambda x: jnp.take_along_axis(jnp.broadcast_to(x, tau.shape), level, axis=0)[0]
        samples = blocks[0]
        found = jnp.where(frozen, self.count, jnp.clip(pick(tau), 1 / samples, self.count))
        # Of independent blocks, V_l has the relative variance 2/blocks and 2 (V_l - D_l) 4/blocks.
        error = found * jnp.sqrt(6 / pick(blocks))
        found, error = (jnp.where(blurred, jnp.nan, x) for x in (found, error))
        value = self.shift[0] + scale * mean[0]
        mean_error = scale * jnp.sqrt(variance[0] * found / samples)
        spread = jnp.where(blurred, jnp.nan, scale * (scale * variance[0]))
        return StreamingSummary(
            Estimate(value, jnp.where(frozen, 0, floored(mean_error, value)), samples),
            # A square that the dtype cannot hold is not zero.
            jnp.where(~frozen & (spread < jnp.finfo(spread.dtype).tiny), jnp.nan, spread),
            Estimate(found, error, samples),
            samples / found,
            jnp.where(blurred, jnp.nan, self.blocked_r_hat(per_chain, squares)),
            resolved,
            self.count * chains,
        )

    def blocked_r_hat(self, per_chain, squares):
        """R-hat over the two or three longest equal blocks of every chain."""
        level = jnp.argmax(jnp.where(per_chain >= 2, jnp.arange(LEVELS), -1))
        groups = (per_chain[level] * self.mean.shape[1]).astype(squares.dtype)
        n = (2.0**level).astype(squares.dtype)
        between = squares[level] * groups / (groups - 1)
        within = jnp.maximum(squares[0] - squares[level], 0) * n / (n - 1)
        return reduction(within, between, n)
