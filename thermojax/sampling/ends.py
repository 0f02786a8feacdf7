"""The two ends of a run: jumps and kicks."""

from __future__ import annotations

import jax
from jaxtyping import Array, PyTree

from .._tree import where_alive
from ..dynamics import DriftTerm, booked_energy, kinetic
from ..ledger import Ledger, energy_limit
from .kicks import kick


def enter(drift: DriftTerm, position, momentum) -> tuple[PyTree[Array], Ledger]:
    """The start of a run: jump, then kick. Opens the ledger at the energy before both."""
    table, potential = drift.table, drift.system.potential
    bath, masses = table.bath_at(0), table.inverse_masses
    before = bath.inverse_mass if masses is None else jax.tree.map(lambda x: x[0], masses)
    energy = booked_energy(potential, position, table.middles[0])
    kinetic_before, moving = kinetic(momentum, before), kinetic(momentum, bath.inverse_mass)
    work = booked_energy(potential, position, table.middles[1]) - energy + (moving - kinetic_before)
    limit = energy_limit(table.temperature_ends[0], energy.dtype)
    ledger = Ledger.opened(energy + kinetic_before, kinetic_before, limit)
    ledger = ledger.switched(work, moving, limit)
    kicks = drift.system.protocol.impulses()
    if kicks is not None:
        momentum = kick(drift, position, momentum, kicks[0], table.control[0])
        gained = kinetic(momentum, bath.inverse_mass) - moving
        ledger = ledger.booked(
            energy=ledger.energy + gained, kinetic=moving + gained, kick_work=gained
        )
    return momentum, ledger


def leave(drift: DriftTerm, position, momentum, ledger: Ledger) -> tuple[PyTree[Array], Ledger]:
    """The end of a run: kick, then jump. The last substep has already booked the jump."""
    kicks, table = drift.system.protocol.impulses(), drift.table
    if kicks is None:
        return momentum, ledger
    bath, masses = table.bath_at(table.steps - 1), table.inverse_masses
    after = bath.inverse_mass if masses is None else jax.tree.map(lambda x: x[-1], masses)
    new = kick(drift, position, momentum, kicks[1], table.control[-1])
    gained = kinetic(new, bath.inverse_mass) - kinetic(momentum, bath.inverse_mass)
    # A mass that jumps at the end does so after the kick; its work was booked before it.
    late = kinetic(new, after) - kinetic(momentum, after) - gained
    after_kick = ledger.booked(
        energy=ledger.energy + gained + late,
        kinetic=ledger.kinetic + gained + late,
        work=late,
        kick_work=gained,
    )
    return where_alive(ledger.alive > 0, (new, after_kick), (momentum, ledger))
