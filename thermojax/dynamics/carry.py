"""What a splitting integrator carries from step to step, what it books, and frozen paths."""

from __future__ import annotations

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._tree import per_sample_sum, where_alive
from ..ledger import Ledger
from .timetable import Timetable


class Carry(eqx.Module):
    """A batch of paths at a grid point, with what the next substep would else compute again."""

    position: PyTree[Array]
    momentum: PyTree[Array]
    gradient: PyTree[Array]  # of U at the control of the grid point
    potential_energy: Array  # (batch,), at the control of the coming substep
    drive: PyTree[Array] | None
    kinetic_energy: Array  # (batch,)
    alive: Array
    pace: Array | None = None  # (batch,), steps of its own in steps of the run; None: 1 for all

    @property
    def energy(self):
        return self.potential_energy + self.kinetic_energy


class Entry(eqx.Module):
    """What one substep books, each (batch,)."""

    work: Array
    heat: Array
    shadow_work: Array
    drive_work: Array | None
    bath_entropy: Array | None = None  # where the temperature changes; else beta times the heat


def nothing(carry: Carry, table: Timetable) -> Entry:
    zero = jnp.zeros_like(carry.potential_energy)
    driven = None if carry.drive is None else zero
    return Entry(zero, zero, zero, driven, zero if table.scheduled else None)


def balance(carry: Carry):
    return carry.energy, carry.kinetic_energy, carry.alive


def posted(ledger: Ledger, total: Entry, table: Timetable, energy, kinetic, alive) -> Ledger:
    """The ledger after entries of this sum; with sums (substeps, batch), after each of them."""
    constant = lambda x: jnp.broadcast_to(x, energy.shape)
    entropy = total.bath_entropy if table.scheduled else table.bath.beta * total.heat
    driven = 0.0 if total.drive_work is None else total.drive_work
    return Ledger(
        work=ledger.work + total.work,
        heat=ledger.heat + total.heat,
        shadow_work=ledger.shadow_work + total.shadow_work,
        drive_work=constant(ledger.drive_work + driven),
        kick_work=constant(ledger.kick_work),
        bath_entropy=ledger.bath_entropy + jnp.asarray(entropy),
        energy_start=constant(ledger.energy_start),
        energy=energy,
        kinetic_start=constant(ledger.kinetic_start),
        kinetic=kinetic,
        alive=alive,
    )


def flagged(new: Carry, old: Carry, limit: Array) -> Carry:
    """`new`, its flag fallen for good where the energy of the path is beyond the limit."""
    alive = (old.alive > 0) & (jnp.abs(new.energy) < limit)  # False for NaN
    return dataclasses.replace(new, alive=jnp.where(alive, old.alive, 0.0))


def frozen(new: Carry, entry: Entry, old: Carry, limit: Array) -> tuple[Carry, Entry]:
    """`new` where the path is still finite; where it is not, `old` for good, and flagged."""
    flag, nothing = flagged(new, old, limit).alive, jax.tree.map(jnp.zeros_like, entry)
    carry, entry = where_alive(flag > 0, (new, entry), (old, nothing))
    return dataclasses.replace(carry, alive=flag), entry


def kinetic(momentum, inverse_mass):
    """sum p^2 / 2m of every path, (batch,)."""

    def one(p, w):
        # One mass for all coordinates stays outside of the sum: a quarter of the time at d = 64.
        return w * per_sample_sum(p**2) if jnp.ndim(w) == 0 else per_sample_sum(w * p**2)

    rows = jax.tree.leaves(jax.tree.map(one, momentum, inverse_mass))
    return 0.5 * functools.reduce(jnp.add, rows)


def brief(carry: Carry):
    """What determines a carry that is not frozen; a fallen flag is an infinite potential energy.

    Where a path has one coordinate, this is a loop of eight operations instead of ten, and up to
    eight XLA:CPU runs one after the other, without asking which could run side by side.
    """
    potential_energy = jnp.where(carry.alive > 0, carry.potential_energy, jnp.inf)
    changed = carry.position, carry.momentum, carry.gradient, potential_energy, carry.drive
    return *changed, carry.pace


def recalled(short, inverse_mass) -> Carry:
    """The carry again."""
    position, momentum, gradient, potential_energy, drive, pace = short
    moving = kinetic(momentum, inverse_mass)
    alive = jnp.isfinite(potential_energy).astype(moving.dtype)
    return Carry(position, momentum, gradient, potential_energy, drive, moving, alive, pace)
