"""The equilibrium of any potential: tempered sequential Monte Carlo with Metropolis-adjusted moves.

A population starts from a broad Gaussian around the template and is carried to exp(-U/kT) along
exp(-(1 - s) U_ref - s U/kT), s from 0 to 1 in steps chosen so that the effective sample size stays
high, with resampling and Hamiltonian Monte Carlo at each (Del Moral, Doucet, Jasra, JRSS B 68, 411
(2006)). Several modes are found where the broad start covers them, in their right shares.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._repr import with_numbers

RUNGS = 48  # and one more per root of the dimension; a shortage shows in the report
MOVES = 2  # HMC moves per rung
LEAPS = 6  # leapfrog steps per move
SETTLE = 12  # moves at the end, on the target itself
LOWEST_POPULATION = 512


class BurnInReport(eqx.Module):
    """How a start from burn-in went; each entry a scalar.

    - `acceptance`: of the last moves; healthy between 0.4 and 0.99.
    - `lowest_ess`: the smallest effective sample size of a rung, as a share of the population.
    - `drift`: change of the mean energy over the last moves, in standard errors.
    - `log_normalizer`: the estimate of ln of the integral of exp(-U/kT).
    """

    acceptance: Float[Array, ""]
    lowest_ess: Float[Array, ""]
    drift: Float[Array, ""]
    log_normalizer: Float[Array, ""]

    __pdoc__ = with_numbers

    @property
    def converged(self):
        """Whether all three checks hold: the share above 0.1, acceptance above 0.3, drift < 5."""
        return (self.lowest_ess > 0.1) & (self.acceptance > 0.3) & (jnp.abs(self.drift) < 5)


def burn_in(
    key: PRNGKeyArray, reduced_energy, template: PyTree[Array], batch: int
) -> tuple[PyTree[Array], BurnInReport]:
    """`batch` draws from exp(-reduced_energy(x))/Z around a first guess, and the report.

    **Cost:** about 670 gradients for each of max(batch, 512) samples; no gradient flows through.
    """
    center, unravel = ravel_pytree(template)
    size = max(batch, LOWEST_POPULATION)
    rungs = RUNGS + math.isqrt(center.size)
    energy = jax.vmap(lambda v: finite(reduced_energy(unravel(v))))
    keys = jax.random.split(key, rungs + 4)
    z = jax.random.normal(keys[0], (size, center.size), center.dtype)
    spread = 2 * best_spread(energy, center, z)

    def reference(v):
        square = jnp.sum(((v - center) / spread) ** 2, axis=-1)
        return 0.5 * square + center.size * (jnp.log(spread) + 0.5 * jnp.log(2 * jnp.pi))

    def bridged(s):
        return lambda v: (1 - s) * reference(v) + s * energy(v)

    def rung(carry, x):
        v, s, step, log_z = carry
        key, last = x
        gain = energy(v) - reference(v)
        new = jnp.where(last, 1.0, next_rung(gain, s))
        log_w = -(new - s) * gain
        log_z = log_z + jax.nn.logsumexp(log_w) - jnp.log(size)
        share = effective_share(log_w)
        resample, move = jax.random.split(key)
        v = v[systematic(resample, log_w)]
        v, step, accepted = hmc(move, bridged(new), v, step, MOVES)
        return (v, new, step, log_z), (share, accepted)

    zero = jnp.zeros((), center.dtype)
    carry = (center + spread * z, zero, jnp.full((), 0.3, center.dtype), zero)
    last = jnp.arange(rungs) == rungs - 1
    (v, _, step, log_z), (shares, _) = jax.lax.scan(rung, carry, (keys[1 : rungs + 1], last))
    before = energy(v)
    v, _, accepted = hmc(keys[-2], energy, v, step, SETTLE)
    after = energy(v)
    error = jnp.sqrt((jnp.var(before) + jnp.var(after)) / size)
    drift = (jnp.mean(after) - jnp.mean(before)) / error
    # Resampling leaves copies side by side; a permutation keeps any part of the batch fair.
    v = jax.random.permutation(keys[-1], v)[:batch]
    report = BurnInReport(accepted, jnp.min(shares), drift, log_z)
    return jax.lax.stop_gradient((jax.vmap(unravel)(v), report))


def finite(energy):
    """A wall is a very high energy: infinity would put NaN into the averages of a rung."""
    return jnp.nan_to_num(energy, nan=1e12, posinf=1e12)


def best_spread(energy, center, z):
    """The width of the isotropic Gaussian around the guess nearest to the target in KL."""
    widths = jnp.asarray(2.0, center.dtype) ** jnp.arange(-10, 11)
    costs = jax.lax.map(lambda s: jnp.mean(energy(center + s * z[:256])), widths)
    return widths[jnp.argmin(costs - center.size * jnp.log(widths))]


def next_rung(gain, s):
    """The largest s' <= 1 that leaves an effective sample share of 0.6, by bisection."""

    def halve(bracket, _):
        low, high = bracket
        middle = 0.5 * (low + high)
        enough = effective_share(-(middle - s) * gain) > 0.6
        return (jnp.where(enough, middle, low), jnp.where(enough, high, middle)), None

    (low, _), _ = jax.lax.scan(halve, (s, jnp.ones_like(s)), None, length=30)
    return jnp.where(effective_share(-(1 - s) * gain) > 0.6, 1.0, low)


def effective_share(log_w):
    log_ess = 2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w)
    return jnp.exp(log_ess) / log_w.shape[0]


def systematic(key, log_w):
    """Indices of a systematic resampling: one uniform number, equally spaced arms.

    Never one of weight zero: sums are rounded, so arms are counted in the whole that they come to.
    """
    size, sums = log_w.shape[0], jnp.cumsum(jax.nn.softmax(log_w))
    arms = (jax.random.uniform(key, dtype=log_w.dtype) + jnp.arange(size)) / size
    arms = jnp.minimum(arms, 1 - jnp.finfo(log_w.dtype).eps) * sums[-1]
    return jnp.clip(jnp.searchsorted(sums, arms, side="right"), 0, size - 1)


def hmc(key, energy, v, step, moves: int):
    """Hamiltonian Monte Carlo, scaled by the population's own widths; the step adapts to 0.8."""
    gradient = jax.grad(lambda v: jnp.sum(energy(v)))

    def move(carry, key):
        v, step = carry
        scale = jnp.std(v, axis=0) + 1e-12
        draw, accept = jax.random.split(key)
        p = jax.random.normal(draw, v.shape, v.dtype)

        def leap(_, state):
            v, p, g = state
            p = p - 0.5 * step * scale * g
            v = v + step * scale * p
            g = gradient(v)
            return v, p - 0.5 * step * scale * g, g

        v1, p1, _ = jax.lax.fori_loop(0, LEAPS, leap, (v, p, gradient(v)))
        change = energy(v1) - energy(v) + 0.5 * jnp.sum(p1**2 - p**2, axis=-1)
        chance = jnp.exp(jnp.minimum(0.0, -jnp.nan_to_num(change, nan=jnp.inf, posinf=jnp.inf)))
        taken = jax.random.uniform(accept, chance.shape, v.dtype) < chance
        rate = jnp.mean(chance)
        return (jnp.where(taken[:, None], v1, v), step * jnp.exp(0.5 * (rate - 0.8))), rate

    (v, step), rates = jax.lax.scan(move, (v, step), jax.random.split(key, moves))
    return v, step, jnp.mean(rates)
