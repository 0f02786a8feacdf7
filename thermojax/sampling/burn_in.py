"""The equilibrium of any potential: tempered sequential Monte Carlo with Metropolis-adjusted moves.

A few samples move from around the template to where the energy lets them go; a population then
starts from a Gaussian twice as wide as they are along each coordinate, and is carried to exp(-U/kT)
along exp(-(1 - s) U_ref - s U/kT), s from 0 to 1 in steps chosen so that the effective sample size
stays high, with resampling and Hamiltonian Monte Carlo at each (Del Moral, Doucet, Jasra, JRSS B
68, 411 (2006)). Several modes are found where the first samples cover them, in their right shares.
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
SCOUTS, SCOUTING = 256, 32  # the first samples, and their moves
BROADER = 2.0  # the reference than the target
# What passes as converged. A population fills half of the reference, 1 / BROADER; all of it only
# where the energy does not bound it, or where the reference was too narrow to weigh it by.
LEAST_FRACTION, LEAST_ACCEPTANCE, DRIFT, REACH, ERROR, COARSE = 0.1, 0.3, 5.0, 0.75, 2.0, 0.1


class BurnInReport(eqx.Module):
    """The quality of a start from burn-in; each entry a scalar.

    - `acceptance`: of the last moves; healthy between 0.4 and 0.99.
    - `lowest_ess`: the smallest effective sample size of a rung, as a fraction of the population.
    - `drift`: change of the mean energy over the last moves, in standard errors.
    - `reach`: the width of the population beside that of the reference that it came from, of the
      coordinate where it is largest; about 0.5. An energy that does not bound its coordinates, so
      that there is no equilibrium, leaves it at 1 or above.
    - `rounding`: of energies in their dtype, in kT.
    - `log_normalizer`: the estimate of ln of the integral of exp(-U/kT). `log_normalizer_error`:
      its standard error, from how unevenly the population descends from its first members (Lee,
      Whiteley, Biometrika 105, 609 (2018)).
    """

    acceptance: Float[Array, ""]
    lowest_ess: Float[Array, ""]
    drift: Float[Array, ""]
    reach: Float[Array, ""]
    rounding: Float[Array, ""]
    log_normalizer: Float[Array, ""]
    log_normalizer_error: Float[Array, ""]

    __pdoc__ = with_numbers

    @property
    def converged(self):
        """Whether all checks hold: the fraction above 0.1, acceptance above 0.3, drift < 5, reach
        < 0.75, rounding < 0.1, and an error of the normalizer < 2. NaN holds nowhere.
        """
        return (
            (self.lowest_ess > LEAST_FRACTION)
            & (self.acceptance > LEAST_ACCEPTANCE)
            & (jnp.abs(self.drift) < DRIFT)
            & (self.reach < REACH)
            & (self.rounding < COARSE)
            & (self.log_normalizer_error < ERROR)
            & jnp.isfinite(self.log_normalizer)
        )


def burn_in(
    key: PRNGKeyArray, energy, template: PyTree[Array], batch: int, temperature=1.0
) -> tuple[PyTree[Array], BurnInReport]:
    """`batch` draws from exp(-energy(x) / temperature)/Z around a first guess, and the report.

    **Cost:** about 800 gradients for each of 512 samples, 700 of more; no gradient flows through.
    """
    guess, unravel = ravel_pytree(template)
    dim, size = guess.size, max(batch, LOWEST_POPULATION)
    rungs = RUNGS + math.isqrt(dim)
    from_here, base = reduced_energy(energy, template, temperature)
    reduced = lambda v: from_here(jax.vmap(unravel)(v))
    keys = jax.random.split(key, rungs + 5)
    center, scale, bounded = scouted(keys[0], reduced, guess)
    # In coordinates in which the reference is the normal law.
    target = lambda u: reduced(center + scale * u)
    reference = lambda u: 0.5 * jnp.sum(u**2, axis=-1) + 0.5 * dim * math.log(2 * math.pi)

    def bridged(s):
        return lambda u: (1 - s) * reference(u) + s * target(u)

    def rung(carry, x):
        u, ancestor, s, step, log_z = carry
        key, last = x
        gain = target(u) - reference(u)
        new = jnp.where(last, 1.0, next_rung(gain, s))
        log_w = -(new - s) * gain
        log_z = log_z + jax.nn.logsumexp(log_w) - jnp.log(size)
        fraction = effective_fraction(log_w)
        resample, move = jax.random.split(key)
        chosen = systematic(resample, log_w)
        u, step, accepted = hmc(move, bridged(new), u[chosen], step, MOVES)
        return (u, ancestor[chosen], new, step, log_z), (fraction, accepted)

    u = jax.random.normal(keys[1], (size, dim), guess.dtype)
    zero = jnp.zeros((), guess.dtype)
    carry = (u, jnp.arange(size), zero, jnp.full((), 0.3, guess.dtype), zero)
    last = jnp.arange(rungs) == rungs - 1
    carry, (fractions, _) = jax.lax.scan(rung, carry, (keys[2 : rungs + 2], last))
    u, ancestor, _, step, log_z = carry
    before = target(u)
    u, _, accepted = hmc(keys[-2], target, u, step, SETTLE)
    after = target(u)
    change = jnp.mean(after) - jnp.mean(before)
    error = jnp.sqrt((jnp.var(before) + jnp.var(after)) / size)
    low, high = jnp.quantile(u, jnp.array([0.16, 0.84]), axis=0)
    offspring = jnp.zeros(size, guess.dtype).at[ancestor].add(1 / size)
    report = BurnInReport(
        acceptance=accepted,
        lowest_ess=jnp.min(fractions),
        drift=jnp.where(change == 0, change, change / error),  # no drift in a box
        reach=jnp.where(bounded, jnp.max(high - low) / 2, jnp.inf),
        rounding=jnp.finfo(guess.dtype).eps * jnp.median(jnp.abs(after + base / temperature)),
        log_normalizer=log_z + jnp.sum(jnp.log(scale)) - base / temperature,
        log_normalizer_error=jnp.sqrt(jnp.maximum(jnp.sum(offspring**2) - 1 / size, 0)),
    )
    # Resampling leaves copies side by side; a permutation keeps any slice of the batch fair.
    u = jax.random.permutation(keys[-1], u)[:batch]
    return jax.lax.stop_gradient((jax.vmap(unravel)(center + scale * u), report))


def reduced_energy(energy, x0, temperature):
    """U/kT of a batch of positions, less that of one; and U(x0).

    A constant in the energy then costs no more digits than it has taken already.
    """
    base = energy(x0)
    base = jnp.where(jnp.isfinite(base), base, 0)
    return jax.vmap(lambda x: finite((energy(x) - base) / temperature)), base


def finite(energy):
    """A wall is a very high energy: infinity would put NaN into the averages of a rung."""
    return jnp.nan_to_num(energy, nan=1e12, posinf=1e12)


def scouted(key, energy, guess):
    """Center and width along each coordinate of a Gaussian that covers the target.

    A few samples around the guess take moves on the target itself, with steps that grow as they
    spread. And whether any width is the best, which is not so where the energy has no bounds.
    """
    draw, move = jax.random.split(key)
    z = jax.random.normal(draw, (SCOUTS, guess.size), guess.dtype)
    width, bounded = best_width(energy, guess, z)
    around = lambda y: energy(guess + width * y)
    y, _, _ = hmc(move, around, BROADER * z, jnp.full((), 0.3, guess.dtype), SCOUTING)
    spread = jnp.maximum(jnp.std(y, axis=0), 1e-3)
    return guess + width * jnp.mean(y, axis=0), BROADER * width * spread, bounded


def best_width(energy, center, z):
    """The width of the isotropic Gaussian around the guess nearest to the target in KL.

    Of all powers of two whose squares the dtype holds, since the unit of length is not known. And
    whether it is not the last of them.
    """
    most = jnp.finfo(center.dtype).maxexp // 2 - 8

    def best(exponents):
        widths = jnp.exp2(exponents.astype(center.dtype))
        costs = jax.lax.map(lambda s: jnp.mean(energy(center + s * z)), widths)
        return exponents[jnp.argmin(costs - center.size * math.log(2) * exponents)]

    most -= most % 4
    coarse = best(jnp.arange(-most, most + 1, 4))
    fine = best(coarse + jnp.arange(-3, 4))
    return jnp.exp2(fine.astype(center.dtype)), coarse < most


def next_rung(gain, s):
    """The largest s' <= 1 that leaves an effective sample fraction of 0.6, by bisection."""

    def halve(bracket, _):
        low, high = bracket
        middle = 0.5 * (low + high)
        enough = effective_fraction(-(middle - s) * gain) > 0.6
        return (jnp.where(enough, middle, low), jnp.where(enough, high, middle)), None

    (low, _), _ = jax.lax.scan(halve, (s, jnp.ones_like(s)), None, length=30)
    return jnp.where(effective_fraction(-(1 - s) * gain) > 0.6, 1.0, low)


def effective_fraction(log_w):
    log_ess = 2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w)
    return jnp.exp(log_ess) / log_w.shape[0]


def systematic(key, log_w):
    """Indices of a systematic resampling: one uniform number, equally spaced arms."""
    return spaced(jax.random.uniform(key, dtype=log_w.dtype), log_w)


def spaced(offset, log_w):
    """Indices at equally spaced arms, the first at `offset` of their distance.

    Never one of weight zero: sums are rounded, so arms are counted in the whole that they come to.
    """
    size, sums = log_w.shape[0], jnp.cumsum(jax.nn.softmax(log_w))
    arms = (offset + jnp.arange(size)) / size
    arms = jnp.minimum(arms, 1 - jnp.finfo(log_w.dtype).eps) * sums[-1]
    return jnp.clip(jnp.searchsorted(sums, arms, side="right"), 0, size - 1)


def hmc(key, energy, v, step, moves: int):
    """Hamiltonian Monte Carlo, scaled by the population's own widths; the step adapts to 0.8."""
    gradient = jax.grad(lambda v: jnp.sum(energy(v)))

    def move(carry, key):
        v, step = carry
        scale = jnp.std(v, axis=0) + 1e-6
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
