"""Persistent chains: sampling inside somebody else's training loop."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jaxtyping import Array, PRNGKeyArray

from .._keys import Purpose, check_key, purpose_key
from .._tree import cast, dtype_of
from ..dynamics import (
    BAOAB,
    QUICSORT,
    AbstractSplitting,
    coefficients,
    key_words,
    kinetic,
)
from ..dynamics.terms import bath_at
from ..ledger import Ledger
from ..potential import batched_energy
from ..protocol import Constant, value_at
from ..system import AbstractSystem
from .devices import check_sharding, spread
from .initial import Start, checked_start, draw_start, prepare_start, warn_burn_in
from .metropolis import LocalStep, propose
from .piece import Settings, move
from .resolution import warn_rounding
from .solve import check_adjoint
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
    if not warn_burn_in(report, system.potential):
        warn_rounding(system, chain.ledger)
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
        key_words(purpose_key(key, Purpose.NOISE)),
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
    dt: float | Array,
    steps: int,
    integrator: AbstractSplitting = BAOAB(),
    adjoint: Any = None,
    memory: int | None = None,
    noise_dtype: type = jnp.float32,
    sharding: NamedSharding | None = None,
    adjusted: bool | LocalStep = False,
) -> Chain:
    """Move a chain on by `steps` steps of `dt`; time, noise and ledger continue.

    The protocol is read at the chain's time, and holds its end value from its duration on.
    `advance` of 3 and then 5 steps is `advance` of 8, up to rounding. Pure: jit it, scan it,
    differentiate it.

    **Arguments:** `dt`, time, a scalar, may be traced; `steps`, a whole number, integration steps;
    `integrator`, `adjoint`, `memory`, `noise_dtype`, `sharding` as in `tj.simulate`.
    `adjusted`: take the steps, together, as a proposal of Metropolis: each path keeps them with
    probability min(1, exp(-beta shadow work)), else it stays where it was and turns its momentum,
    its ledger as if nothing had happened. The equilibrium is then exact at any `dt`, and a path
    that diverges is only one more that is refused. Also where `dt` is drawn anew for every call,
    whatever its law, if it does not depend on the paths. With a `tj.LocalStep` each path takes
    steps as long as suits where it is, about `dt` in the widest places. At fixed control; a choice
    breaks the gradient.
    **Raises:** ValueError for steps below one, a `dt` that is not positive, an `adjusted` that is
    neither, or for a system that has no equilibrium to be exact for.
    **Source:** of `adjusted`: A. M. Horowitz, Phys. Lett. B 268, 247 (1991).
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps = {steps}: expected a positive whole number of integration steps")
    if isinstance(dt, float | int) and not dt > 0:
        raise ValueError(f"dt = {dt}: expected a positive time step")
    check_adjoint(adjoint, memory)
    check_sharding(sharding, len(chain.ledger.work))
    how = Settings(integrator, adjoint, memory, noise_dtype, sharding)
    if not isinstance(adjusted, bool | LocalStep):
        raise ValueError(f"adjusted = {adjusted!r}: expected True, False, or a tj.LocalStep()")
    if adjusted is False:
        return move(system, chain, jnp.asarray(dt), steps, how)
    steady = isinstance(system.protocol, Constant) and not system.bath.scheduled
    if not steady or system.drive is not None or isinstance(integrator, QUICSORT):
        raise ValueError(
            "adjusted=True corrects towards one equilibrium: expected a tj.Constant protocol, a "
            "bath constant in time, no drive, and tj.BAOAB() or tj.OBABO()"
        )
    local = adjusted if isinstance(adjusted, LocalStep) else None
    return propose(system, chain, jnp.asarray(dt), steps, how, local)


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
