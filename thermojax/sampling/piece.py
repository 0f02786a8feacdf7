"""A piece of a persistent chain: so many steps, its time, noise and ledger going on."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax.sharding import NamedSharding
from jaxtyping import Array

from .._tree import cast, dtype_of
from ..dynamics import (
    AbstractSplitting,
    DriftTerm,
    GridBrownianPath,
    NoiseTerm,
    kinetic,
    timetable,
)
from ..potential import batched_energy
from ..system import AbstractSystem
from .devices import spread
from .solve import solve
from .state import Chain


class Settings(NamedTuple):
    """How a piece of a chain is computed."""

    integrator: AbstractSplitting
    adjoint: Any
    memory: int | None
    noise_dtype: type
    sharding: NamedSharding | None


@eqx.filter_jit
def move(
    system: AbstractSystem, chain: Chain, dt, steps: int, how: Settings, pace: Array | None = None
) -> Chain:
    """The chain after `steps` steps of `dt`, of `pace` (batch,) times that on each path."""
    dtype = dtype_of(chain.position)
    system, h = cast(system, dtype), dt.astype(dtype)
    table = timetable(
        system,
        chain.position,
        h,
        steps,
        start=chain.time,
        held=chain.control,
        ou_fraction=how.integrator.ou_fraction,
    )
    table = cast(table, dtype)
    shape = jax.eval_shape(lambda: chain.position)
    draws, sharding = how.integrator.draws, how.sharding
    path = GridBrownianPath(chain.words, shape, h, chain.step, 0, draws, how.noise_dtype, sharding)
    drift = DriftTerm(system, table)
    held = batched_energy(system.potential, chain.position, table.switch[0])
    work = batched_energy(system.potential, chain.position, table.switch[1]) - held
    book, moving = chain.ledger, chain.ledger.kinetic
    if table.inverse_masses is not None:  # from the mass of the last middle to that of the next
        moving = kinetic(chain.momentum, jax.tree.map(lambda w: w[1], table.inverse_masses))
        work = work + (moving - book.kinetic)
    ledger = dataclasses.replace(
        book, work=book.work + work, energy=book.energy + work, kinetic=moving
    )
    (position, momentum, ledger), _ = solve(
        drift,
        NoiseTerm(system, table, path),
        how.integrator,
        spread((chain.position, chain.momentum, ledger), sharding),
        adjoint=how.adjoint,
        memory=how.memory,
        pace=spread(pace, sharding),
    )
    return dataclasses.replace(
        chain,
        position=position,
        momentum=momentum,
        ledger=ledger,
        control=table.switch[-1],
        time=chain.time + steps * h,
        step=chain.step + steps,
    )
