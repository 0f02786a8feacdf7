"""Persistent chains: sampling inside somebody else's training loop."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import PRNGKeyArray

from .._tree import cast, dtype_of, where_alive
from ..dynamics import (
    BAOAB,
    QUICSORT,
    AbstractSplitting,
    DriftTerm,
    GridBrownianPath,
    NoiseTerm,
    coefficients,
    key_words,
    kinetic,
    timetable,
)
from ..dynamics.random import threefry
from ..dynamics.terms import bath_at
from ..ledger import Ledger
from ..potential import batched_energy
from ..protocol import Constant, value_at
from ..system import AbstractSystem
from .devices import check_sharding, spread
from .initial import NOISE, Start, checked_start, draw_start, prepare_start, warn_burn_in
from .simulate import check_key
from .solve import check_adjoint, solve
from .state import Chain


def start(
    system: AbstractSystem,
    key: PRNGKeyArray,
    *,
    batch: int | None = None,
    initial: Any = None,
    sharding: NamedSharding | None = None,
) -> Chain:
    """A chain at time 0, before the protocol's first jump, with an empty ledger.

    **Arguments:** as `tj.simulate`; give the same `sharding` to `tj.advance`.
    **Returns:** a `tj.Chain`, a pytree to carry through jit and scan.
    **Raises:** ValueError for a start that does not fit.
    """
    check_key(key)
    ready = prepare_start(system, initial, batch)
    check_sharding(sharding, ready.batch)
    system = checked_start(system, ready)
    chain, report = begin(system, key, ready, sharding)
    warn_burn_in(report, system.potential)
    return chain


@eqx.filter_jit
def begin(system: AbstractSystem, key, ready: Start, sharding: NamedSharding | None = None):
    state, _, report = draw_start(system, key, ready)
    state = spread(cast(state, ready.dtype), sharding)
    control = jnp.asarray(system.protocol.initial, ready.dtype)
    ledger = Ledger.opened(*energies(system, state.position, state.momentum, control, 0.0))
    chain = Chain(
        state.position,
        state.momentum,
        ledger,
        control,
        jnp.zeros((), ready.dtype),
        jnp.zeros((), jnp.int32),
        key_words(jax.random.fold_in(key, NOISE)),
    )
    return chain, report


def energies(system: AbstractSystem, position, momentum, control, time):
    """H of every path with the bath of that time, and the kinetic part of it."""
    temperature, friction, mass = bath_at(system, jnp.asarray(time), position)
    bath = coefficients(system, position, 1.0, temperature, friction, mass)
    moving = kinetic(momentum, bath.inverse_mass)
    return batched_energy(system.potential, position, control) + moving, moving


def advance(
    system: AbstractSystem,
    chain: Chain,
    *,
    dt: float,
    steps: int,
    integrator: AbstractSplitting = BAOAB(),
    adjoint: Any = None,
    memory: int | None = None,
    noise_dtype: type = jnp.float32,
    sharding: NamedSharding | None = None,
    adjusted: bool = False,
) -> Chain:
    """Move a chain on by `steps` steps of `dt`; time, noise and ledger continue.

    The protocol is read at the chain's time, and holds its end value from its duration on.
    `advance` of 3 and then 5 steps is `advance` of 8, up to rounding. Pure: jit it, scan it,
    differentiate it.

    **Arguments:** `dt`, time, may be traced; `steps`, a whole number, integration steps;
    `integrator`, `adjoint`, `memory`, `noise_dtype`, `sharding` as in `tj.simulate`.
    `adjusted`: take the steps, together, as a proposal of Metropolis: each path keeps them with
    probability min(1, exp(-beta shadow work)), else it stays where it was and turns its momentum,
    its ledger as if nothing had happened. The equilibrium is then exact at any `dt`, and a path
    that diverges is only one more that is refused. Also where `dt` is drawn anew for every call,
    whatever its law, if it does not depend on the paths: large steps for wide places, small ones
    for narrow. At fixed control; a choice breaks the gradient.
    **Raises:** ValueError for steps below one, a `dt` that is not positive, or `adjusted` for a
    system that has no equilibrium to be exact for.
    **Source:** of `adjusted`: A. M. Horowitz, Phys. Lett. B 268, 247 (1991).
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps = {steps}: expected a positive whole number of integration steps")
    if isinstance(dt, float | int) and not dt > 0:
        raise ValueError(f"dt = {dt}: expected a positive time step")
    check_adjoint(adjoint, memory)
    check_sharding(sharding, len(chain.ledger.work))
    how = Settings(integrator, adjoint, memory, noise_dtype, sharding)
    if not adjusted:
        return move(system, chain, jnp.asarray(dt), steps, how)
    steady = isinstance(system.protocol, Constant) and not system.bath.scheduled
    if not steady or system.drive is not None or isinstance(integrator, QUICSORT):
        raise ValueError(
            "adjusted=True corrects towards one equilibrium: expected a tj.Constant protocol, a "
            "bath constant in time, no drive, and tj.BAOAB() or tj.OBABO()"
        )
    return propose(system, chain, jnp.asarray(dt), steps, how)


class Settings(NamedTuple):
    """How a piece of a chain is computed."""

    integrator: AbstractSplitting
    adjoint: Any
    memory: int | None
    noise_dtype: type
    sharding: NamedSharding | None


@eqx.filter_jit
def move(system, chain: Chain, dt, steps: int, how: Settings) -> Chain:
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


@eqx.filter_jit
def propose(system, chain: Chain, dt, steps: int, how: Settings) -> Chain:
    """One accepted or refused piece of a chain. Paths that diverged before stay frozen."""
    # The shadow work of the piece alone: a difference of long sums would lose it to rounding.
    book = dataclasses.replace(chain.ledger, shadow_work=jnp.zeros_like(chain.ledger.shadow_work))
    begun = dataclasses.replace(chain, ledger=book)
    moved = move(system, begun, dt, steps, how)
    shadow = moved.ledger.shadow_work
    whole = chain.ledger.shadow_work + shadow
    ledger = dataclasses.replace(moved.ledger, shadow_work=whole)
    paths = jax.lax.iota(jnp.uint32, len(shadow))
    # Another key than that of the noise, the same counters.
    words = (chain.words[0] ^ np.uint32(0x9E3779B9), chain.words[1])
    bits, _ = threefry(words, (paths, jnp.full_like(paths, chain.step.astype(jnp.uint32))))
    uniform = (bits.astype(shadow.dtype) + 0.5) * 2.0**-32
    # float32 rounds the largest words up to 1, which refuses nothing that should be taken.
    kept = (moved.ledger.alive > 0) & (jnp.log(uniform) < -shadow / system.bath.temperature)
    turned = jax.tree.map(jnp.negative, chain.momentum)
    position, momentum, ledger = where_alive(
        kept,
        (moved.position, moved.momentum, ledger),
        (chain.position, turned, chain.ledger),
    )
    return dataclasses.replace(moved, position=position, momentum=momentum, ledger=ledger)


def switch(chain: Chain, old: AbstractSystem, new: AbstractSystem) -> Chain:
    """Exchange the system under a chain, at fixed position and momentum, and book the work.

    W += H_new(x, p) - H_old(x, p), as in a training step that changes the potential's parameters.
    The control becomes that of the new protocol at the chain's time.
    """
    dtype = dtype_of(chain.position)
    old, new = cast(old, dtype), cast(new, dtype)
    control = jnp.asarray(value_at(new.protocol, chain.time), dtype)
    x, p = chain.position, chain.momentum
    before, _ = energies(old, x, p, chain.control, chain.time)
    after, moving = energies(new, x, p, control, chain.time)
    work, book = after - before, chain.ledger
    ledger = dataclasses.replace(
        book, work=book.work + work, energy=book.energy + work, kinetic=moving
    )
    return dataclasses.replace(chain, ledger=ledger, control=control)
