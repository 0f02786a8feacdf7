"""The two ends of a run: jumps, kicks, and the half kicks of an overdamped start and finish."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from .._tree import where_alive
from ..dynamics import AbstractSplitting, Coefficients, DriftTerm, kicked, kinetic
from ..ledger import Ledger
from ..potential import batched_energy, batched_gradient
from ..system import Overdamped
from .kicks import kick


def enter(drift: DriftTerm, integrator: AbstractSplitting, position, momentum):
    """The start of a run: jump, then kick. Opens the ledger at the energy before both."""
    table, potential = drift.table, drift.system.potential
    bath, masses = drift.coefficients(0), table.inverse_masses
    before = bath.inverse_mass if masses is None else jax.tree.map(lambda x: x[0], masses)
    energy = batched_energy(potential, position, table.switch[0])
    ledger = Ledger.opened(energy + kinetic(momentum, before))
    work = batched_energy(potential, position, table.switch[1]) - energy
    work = work + (kinetic(momentum, bath.inverse_mass) - kinetic(momentum, before))
    ledger = dataclasses.replace(ledger, work=work, energy=ledger.energy + work)
    kicks = drift.system.protocol.impulses()
    if kicks is not None:
        new = kick(drift, position, momentum, kicks[0], table.kick[0])
        gained = kinetic(new, bath.inverse_mass) - kinetic(momentum, bath.inverse_mass)
        ledger = dataclasses.replace(ledger, kick_work=gained, energy=ledger.energy + gained)
        momentum = new
    return half_kick(drift, integrator, position, momentum, ledger, table.kick[0], bath)


def leave(drift: DriftTerm, integrator: AbstractSplitting, position, momentum, ledger: Ledger):
    """The end of a run: kick, then jump. The last substep has already booked the jump."""
    table = drift.table
    bath, masses = drift.coefficients(table.steps - 1), table.inverse_masses
    after = bath.inverse_mass if masses is None else jax.tree.map(lambda x: x[-1], masses)
    old = (momentum, ledger)
    momentum, ledger = half_kick(
        drift, integrator, position, momentum, ledger, table.kick[-1], bath
    )
    kicks = drift.system.protocol.impulses()
    if kicks is not None:
        new = kick(drift, position, momentum, kicks[1], table.kick[-1])
        gained = kinetic(new, bath.inverse_mass) - kinetic(momentum, bath.inverse_mass)
        # A mass that jumps at the end does so after the kick; its work was booked before it.
        late = kinetic(new, after) - kinetic(momentum, after) - gained
        ledger = dataclasses.replace(
            ledger,
            kick_work=ledger.kick_work + gained,
            work=ledger.work + late,
            energy=ledger.energy + gained + late,
        )
        momentum = new
    return where_alive(ledger.alive > 0, (momentum, ledger), old)


def half_kick(
    drift: DriftTerm,
    integrator: AbstractSplitting,
    position,
    momentum,
    ledger: Ledger,
    control,
    bath: Coefficients,
    share=1.0,
):
    """The missing half kick at the ends of an overdamped run, booked as shadow work.

    The scheme of Leimkuhler and Matthews moves by the whole force in its first step too:
    x_1 = x_0 - h grad U / gamma + noise. BAOAB from a fresh momentum has only the opening half of
    that kick, which would leave the path h/2 behind for good. The same at the end makes the run its
    own mirror image. A deterministic shear, it leaves the work theorem exact.
    """
    if not (isinstance(drift.system, Overdamped) and integrator.opens_with_kick):
        return momentum, ledger
    gradient = batched_gradient(drift.system.potential, position, control)
    half = 0.5 * share * drift.table.h
    new = kicked(momentum, gradient, drift.driven(position, control), bath, half)
    change = kinetic(new, bath.inverse_mass) - kinetic(momentum, bath.inverse_mass)
    ledger = dataclasses.replace(
        ledger, shadow_work=ledger.shadow_work + change, energy=ledger.energy + change
    )
    return new, ledger
