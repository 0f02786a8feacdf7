"""A segment of a persistent chain: so many steps, its time, noise and ledger going on."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._tree import cast, dtype_of
from ..dynamics import DriftTerm, GridBrownianPath, NoiseTerm, kinetic, timetable
from ..execution import Execution, solve, spread
from ..ledger import energy_limit
from ..potential import batched_energy
from ..system import AbstractSystem
from .shapes import check_shapes
from .state import Chain


@eqx.filter_jit
def move(
    system: AbstractSystem, chain: Chain, dt, steps: int, how: Execution, pace: Array | None = None
) -> Chain:
    """The chain after `steps` steps of `dt`, of `pace` (batch,) times that on each path."""
    return moved(system, chain, dt, steps, how, pace)[0]


def moved(system: AbstractSystem, chain: Chain, dt, steps: int, how: Execution, pace: Array | None):
    """The chain after the segment, and its ledger at the beginning, when the system is this one."""
    dtype = dtype_of(chain.position)
    system, h = cast(system, dtype), dt.astype(dtype)
    check_shapes(system, jax.tree.map(lambda x: x[0], chain.position))
    table = timetable(
        system,
        chain.position,
        h,
        steps,
        start=chain.clock,
        held=chain.control,
        ou_fraction=how.integrator.ou_fraction,
    )
    table = cast(table, dtype)
    shape = jax.eval_shape(lambda: chain.position)
    draws, sharding = how.integrator.draws, how.sharding
    path = GridBrownianPath(chain.words, shape, h, chain.step, 0, draws, how.noise_dtype)
    drift = DriftTerm(system, table)
    # To the energy under this system from that which the chain has, whatever made the difference:
    # the control, a mass, or a potential that was exchanged without `switch`. The first law then
    # holds by construction, and in every derivative.
    moving = kinetic(chain.momentum, table.bath_at(0).inverse_mass)
    energy = batched_energy(system.potential, chain.position, table.middles[1]) + moving
    limit = energy_limit(table.temperature_ends[0], dtype)
    begun = chain.ledger.switched(energy - chain.ledger.energy, moving, limit)
    (position, momentum, ledger), _ = solve(
        drift,
        NoiseTerm(system, table, path),
        spread((chain.position, chain.momentum, begun), sharding),
        how,
        pace=spread(pace, sharding),
    )
    after = dataclasses.replace(
        chain,
        position=position,
        momentum=momentum,
        ledger=ledger,
        control=table.middles[-1],
        clock=chain.clock.moved(steps, h),
        step=chain.step + steps,
        temperature=jnp.asarray(table.temperature_ends[1], dtype),
    )
    return after, begun
