"""The energies of the steps of a block, booked into the ledger."""

from __future__ import annotations

import jax.numpy as jnp

from ..dynamics import StepEnergies, Timetable
from ..ledger import Ledger


def accumulate(
    ledger: Ledger, total: StepEnergies, table: Timetable, energy, kinetic, alive
) -> Ledger:
    """The ledger after steps that book `total`; with sums (steps, batch), after each of them."""
    entropy = total.bath_entropy if table.scheduled else table.bath.beta * total.heat
    return ledger.booked(
        energy=energy,
        kinetic=kinetic,
        alive=alive,
        work=total.work,
        heat=total.heat,
        shadow_work=total.shadow_work,
        drive_work=0.0 if total.drive_work is None else total.drive_work,
        bath_entropy=jnp.asarray(entropy),
    )
