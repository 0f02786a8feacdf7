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

from .._tree import per_sample_sum, where_alive
from ..ledger import Ledger
from .terms import DriftTerm, NoiseTerm, unwrapped
from .timetable import Coefficients


class Carry(eqx.Module):
    """A batch of paths at a grid point, with what the next substep would else compute again."""

    position: PyTree[Array]
    momentum: PyTree[Array]
    ledger: Ledger
    gradient: PyTree[Array]  # of U at the control of the grid point
    potential_energy: Array  # (batch,), at the control of the coming substep
    drive: PyTree[Array] | None


class Substep(eqx.Module):
    """What one substep reads from the timetable."""

    now: Array  # the control while it lasts
    next: Array  # the control the potential switches to at its end
    kick: Array  # the control of the kick at its end
    bath: Coefficients
    inverse_mass_next: PyTree[Array] | None


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
    `draws`: standard normals that one substep takes per coordinate, 1 or 2.
    """

    block: eqx.AbstractVar[int | None]
    record: eqx.AbstractVar[bool]
    draws: eqx.AbstractClassVar[int]
    ou_fraction: eqx.AbstractClassVar[float]
    term_structure: ClassVar = dfx.MultiTerm[tuple[DriftTerm, NoiseTerm]]
    interpolation_cls: ClassVar = Snapshots

    @abc.abstractmethod
    def substep(self, drift: DriftTerm, carry: Carry, at: Substep, normals) -> Carry:
        """Advance by one substep of size h. `normals`: a tuple of `draws` pytrees."""

    def order(self, terms):
        return 2

    def strong_order(self, terms):
        return 1.0

    def func(self, terms, t0, y0, args):
        drift, _ = unwrapped(terms)
        return drift.vf(t0, y0, args)

    def init(self, terms, t0, t1, y0, args):
        """(step, gradient, potential energy, drive) at the first grid point."""
        drift, _ = unwrapped(terms)
        position, _, _ = y0
        table = drift.table
        first = jnp.round(t0).astype(int)
        now, kick = table.switch[first + 1], table.kick[first]
        _, energy, gradient = drift.meet(position, now, now, kick)
        return first, gradient, energy, drift.driven(position, kick)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        del args, made_jump
        drift, noise = unwrapped(terms)
        first, *rest = solver_state
        run = eqx.filter_checkpoint(self.run_block)
        carry, path = run(drift, noise, first, Carry(*y0, *rest))
        y1 = (carry.position, carry.momentum, carry.ledger)
        if self.record:
            dense = dict(path=jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y0, path))
        else:
            dense = dict(path=y1)
        state = (first + self.block, carry.gradient, carry.potential_energy, carry.drive)
        return y1, None, dense, state, dfx.RESULTS.successful

    def run_block(self, drift: DriftTerm, noise: NoiseTerm, first, carry: Carry):
        """`block` substeps from local step `first`."""
        table, k = drift.table, self.block
        assert k is not None  # `solve` has chosen one
        piece = lambda leaf, n, at=0: jax.lax.dynamic_slice_in_dim(leaf, first + at, n)
        masses = table.inverse_masses
        bath = jax.tree.map(lambda x: piece(x, k), table.bath) if table.scheduled else None
        rows = Substep(
            piece(table.switch, k, 1),
            piece(table.switch, k, 2),
            piece(table.kick, k, 1),
            bath,  # pyright: ignore[reportArgumentType]  # None: filled in by `advance`
            None if masses is None else jax.tree.map(lambda x: piece(x, k, 2), masses),
        )

        def advance(carry, x):
            normals, at = x
            if at.bath is None:
                at = dataclasses.replace(at, bath=table.bath)
            carry = frozen(self.substep(drift, carry, at, normals), carry)
            return carry, self.kept(carry)

        def chunk(carry, x):
            start, rows = x
            return jax.lax.scan(advance, carry, (noise.path.normals(start, size), rows))

        size = chunk_size(k, noise.path)
        if size == k:
            return chunk(carry, (first, rows))
        rows = jax.tree.map(lambda leaf: leaf.reshape(k // size, size, *leaf.shape[1:]), rows)
        starts = first + size * jnp.arange(k // size)
        carry, path = jax.lax.scan(chunk, carry, (starts, rows))
        return carry, jax.tree.map(lambda leaf: leaf.reshape(k, *leaf.shape[2:]), path)

    def kept(self, carry: Carry):
        return (carry.position, carry.momentum, carry.ledger) if self.record else None


NOISE_BYTES = 2**24  # of noise drawn at once


def chunk_size(block: int, path) -> int:
    """Steps whose noise is drawn at once: the largest divisor of the block within the budget."""
    one = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(path.shape)) * path.draws
    fits = [k for k in range(1, block + 1) if block % k == 0 and k * one <= NOISE_BYTES]
    # A loop of one step is no loop to XLA, and the noise would be computed again per output.
    return max(fits + [min((k for k in range(2, block + 1) if block % k == 0), default=1)])


def frozen(new: Carry, old: Carry) -> Carry:
    """`new` where the path is still finite; where it is not, `old` for good, and flagged.

    The limit is the fourth root of the largest number: far below overflow, so that not only the
    frozen values but also the derivatives of the discarded step are finite, and a diverged path
    cannot put NaN into the gradient of the others.
    """
    energy = new.ledger.energy
    limit = float(jnp.finfo(energy.dtype).max) ** 0.25
    alive = (old.ledger.alive > 0) & (jnp.abs(energy) < limit)  # False for NaN
    kept = where_alive(alive, new, old)
    flag = jnp.where(alive, old.ledger.alive, 0.0)
    return eqx.tree_at(lambda c: c.ledger.alive, kept, flag)


def kinetic(momentum, inverse_mass):
    """sum p^2 / 2m of every path, (batch,)."""
    return per_sample_sum(jax.tree.map(lambda p, w: 0.5 * w * p**2, momentum, inverse_mass))


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
    """(f0 + f1)/2 . (x1 - x0) of every path; 0.0 without a drive."""
    if old is None:
        return 0.0
    return per_sample_sum(
        jax.tree.map(lambda f0, f1, a, b: 0.5 * (f0 + f1) * (b - a), old, new, x0, x1)
    )


def booked(drift: DriftTerm, carry: Carry, at: Substep, x, p, half, heat, before) -> Carry:
    """Close a substep at position x: the last half kick of p, and the entries in the ledger.

    `heat` is what the thermostat took so far; `before` the kinetic energy that deterministic
    pieces have added so far. Returned at the grid point, the potential switched to its next
    control: that switch, at fixed x, is the work.
    """
    energy_end, energy_next, gradient = drift.meet(x, at.now, at.next, at.kick)
    drive = drift.driven(x, at.kick)
    bath, book = at.bath, carry.ledger
    kinetic_free = kinetic(p, bath.inverse_mass)
    p = kicked(p, gradient, drive, bath, half)
    kinetic_end = kinetic(p, bath.inverse_mass)
    driven = drive_work(carry.drive, drive, carry.position, x)
    shadow = (energy_end - carry.potential_energy) + before + (kinetic_end - kinetic_free) - driven
    ledger = dataclasses.replace(
        book,
        work=book.work + (energy_next - energy_end),
        heat=book.heat + heat,
        shadow_work=book.shadow_work + shadow,
        drive_work=book.drive_work + driven,
        bath_entropy=book.bath_entropy + bath.beta * heat,
        energy=energy_next + kinetic_end,
    )
    return Carry(x, p, ledger, gradient, energy_next, drive)


def mass_switched(carry: Carry, at: Substep) -> Carry:
    """A mass that changes at the end of a substep does its work at fixed momentum."""
    if at.inverse_mass_next is None:
        return carry
    p, book = carry.momentum, carry.ledger
    work = kinetic(p, at.inverse_mass_next) - kinetic(p, at.bath.inverse_mass)
    book = dataclasses.replace(book, work=book.work + work, energy=book.energy + work)
    return dataclasses.replace(carry, ledger=book)


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
    draws: ClassVar[int] = 1
    ou_fraction: ClassVar[float] = 1.0

    def substep(self, drift, carry, at, normals):
        h, bath = drift.table.h, at.bath
        p0 = carry.momentum
        p1 = kicked(p0, carry.gradient, carry.drive, bath, h / 2)
        x = drifted(carry.position, p1, bath, h / 2)
        p2 = thermalized(p1, normals[0], bath)
        x = drifted(x, p2, bath, h / 2)
        k0, k1, k2 = (kinetic(p, bath.inverse_mass) for p in (p0, p1, p2))
        carry = booked(drift, carry, at, x, p2, h / 2, heat=k1 - k2, before=k1 - k0)
        return mass_switched(carry, at)


class OBABO(AbstractSplitting):
    """The palindrome half Ornstein-Uhlenbeck, half kick, drift, half kick, half OU.

    A velocity-Verlet step between two half thermostats (Bussi, Parrinello, PRE 75, 056707 (2007));
    two normals and one gradient per step. On an overdamped system it is the Euler-Maruyama step,
    with an exact work theorem. Second order; the density of its step is explicit.
    """

    block: int | None = eqx.field(static=True, default=None)
    record: bool = eqx.field(static=True, default=False)
    draws: ClassVar[int] = 2
    ou_fraction: ClassVar[float] = 0.5

    def substep(self, drift, carry, at, normals):
        h, bath = drift.table.h, at.bath
        p0 = carry.momentum
        p1 = thermalized(p0, normals[0], bath)
        p2 = kicked(p1, carry.gradient, carry.drive, bath, h / 2)
        x = drifted(carry.position, p2, bath, h)
        k0, k1, k2 = (kinetic(p, bath.inverse_mass) for p in (p0, p1, p2))
        carry = booked(drift, carry, at, x, p2, h / 2, heat=k0 - k1, before=k2 - k1)
        p4 = thermalized(carry.momentum, normals[1], bath)
        released = kinetic(carry.momentum, bath.inverse_mass) - kinetic(p4, bath.inverse_mass)
        book = carry.ledger
        ledger = dataclasses.replace(
            book,
            heat=book.heat + released,
            bath_entropy=book.bath_entropy + bath.beta * released,
            energy=book.energy - released,
        )
        return mass_switched(dataclasses.replace(carry, momentum=p4, ledger=ledger), at)
