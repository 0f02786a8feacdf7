"""The meters of an imperfect device: what they show of its positions, and what stays of that."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..device.noise import standard_normals
from ..device.relaxation import mean_memory
from .imperfections import Imperfections, level

PER_DECADE = 2  # processes whose sum has a spectrum of 1/f, to 2 % from one to the next
TERMS = 200  # of the Fourier series of a quantizer


class Readout(NamedTuple):
    """The numbers of the meters; the distance of two levels is 0 where nothing is quantized."""

    white: Array
    flicker: Array
    rates: Float[Array, " processes"]
    drift: Array
    apart: Array
    top: Array

    def offsets(self, shape: tuple[int, ...], key: PRNGKeyArray) -> Float[Array, "processes ..."]:
        """The processes whose sum is the flicker noise of each meter, as they are at any time."""
        return self.scale * standard_normals(key, (len(self.rates), *shape), self.rates.dtype)

    @property
    def scale(self) -> Array:
        return self.flicker / math.sqrt(max(len(self.rates), 1))

    def moved(self, offsets: Array, time, key: PRNGKeyArray) -> Array:
        """The same after a time: do = -rate o dt + sqrt(2 rate) scale dW, exactly."""
        rate = self.rates.reshape(-1, *(1,) * (offsets.ndim - 1))
        noise = standard_normals(key, offsets.shape, offsets.dtype)
        kept = jnp.exp(-rate * time) * offsets
        return kept + self.scale * jnp.sqrt(-jnp.expm1(-2 * rate * time)) * noise

    def read(self, x: Array, offsets: Array, time, key: PRNGKeyArray) -> tuple[Array, Array]:
        """The read-outs of positions x at a time, and which of them are out of range."""
        noise = self.white * standard_normals(key, x.shape, x.dtype)
        seen = x + noise + jnp.sum(offsets, axis=0) + self.drift * time
        rounds = self.apart > 0
        levels = jnp.round(seen / jnp.where(rounds, self.apart, 1)) * self.apart
        shown = jnp.clip(jnp.where(rounds, levels, seen), -self.top, self.top)
        return shown, jnp.abs(seen) > self.top + 0.5 * self.apart


def readout_of(imperfections: Imperfections, dtype) -> Readout:
    """The meters of a device. The flicker noise is made of processes with equal variances and

    rates that are spread evenly over the logarithm of its band: their Lorentzians add up to
    S(f) = sigma^2 / (f ln(high / low)) between the corners (one-sided). Source: A. van der Ziel,
    Physica 16, 359 (1950).
    """
    given, apart, top = imperfections, 0.0, math.inf
    if given.output_bits is not None and given.output_range is not None:
        apart, top = level(given.output_bits, given.output_range), given.output_range
    numbers = (given.white_noise, given.flicker_noise, rates_of(given), given.drift, apart, top)
    return Readout(*(jnp.asarray(x, dtype) for x in numbers))


def rates_of(imperfections: Imperfections) -> np.ndarray:
    if not imperfections.flicker_noise or imperfections.flicker_band is None:
        return np.zeros(0)
    low, high = imperfections.flicker_band
    count = max(1, round(PER_DECADE * math.log10(high / low)))
    edges = np.geomspace(low, high, count + 1)
    return np.sqrt(edges[1:] * edges[:-1])


def flicker_variance(readout: Readout, time) -> Array:
    """The variance of the average of one meter's flicker noise over a time."""
    return readout.scale**2 * 2 * jnp.sum(mean_memory(readout.rates * time))


def flicker_moments(readout: Readout, time) -> tuple[Array, Array]:
    """The mean of the square of the flicker noise, and the variance of the average of o_a o_b.

    The variance is that of two meters; of one, it is twice as large (Isserlis).
    """
    pairs = readout.rates[:, None] + readout.rates[None, :]
    return readout.flicker**2, readout.scale**4 * 2 * jnp.sum(mean_memory(pairs * time))


def quantizer_bias(readout: Readout, mean: Array, variance: Array) -> Array:
    r"""E[quantized(x)] - E[x] of Gaussian x.

    The error of a quantizer is a sawtooth, sum_k (-1)^k (D / pi k) sin(2 pi k x / D), of which the
    spread of x leaves e^(-2 (pi k sigma / D)^2). Source: B. Widrow, I. Kollar, M.-C. Liu, IEEE
    Trans. Instrum. Meas. 45, 353 (1996).
    """
    apart = jnp.where(readout.apart > 0, readout.apart, 1)
    k = jnp.arange(1, TERMS + 1, dtype=mean.dtype).reshape(-1, *(1,) * mean.ndim)
    left = jnp.exp(-2 * (jnp.pi * k / apart) ** 2 * variance)
    waves = (-1.0) ** k / (jnp.pi * k) * jnp.sin(2 * jnp.pi * k * mean / apart) * left
    return jnp.where(readout.apart > 0, apart * jnp.sum(waves, axis=0), 0)


def quantizer_second_moment(readout: Readout, variance: Array) -> Array:
    r"""E[quantized(x)^2] - E[x^2] of Gaussian x around 0: D^2 / 12 where x spreads over a level.

    D^2 / 12 + sum_k (-1)^k (D^2 / (pi k)^2 + 4 sigma^2) e^(-2 (pi k sigma / D)^2).
    """
    apart = jnp.where(readout.apart > 0, readout.apart, 1)
    k = jnp.arange(1, TERMS + 1, dtype=variance.dtype).reshape(-1, *(1,) * variance.ndim)
    left = (-1.0) ** k * jnp.exp(-2 * (jnp.pi * k / apart) ** 2 * variance)
    waves = (apart**2 / (jnp.pi * k) ** 2 + 4 * variance) * left
    return jnp.where(readout.apart > 0, apart**2 / 12 + jnp.sum(waves, axis=0), 0)


def clipping_bias(readout: Readout, mean: Array, variance: Array) -> Array:
    """E[clipped(x)] - E[x] of Gaussian x: with h(z) = phi(z) - z Q(z), the mean of what is above z,

    sigma (h((top + mean) / sigma) - h((top - mean) / sigma)).
    """
    if not math.isfinite(float(readout.top)):
        return jnp.zeros_like(mean)
    sigma = jnp.sqrt(variance)
    above = lambda z: jsp.stats.norm.pdf(z) - z * jsp.stats.norm.sf(z)
    return sigma * (above((readout.top + mean) / sigma) - above((readout.top - mean) / sigma))


def clipping_second_moments(readout: Readout, covariance: Array, seen: Array) -> Array:
    """E[clipped(x) clipped(y)] - E[x y] of Gaussian x and y around 0, which are `seen` to spread.

    -2 sigma^2 (z phi(z) + (1 - z^2) Q(z)), z = top / sigma, of x and x; to first order in the
    correlation -(1 - p_x p_y) E[x y] of two of them, p the share that is not clipped. Source: J. J.
    Bussgang, MIT Research Laboratory of Electronics, report 216 (1952).
    """
    if not math.isfinite(float(readout.top)):
        return jnp.zeros_like(covariance)
    z = readout.top / jnp.sqrt(seen)
    beyond = jsp.stats.norm.sf(z)
    alone = -2 * seen * (z * jsp.stats.norm.pdf(z) + (1 - z**2) * beyond)
    inside = 1 - 2 * beyond
    pairs = -(1 - jnp.outer(inside, inside)) * covariance
    return jnp.where(jnp.eye(len(seen), dtype=bool), jnp.diag(alone), pairs)
