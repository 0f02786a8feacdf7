"""Annealing with resampling: paths of little weight give way to copies of those of much."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import PRNGKeyArray

from .._keys import Purpose, part_key, purpose_key
from ..sampling import State, simulate
from ..sampling.burn_in import systematic
from ..system import Bath
from .annealed import Annealed
from .energy import batched_position
from .process import AbstractAnnealer, momenta
from .schedule import GridProtocol, StepProtocol

LOOKS = 4  # parts of a run, between which weights are looked at


@eqx.filter_jit
def run_resampled(annealer: AbstractAnnealer, key: PRNGKeyArray, batch: int, threshold) -> Annealed:
    r"""A run in up to four parts, resampled between them where few paths carry the weight.

    Where the effective share of the weights is below `threshold`, paths are drawn by their weights
    and go on with the mean of these, so that the mean of all final weights stays unbiased for Z
    whether or not they are equal when the run ends. Each part costs one gradient more.

    **Source:** P. Del Moral, A. Doucet, A. Jasra, JRSS B 68, 411 (2006), section 3.
    """
    system, dt = annealer.system(), annealer.schedule.values().dt
    whole, friction = system.protocol, system.bath.friction
    assert isinstance(whole, GridProtocol) and isinstance(friction, StepProtocol)
    parts = min(LOOKS, annealer.steps)
    edges = [round(i * annealer.steps / parts) for i in range(parts + 1)]
    z = annealer.base.draw(purpose_key(key, Purpose.POSITION), batch).astype(dt.dtype)
    state = z, momenta(annealer, key, batch)
    zero, alive = jnp.zeros(batch, dt.dtype), jnp.ones(batch, dt.dtype)
    works, log_weight = (zero, zero, zero), zero
    for i, (first, last) in enumerate(itertools.pairwise(edges)):
        if i:
            weighed = jnp.where(alive > 0, log_weight, -jnp.inf)
            share = jnp.exp(2 * logsumexp(weighed) - logsumexp(2 * weighed)) / batch
            place = systematic(part_key(key, Purpose.RESAMPLING, i), weighed)
            place = jnp.where(share < threshold, place, jnp.arange(batch))
            mean = jnp.full_like(zero, logsumexp(weighed) - jnp.log(batch))
            log_weight = jnp.where(share < threshold, mean, log_weight)
            state, works, alive = jax.tree.map(lambda x, p=place: x[p], (state, works, alive))
        duration = jnp.sum(dt[first:last])
        begin = whole.initial if i == 0 else whole.rows[first]
        end = whole.final if last == annealer.steps else whole.rows[last]
        protocol = GridProtocol(whole.rows[first : last + 1], duration, begin, end)
        rubbing = StepProtocol(friction.rows[first:last], duration)
        bath = Bath(system.bath.temperature, rubbing, system.bath.mass)
        out = simulate(
            system.replace(protocol=protocol, bath=bath),
            part_key(key, Purpose.STAGE, i),
            dt=dt[first:last],
            initial=State(state[0], state[1], "underdamped"),
            integrator=annealer.integrator,
        )
        ledger = out.ledger
        state, alive = (out.position, out.momentum), alive * ledger.alive
        log_weight = log_weight + jnp.where(alive > 0, out.log_weight, 0)
        more = ledger.work, ledger.shadow_work, ledger.drive_work
        works = jax.tree.map(jnp.add, works, more)
    samples = batched_position(annealer.ramp, state[0])
    work, shadow, drive = works
    weights = jnp.where(alive > 0, log_weight, -jnp.inf)
    return Annealed(samples, weights, work, shadow, drive, alive, resampled=True)
