"""Splitting integrators, as diffrax solvers whose step is a block of substeps.

One diffrax step advances `block` substeps in an inner scan, rematerialized as a whole in reverse
mode. A substep is a few lines in a subclass: the exact pieces of the motion in order, each with the
entry that it makes in the ledger.
"""

import abc
import dataclasses
from typing import ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._arguments import flag, whole
from .._tree import per_sample_sum
from ..ledger import Ledger
from .block import Block, Substep, Watch
from .carry import Carry, Entry, kinetic
from .devices import BATCH, LATER_BATCH, WHOLE, by_device
from .reverse import retraced
from .terms import DriftTerm, NoiseTerm, unwrapped
from .timetable import Coefficients


class Snapshots(dfx.AbstractLocalInterpolation):
    """The states at the grid points of one block: exact there, and asked nowhere else."""

    t0: Array
    t1: Array
    path: PyTree[Array]

    def evaluate(self, t0, t1=None, left=True):
        del left
        if t1 is not None:
            raise ValueError("snapshots have values at grid points, not increments")
        place = jnp.round(t0 - self.t0).astype(int)
        return jax.tree.map(lambda leaf: leaf[place], self.path)


class AbstractSplitting(dfx.AbstractItoSolver):
    """Base of the splitting integrators.

    `block`: substeps per diffrax step. `record`: keep every substep of the block, for snapshots.
    `told`: reverse mode learns from the end of the run which paths diverge (`reverse.py`).
    `draws`: standard normals that one substep takes per coordinate, 1 or 2.
    """

    block: eqx.AbstractVar[int | None]
    record: eqx.AbstractVar[bool]
    told: eqx.AbstractVar[bool]
    draws: eqx.AbstractClassVar[int]
    ou_fraction: eqx.AbstractClassVar[float]
    term_structure: ClassVar = dfx.MultiTerm[tuple[DriftTerm, NoiseTerm]]
    interpolation_cls: ClassVar = Snapshots

    def __check_init__(self):
        if self.block is not None:
            whole("block", self.block)
        flag("record", self.record)
        flag("told", self.told)

    @abc.abstractmethod
    def substep(self, drift: DriftTerm, carry: Carry, at: Substep, normals) -> tuple[Carry, Entry]:
        """Advance by one substep of size h. `normals`: a tuple of `draws` pytrees."""

    def order(self, terms):
        return 2

    def strong_order(self, terms):
        return 1.0

    def func(self, terms, t0, y0, args):
        drift, _ = unwrapped(terms)
        return drift.vf(t0, y0, args)

    def init(self, terms, t0, t1, y0, args):
        """(step, gradient, potential energy, drive, pace) at the first grid point.

        `args`: the pace of each path, or None.
        """
        drift, noise = unwrapped(terms)
        first = jnp.round(t0).astype(int)
        begun = by_device(self.begun, drift, noise, (first, y0[0]), (WHOLE, BATCH), BATCH)
        return first, *begun, args

    def begun(self, drift: DriftTerm, noise: NoiseTerm, first, position):
        """The gradient, the potential energy and the drive at grid point `first`."""
        del noise
        now, kick = drift.table.switch[first + 1], drift.table.kick[first]
        _, energy, gradient = drift.meet(position, now, now, kick)
        return gradient, energy, drift.driven(position, kick)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        del args, made_jump
        block = *unwrapped(terms), y0, solver_state
        if self.told and not self.record:
            y1, state = retraced(block, self)
            return y1, None, dict(path=y1), state, dfx.RESULTS.successful
        y1, path, state = eqx.filter_checkpoint(self.shared_out)(*block)
        if self.record:
            dense = dict(path=jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y0, path))
        else:
            dense = dict(path=y1)
        return y1, None, dense, state, dfx.RESULTS.successful

    def axes(self, solver_state) -> tuple:
        """Which axis of a solver state is the batch's: none of the number of the step."""
        more = len(solver_state) - 5  # a subclass's own, the same for every path
        return WHOLE, *(BATCH,) * 4, *(WHOLE,) * more

    def shared_out(self, drift: DriftTerm, noise: NoiseTerm, y0, solver_state):
        """`advanced`, each device with its share of the batch."""
        axes = self.axes(solver_state)
        out_axes = BATCH, LATER_BATCH, axes
        return by_device(self.advanced, drift, noise, (y0, solver_state), (BATCH, axes), out_axes)

    def advanced(
        self, drift: DriftTerm, noise: NoiseTerm, y0, solver_state, watch: Watch = Watch.FREEZE
    ):
        """One block: y1, the states on the way where they are recorded, the next solver state."""
        first, gradient, potential_energy, drive, pace = solver_state
        position, momentum, ledger = y0
        carry = Carry(
            position,
            momentum,
            gradient,
            potential_energy,
            drive,
            ledger.kinetic,
            ledger.alive,
            pace,
        )
        carry, ledger, path = self.run_block(drift, noise, first, carry, ledger, watch)
        state = (first + self.block, carry.gradient, carry.potential_energy, carry.drive, pace)
        return (carry.position, carry.momentum, ledger), path, state

    def run_block(self, drift, noise, first, carry: Carry, ledger: Ledger, watch: Watch):
        """`block` substeps from local step `first`: carry, ledger, what was passed on the way."""
        return Block(self, drift, noise, watch).through(first, carry, ledger)


def kicked(carry_momentum, gradient, drive, bath: Coefficients, half):
    """p + half step of force."""
    if drive is not None:
        gradient = jax.tree.map(lambda g, f: g - f, gradient, drive)
    return jax.tree.map(lambda p, g, b: p - half * b * g, carry_momentum, gradient, bath.kick)


def drifted(position, momentum, bath: Coefficients, time):
    return jax.tree.map(lambda x, p, a: x + time * a * p, position, momentum, bath.drift)


def thermalized(momentum, normals, bath: Coefficients):
    """The exact Ornstein-Uhlenbeck step."""
    return jax.tree.map(
        lambda p, z, c, s: c * p + s * z, momentum, normals, bath.damping, bath.noise
    )


def drive_work(old, new, x0, x1):
    """(f0 + f1)/2 . (x1 - x0) of every path; None without a drive."""
    if old is None:
        return None
    return per_sample_sum(
        jax.tree.map(lambda f0, f1, a, b: 0.5 * (f0 + f1) * (b - a), old, new, x0, x1)
    )


def booked(drift: DriftTerm, carry: Carry, at: Substep, x, p, half, heat, before):
    """Close a substep at position x: the last half kick of p, and the entry for the ledger.

    `heat` is what the thermostat took so far; `before` the kinetic energy that deterministic
    pieces have added so far. Returned at the grid point, the potential switched to its next
    control: that switch, at fixed x, is the work.
    """
    energy_end, energy_next, gradient = drift.meet(x, at.now, at.next, at.kick)
    drive = drift.driven(x, at.kick)
    kinetic_free = kinetic(p, at.bath.inverse_mass)
    p = kicked(p, gradient, drive, at.bath, half)
    kinetic_end = kinetic(p, at.bath.inverse_mass)
    driven = drive_work(carry.drive, drive, carry.position, x)
    shadow = (energy_end - carry.potential_energy) + before + (kinetic_end - kinetic_free)
    if driven is not None:
        shadow = shadow - driven
    entry = Entry(energy_next - energy_end, heat, shadow, driven)
    new = Carry(x, p, gradient, energy_next, drive, kinetic_end, carry.alive, carry.pace)
    return new, entry


def mass_switched(carry: Carry, entry: Entry, at: Substep) -> tuple[Carry, Entry]:
    """A mass that changes at the end of a substep does its work at fixed momentum."""
    if at.inverse_mass_next is None:
        return carry, entry
    after = kinetic(carry.momentum, at.inverse_mass_next)
    work = after - kinetic(carry.momentum, at.bath.inverse_mass)
    carry = dataclasses.replace(carry, kinetic_energy=after)
    return carry, dataclasses.replace(entry, work=entry.work + work)


class BAOAB(AbstractSplitting):
    """The palindrome half kick, half drift, Ornstein-Uhlenbeck, half drift, half kick.

    One gradient per step. On a quadratic well the stationary law of the position is exact at any
    stable step; elsewhere its error is of second order, of fourth at high friction
    (Leimkuhler, Matthews, AMRX 2013, 34, section 3). Stable for omega h < 2.

    Work is booked at the grid points, where BAOAB is accurate: there the potential switches from
    the control of the last middle to that of the next.

    On an overdamped system it is the scheme of Leimkuhler and Matthews, with the hidden momentum of
    a mass gamma h / 2. A force that sets in suddenly moves the path as it would such a mass: a time
    h / 2 late. A full kick in the first step removes that lag, but measured, its kinetic energy
    distorts the total work by h <F^2> / 2 gamma (and an optimal stiffness protocol by half a
    percent at 100 steps), so there is none.
    """

    block: int | None = eqx.field(static=True, default=None)
    record: bool = eqx.field(static=True, default=False)
    told: bool = eqx.field(static=True, default=False)
    draws: ClassVar[int] = 1
    ou_fraction: ClassVar[float] = 1.0

    def substep(self, drift, carry, at, normals):
        h, bath = drift.table.h, at.bath
        p0 = carry.momentum
        p1 = kicked(p0, carry.gradient, carry.drive, bath, h / 2)
        x = drifted(carry.position, p1, bath, h / 2)
        p2 = thermalized(p1, normals[0], bath)
        x, p1, p2 = drift.kept((drifted(x, p2, bath, h / 2), p1, p2))
        k0, k1, k2 = carry.kinetic_energy, *(kinetic(p, bath.inverse_mass) for p in (p1, p2))
        carry, entry = booked(drift, carry, at, x, p2, h / 2, heat=k1 - k2, before=k1 - k0)
        return mass_switched(carry, entry, at)


class OBABO(AbstractSplitting):
    """The palindrome half Ornstein-Uhlenbeck, half kick, drift, half kick, half OU.

    A velocity-Verlet step between two half thermostats (Bussi, Parrinello, PRE 75, 056707 (2007));
    two normals and one gradient per step. On an overdamped system it is the Euler-Maruyama step,
    with an exact work theorem. Second order; the density of its step is explicit.
    """

    block: int | None = eqx.field(static=True, default=None)
    record: bool = eqx.field(static=True, default=False)
    told: bool = eqx.field(static=True, default=False)
    draws: ClassVar[int] = 2
    ou_fraction: ClassVar[float] = 0.5

    def substep(self, drift, carry, at, normals):
        h, bath = drift.table.h, at.bath
        p0 = carry.momentum
        p1 = thermalized(p0, normals[0], bath)
        p2 = kicked(p1, carry.gradient, carry.drive, bath, h / 2)
        x, p1, p2 = drift.kept((drifted(carry.position, p2, bath, h), p1, p2))
        k0, k1, k2 = carry.kinetic_energy, *(kinetic(p, bath.inverse_mass) for p in (p1, p2))
        carry, entry = booked(drift, carry, at, x, p2, h / 2, heat=k0 - k1, before=k2 - k1)
        p4 = drift.kept(thermalized(carry.momentum, normals[1], bath))
        k4 = kinetic(p4, bath.inverse_mass)
        entry = dataclasses.replace(entry, heat=entry.heat + carry.kinetic_energy - k4)
        carry = dataclasses.replace(carry, momentum=p4, kinetic_energy=k4)
        return mass_switched(carry, entry, at)
