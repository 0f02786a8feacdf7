"""Persistent chains: sampling inside somebody else's training loop."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, PRNGKeyArray

from .._arguments import instance, real, whole
from .._component import known, positive, shown
from .._keys import Purpose, check_key, purpose_key
from .._tree import cast, dtype_of, like_position
from ..dynamics import (
    BAOAB,
    AbstractIntegrator,
    AbstractSplitting,
    Clock,
    bath_coefficients,
    key_words,
    kinetic,
)
from ..execution import (
    Execution,
    check_adjoint,
    check_how,
    check_sharding,
    forward_mode_in_words,
    spread,
)
from ..ledger import Ledger, energy_limit
from ..potential import batched_energy
from ..protocol import AbstractProtocol, Constant, value_at
from ..system import AbstractSystem, check_system
from .initial import Start, checked_start, draw_start, prepare_start, warn_burn_in
from .metropolis import LocalStep, propose
from .resolution import warn_rounding
from .segment import move
from .state import Chain, State, check_dynamics, dynamics_of

CHAIN = "a chain, as tj.start, tj.advance and tj.switch return it"
STEP = "a positive time step"
ANEW = (
    "begin a chain of this system from the positions, tj.start(system, key, "
    "initial=chain.position), and momenta are drawn anew"
)


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
    **Raises:** ValueError for a start that does not fit. Outside of jit it warns of paths whose
    energy is not finite: they never move, and `chain.ledger.alive` is 0 there.
    """
    check_key(key)
    check_system(system)
    ready = prepare_start(system, initial, batch)
    check_sharding(sharding, ready.batch)
    system = checked_start(system, ready)
    chain, report = begin(system, key, ready, sharding)
    said = warn_burn_in(report, system.potential)
    lost = known(chain.diverged)
    if lost is not None and np.any(lost):
        warnings.warn(
            f"{lost} of {ready.batch} paths begin where {type(system.potential).__name__} has no "
            "finite energy: they do not move, and chain.ledger.alive is 0 there; pass other "
            "positions as initial=",
            stacklevel=2,
        )
    if not said:
        warn_rounding(system, chain.ledger)
    return chain


@eqx.filter_jit
def begin(system: AbstractSystem, key, ready: Start, sharding: NamedSharding | None = None):
    state, _, report = draw_start(system, key, ready)
    state = spread(cast(state, ready.dtype), sharding)
    control = jnp.asarray(system.protocol.initial, ready.dtype)
    zero = jnp.zeros((), ready.dtype)
    temperature = jnp.asarray(held(system.bath.temperature, zero), ready.dtype)
    limit = energy_limit(temperature, ready.dtype)
    ledger = Ledger.opened(*energies(system, state, control, zero), limit)
    none = jnp.zeros_like(ledger.work, jnp.int32)
    chain = Chain(
        position=state.position,
        momentum=state.momentum,
        ledger=ledger,
        control=control,
        clock=Clock.at(zero),
        step=jnp.zeros((), jnp.int32),
        words=key_words(purpose_key(key, Purpose.NOISE)),
        temperature=temperature,
        temperature_start=temperature,
        log_mean_weight=jnp.zeros_like(ledger.work),
        proposed=none,
        accepted=none,
        dynamics=dynamics_of(system),
    )
    return chain, report


def held(value, time):
    """The bath's value between two segments of a chain; at time 0 that before."""
    if not isinstance(value, AbstractProtocol):
        return value
    return jnp.where(time > 0, value_at(value, time), value.initial)


def energies(system: AbstractSystem, state: State, control, time):
    """H of every path with the bath of that time, and the kinetic part of it."""
    bath, like = system.bath, lambda value: like_position(held(value, time), state.position)
    temperature, friction, mass = held(bath.temperature, time), like(bath.friction), like(bath.mass)
    unit = bath_coefficients(system, state.position, 1.0, temperature, friction, mass)
    moving = kinetic(state.momentum, unit.inverse_mass)
    return batched_energy(system.potential, state.position, control) + moving, moving


def advance(
    system: AbstractSystem,
    chain: Chain,
    *,
    dt: float | Array,
    steps: int,
    integrator: AbstractIntegrator = BAOAB(),
    adjoint: Any = None,
    memory: int | None = None,
    noise_dtype: type = jnp.float32,
    sharding: NamedSharding | None = None,
    adjusted: bool | LocalStep = False,
) -> Chain:
    """Move a chain on by `steps` steps of `dt`; time, noise and ledger continue.

    The protocol is read in the middle of each step, and holds its end value from its duration on:
    the control of the chain, its work and its log weight are those of the middle of its last step,
    and one more step after the duration takes in what is left.
    `advance` of 3 and then 5 steps is `advance` of 8, up to rounding. Pure: jit it, scan it,
    differentiate it. Under a system with another energy than the chain has, the difference is
    booked as work, as `tj.switch` does.

    **Arguments:** `dt`, time, a scalar, may be traced; `steps`, a whole number, integration steps;
    `integrator`, `adjoint`, `memory`, `noise_dtype`, `sharding` as in `tj.simulate`.
    `adjusted`: take the steps, together, as a proposal of Metropolis: each path keeps them with
    probability min(1, exp(-beta shadow work)), else it stays where it was and turns its momentum,
    its ledger as if nothing had happened; `chain.acceptance` is the share that was kept. The shadow
    work of what is kept is booked as heat. The equilibrium is then exact at any `dt`, and a path
    that diverges is only one more that is refused. Also where `dt` is drawn anew for every call,
    whatever its law, if it does not depend on the paths. With a `tj.LocalStep` each path takes
    steps as long as suits where it is, about `dt` in the widest places. At fixed control; a choice
    breaks the gradient.
    **Raises:** ValueError for steps below one, a `dt` that is not positive, a chain of the other
    kind of dynamics, a protocol with kicks, an `adjusted` that is neither, or for a system that has
    no equilibrium to be exact for.
    **Source:** of `adjusted`: A. M. Horowitz, Phys. Lett. B 268, 247 (1991).
    """
    check_system(system)
    instance("chain", chain, Chain, CHAIN)
    check_how(integrator, noise_dtype)
    steps = whole("steps", steps, cure="integration steps of this call")
    real("dt", dt, STEP, positive)
    check_dynamics("chain", chain.dynamics, system, ANEW)
    check_control("system", system, chain)
    check_kicks(system)
    check_adjoint(adjoint, memory)
    memory = None if memory is None else int(memory)
    check_sharding(sharding, len(chain.ledger.work))
    how = Execution(integrator, adjoint, noise_dtype, sharding, memory)
    if not isinstance(adjusted, bool | LocalStep):
        raise ValueError(f"adjusted = {shown(adjusted)}: expected True, False, or a tj.LocalStep()")
    if adjusted is False:
        with forward_mode_in_words():
            return move(system, chain, jnp.asarray(dt), steps, how)
    steady = isinstance(system.protocol, Constant) and not system.bath.scheduled
    if not steady or system.drive is not None or not isinstance(integrator, AbstractSplitting):
        raise ValueError(
            "adjusted=True corrects towards one equilibrium: expected a tj.Constant protocol, a "
            "bath constant in time, no drive, and tj.BAOAB() or tj.OBABO()"
        )
    local = adjusted if isinstance(adjusted, LocalStep) else None
    return propose(system, chain, jnp.asarray(dt), steps, how, local)


def check_control(name: str, system: AbstractSystem, chain: Chain) -> None:
    """**Raises:** ValueError for a control of another shape than the chain holds."""
    shape, own = jnp.shape(system.protocol.initial), jnp.shape(chain.control)
    if shape != own:
        raise ValueError(
            f"the control of {name} has shape {shape} and that of the chain {own}: exchange "
            "systems with tj.switch(chain, old, new), old the one that the chain has been under"
        )


def check_kicks(system: AbstractSystem) -> None:
    """**Raises:** ValueError for kicks, which belong to the ends of a run: a chain has none.

    Kicks that are known to be zero do nothing, and pass.
    """
    if type(system.protocol).impulses is AbstractProtocol.impulses:  # has none to ask for
        return
    kicks = system.protocol.impulses()
    if kicks is None or ((values := known(kicks)) is not None and not np.any(values)):
        return
    raise ValueError(
        f"the {type(system.protocol).__name__} has kicks, and a chain has no ends to do them at: "
        "run it with tj.simulate, or give the chain the protocol with kicks=None"
    )


def switch(chain: Chain, old: AbstractSystem, new: AbstractSystem) -> Chain:
    """Exchange the system under a chain, at fixed position and momentum, and book the work.

    W += H_new(x, p) - H_old(x, p), as in a training step that changes the potential's parameters.
    The control becomes that of the new protocol at the chain's time. A path whose new energy is not
    finite is alive no more; counts of proposals begin anew.

    **Arguments:** `chain`; `old`, the system it has been under, and `new`. **Returns:** the chain.
    **Raises:** ValueError for a chain of the other kind of dynamics.
    """
    instance("chain", chain, Chain, CHAIN)
    for name, system in ("old", old), ("new", new):
        check_system(system, name)
        check_dynamics("chain", chain.dynamics, system, ANEW)
    check_control("old", old, chain)
    return switched(chain, old, new)


@eqx.filter_jit
def switched(chain: Chain, old: AbstractSystem, new: AbstractSystem) -> Chain:
    """The compiled part of `switch`."""
    dtype = dtype_of(chain.position)
    old, new = cast(old, dtype), cast(new, dtype)
    control = jnp.asarray(value_at(new.protocol, chain.time), dtype)
    temperature = jnp.asarray(held(new.bath.temperature, chain.time), dtype)
    before, _ = energies(old, chain.state, chain.control, chain.time)
    after, moving = energies(new, chain.state, control, chain.time)
    none = jnp.zeros_like(chain.proposed)
    return dataclasses.replace(
        chain,
        ledger=chain.ledger.switched(after - before, moving, energy_limit(temperature, dtype)),
        control=control,
        temperature=temperature,
        proposed=none,
        accepted=none,
    )
