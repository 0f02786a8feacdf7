"""Splitting integrators, as diffrax solvers whose step is a block of substeps.

One diffrax step advances `block` substeps in an inner scan, rematerialized as a whole in reverse
mode. A substep is a few lines in a subclass: the exact pieces of the motion in order, each with the
entry that it makes in the ledger.
"""

import abc
import dataclasses
import functools
import math
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._tree import batch_of, per_sample_sum, where_alive
from ..ledger import Ledger
from .noise import GridBrownianPath
from .packing import paired_scan
from .terms import DriftTerm, NoiseTerm, unwrapped
from .timetable import Coefficients, Timetable


class Carry(eqx.Module):
    """A batch of paths at a grid point, with what the next substep would else compute again."""

    position: PyTree[Array]
    momentum: PyTree[Array]
    gradient: PyTree[Array]  # of U at the control of the grid point
    potential_energy: Array  # (batch,), at the control of the coming substep
    drive: PyTree[Array] | None
    energy: Array  # (batch,), H: the potential energy and the kinetic
    alive: Array

    @property
    def kinetic_energy(self):
        return self.energy - self.potential_energy


class Entry(eqx.Module):
    """What one substep books, each (batch,)."""

    work: Array
    heat: Array
    shadow_work: Array
    drive_work: Array | None
    bath_entropy: Array | None = None  # where the temperature changes; else beta times the heat


NARROW = 4096
# Up to this batch the entries leave the inner loop and are summed after it, beyond they are summed
# on the way. XLA:CPU shares every carried number of a substep out to all threads, which costs a few
# microseconds each, and writes what leaves a loop with one. Measured on two cores, the narrow way
# takes 0.7 of the time at 1024 x 1 (and 0.75 in reverse mode), 2.5 times as long at 65536 x 1.


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
        """(step, gradient, potential energy, drive) at the first grid point."""
        drift, _ = unwrapped(terms)
        position, _, _ = y0
        first = jnp.round(t0).astype(int)
        switch, kick = drift.controls
        now, kick = switch[first + 1], kick[first]
        _, energy, gradient = drift.meet(position, now, now, kick)
        return first, gradient, energy, drift.driven(position, kick)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        del args, made_jump
        y1, path, state = eqx.filter_checkpoint(self.advanced)(*unwrapped(terms), y0, solver_state)
        if self.record:
            dense = dict(path=jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y0, path))
        else:
            dense = dict(path=y1)
        return y1, None, dense, state, dfx.RESULTS.successful

    def advanced(self, drift: DriftTerm, noise: NoiseTerm, y0, solver_state):
        """One block: y1, the states on the way where they are recorded, the next solver state."""
        first, gradient, potential_energy, drive = solver_state
        position, momentum, ledger = y0
        carry = Carry(
            position, momentum, gradient, potential_energy, drive, ledger.energy, ledger.alive
        )
        carry, ledger, path = self.run_block(drift, noise, first, carry, ledger)
        state = (first + self.block, carry.gradient, carry.potential_energy, carry.drive)
        return (carry.position, carry.momentum, ledger), path, state

    def run_block(self, drift: DriftTerm, noise: NoiseTerm, first, carry: Carry, ledger: Ledger):
        """`block` substeps from local step `first`."""
        table, k = drift.table, self.block
        assert k is not None  # `solve` has chosen one
        piece = lambda leaf, n, at=0: jax.lax.dynamic_slice_in_dim(leaf, first + at, n)
        masses, (switch, kick) = table.inverse_masses, drift.controls
        bath = jax.tree.map(lambda x: piece(x, k), table.bath) if table.scheduled else None
        rows = Substep(
            piece(switch, k, 1),
            piece(switch, k, 2),
            piece(kick, k, 1),
            bath,  # pyright: ignore[reportArgumentType]  # None: filled in by `advance`
            None if masses is None else jax.tree.map(lambda x: piece(x, k, 2), masses),
        )

        narrow = self.record or len(carry.energy) <= NARROW

        def advance(normals_of, state, x):
            carry, total = state
            which, at = x
            if at.bath is None:
                at = dataclasses.replace(at, bath=table.bath)
            new, entry = self.substep(drift, carry, at, normals_of(which))
            if table.scheduled:
                entry = dataclasses.replace(entry, bath_entropy=at.bath.beta * entry.heat)
            carry, entry = frozen(new, entry, carry)
            passed = (carry.position, carry.momentum, *balance(carry))
            if narrow:
                return (carry, total), (entry, passed if self.record else None)
            return (carry, jax.tree.map(jnp.add, total, entry)), None

        single, cpu = coordinates(carry.position) == 1, jax.default_backend() == "cpu"
        tiny = len(carry.energy) * coordinates(carry.position) <= TINY
        pairs = single and narrow and not tiny and not self.record and cpu
        scan = paired_scan if pairs else jax.lax.scan
        short = single and not tiny and not self.record and cpu and not table.scheduled
        mass = table.bath.inverse_mass

        def over(drawn, start, rows):
            """The carry after a chunk, the sum of its entries, and what it passed if recorded."""
            which, normals_of = jnp.arange(size), drawn.at
            if tiny:  # rows that the loop goes through, not an array that each step looks into
                which, normals_of = jax.vmap(drawn.at)(which), lambda normals: normals
            step = functools.partial(advance, normals_of)
            if short:
                step = on_brief(step, mass)
            if single or tiny:  # reverse mode computes a substep again, and keeps no pieces
                saveable = jax.checkpoint_policies.dots_saveable
                step = jax.checkpoint(step, policy=saveable, prevent_cse=False)
            total: Any = None if narrow else nothing(start, table)
            state: Any = (brief(start) if short else start, total)
            out: Any
            (end, total), out = scan(step, state, (which, rows))
            if narrow:
                total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), out[0])
            if short:
                end = balanced(start, recalled(end, mass), total, mass)
            return end, total, out

        def chunk(state, x):
            carry, ledger = state
            start, rows = x
            path: Any = None
            whole = self.record or drift.copies is not None
            if not whole and (tiles := tiles_of(carry.position, noise.path)) > 1:
                drawn = lambda i: noise.path.share(i, tiles).drawn(start, size)
                carry, total = tiled(lambda c, i: over(drawn(i), c, rows)[:2], tiles, carry)
            else:
                carry, total, out = over(noise.path.drawn(start, size), carry, rows)
                if self.record:
                    entries, (x, p, *now) = out
                    sums = jax.tree.map(lambda leaf: jnp.cumsum(leaf, axis=0), entries)
                    path = (x, p, posted(ledger, sums, table, *now))
            return (carry, posted(ledger, total, table, *balance(carry))), path

        size = chunk_size(k, noise.path)
        if size == k:
            (carry, ledger), path = chunk((carry, ledger), (first, rows))
            return carry, ledger, path
        rows = jax.tree.map(lambda leaf: leaf.reshape(k // size, size, *leaf.shape[1:]), rows)
        starts = first + size * jnp.arange(k // size)
        (carry, ledger), path = jax.lax.scan(chunk, (carry, ledger), (starts, rows))
        path = jax.tree.map(lambda leaf: leaf.reshape(k, *leaf.shape[2:]), path)
        return carry, ledger, path


NOISE_BYTES = 2**24  # of noise drawn at once


def chunk_size(block: int, path) -> int:
    """Steps whose noise is drawn at once: the largest divisor of the block within the budget."""
    one = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(path.shape)) * path.draws
    fits = [k for k in range(1, block + 1) if block % k == 0 and k * one <= NOISE_BYTES]
    # A loop of one step is no loop to XLA, and the noise would be computed again per output.
    return max(fits + [min((k for k in range(2, block + 1) if block % k == 0), default=1)])


def nothing(carry: Carry, table: Timetable) -> Entry:
    zero = jnp.zeros_like(carry.energy)
    driven = None if carry.drive is None else zero
    return Entry(zero, zero, zero, driven, zero if table.scheduled else None)


TINY = 4
# So many coordinates in the whole batch, real numbers only: XLA:CPU compiles a loop that touches
# less than 1024 bytes as one function. The gradient of one path, the substep computed again, then
# takes 0.2 of the time of that with its pieces kept. For larger batches of one coordinate, paired,
# computing it again takes 0.8 of the time on one core (as much wall time on two) and 0.8 of the
# memory at 1024 x 1, the same time and 0.7 of the memory at 65536 x 1. Where a force is expensive
# (the posterior ramp in 31 dimensions) it would take 1.17 of the time: there the pieces are kept.

TILE, WIDE_TILE, LEAST = 512, 2**14, 256
# In narrow batches on a CPU the paths are taken through a chunk of substeps so many numbers at a
# time: the first where a path has one coordinate, else about the second, in no fewer than `LEAST`
# paths, which a matrix product needs to be worth it. Measured on two cores.
# One coordinate: so few that XLA:CPU leaves each loop to one thread; the forward time at 1024 x 1
# is 0.6 and at 2048 x 1 is 0.7 of that without; tiles of 256 and 128 are slower.
# More: what stays in the cache. At 1024 x 64 forward and reverse take 0.85 of the time (0.6 and
# 0.75 of processor time), the posterior ramp at 1024 x 31 takes 1.04 forward and 0.63 in reverse;
# tiles of 2^10 and 2^11 numbers are slower than none.


def tiles_of(position: PyTree[Array], path) -> int:
    """Into how many parts a batch is cut; 1 for none."""
    batch, size = batch_of(position), coordinates(position)
    tile = TILE if size == 1 else 2 ** int(math.log2(max(WIDE_TILE / size, 1)))
    whole = tile >= LEAST and batch % tile == 0 and isinstance(path, GridBrownianPath)
    cut = whole and batch <= NARROW and jax.default_backend() == "cpu"
    return batch // tile if cut else 1


def coordinates(position: PyTree[Array]) -> int:
    """Those of one path."""
    return sum(leaf.size for leaf in jax.tree.leaves(position)) // batch_of(position)


def tiled(function, tiles: int, carry: Carry):
    """`function` of one part of the batch, and its number, after the other.

    In reverse mode each is computed again just before: only its start is kept, and memory holds the
    pieces of one part at a time.
    """
    fold = lambda leaf: leaf.reshape(tiles, -1, *leaf.shape[1:])
    parts = (jax.tree.map(fold, carry), jnp.arange(tiles))
    one = jax.checkpoint(lambda part: function(*part), prevent_cse=False)
    done = jax.lax.map(one, parts)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), done)


def brief(carry: Carry):
    """What determines a carry; the potential energy of a path that has diverged is infinite.

    Where a path has one coordinate, this is a loop of eight operations instead of ten, and up to
    eight XLA:CPU runs one after the other, without asking which could run side by side.
    """
    potential_energy = jnp.where(carry.alive > 0, carry.potential_energy, jnp.inf)
    return carry.position, carry.momentum, carry.gradient, potential_energy, carry.drive


def recalled(short, inverse_mass) -> Carry:
    """The carry again."""
    position, momentum, gradient, potential_energy, drive = short
    energy = potential_energy + kinetic(momentum, inverse_mass)
    alive = jnp.isfinite(potential_energy).astype(energy.dtype)
    return Carry(position, momentum, gradient, potential_energy, drive, energy, alive)


def on_brief(step, inverse_mass):
    """A step of carries as one of brief ones."""

    def briefly(state, x):
        (carry, total), out = step((recalled(state[0], inverse_mass), state[1]), x)
        return (brief(carry), total), out

    return briefly


def balanced(start: Carry, end: Carry, total: Entry, inverse_mass) -> Carry:
    """A carry recalled, with the energies of diverged paths when they froze, by the first law."""
    driven = 0.0 if total.drive_work is None else total.drive_work
    energy = start.energy + total.work - total.heat + total.shadow_work + driven
    potential_energy = energy - kinetic(end.momentum, inverse_mass)
    alive = end.alive > 0
    return dataclasses.replace(
        end,
        energy=jnp.where(alive, end.energy, energy),
        potential_energy=jnp.where(alive, end.potential_energy, potential_energy),
    )


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


def frozen(new: Carry, entry: Entry, old: Carry) -> tuple[Carry, Entry]:
    """`new` where the path is still finite; where it is not, `old` for good, and flagged.

    The limit is the fourth root of the largest number: far below overflow, so that not only the
    frozen values but also the derivatives of the discarded step are finite, and a diverged path
    cannot put NaN into the gradient of the others.
    """
    limit = float(jnp.finfo(new.energy.dtype).max) ** 0.25
    alive = (old.alive > 0) & (jnp.abs(new.energy) < limit)  # False for NaN
    carry, entry = where_alive(alive, (new, entry), (old, jax.tree.map(jnp.zeros_like, entry)))
    flag = jnp.where(alive, old.alive, 0.0)
    return dataclasses.replace(carry, alive=flag), entry


def kinetic(momentum, inverse_mass):
    """sum p^2 / 2m of every path, (batch,)."""

    def one(p, w):
        # One mass for all coordinates stays outside of the sum: a quarter of the time at d = 64.
        return w * per_sample_sum(p**2) if jnp.ndim(w) == 0 else per_sample_sum(w * p**2)

    rows = jax.tree.leaves(jax.tree.map(one, momentum, inverse_mass))
    return 0.5 * functools.reduce(jnp.add, rows)


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
    return Carry(x, p, gradient, energy_next, drive, energy_next + kinetic_end, carry.alive), entry


def mass_switched(carry: Carry, entry: Entry, at: Substep) -> tuple[Carry, Entry]:
    """A mass that changes at the end of a substep does its work at fixed momentum."""
    if at.inverse_mass_next is None:
        return carry, entry
    p = carry.momentum
    work = kinetic(p, at.inverse_mass_next) - kinetic(p, at.bath.inverse_mass)
    carry = dataclasses.replace(carry, energy=carry.energy + work)
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
    draws: ClassVar[int] = 1
    ou_fraction: ClassVar[float] = 1.0

    def substep(self, drift, carry, at, normals):
        h, bath = drift.table.h, at.bath
        p0 = carry.momentum
        p1 = kicked(p0, carry.gradient, carry.drive, bath, h / 2)
        x = drifted(carry.position, p1, bath, h / 2)
        p2 = thermalized(p1, normals[0], bath)
        x = drifted(x, p2, bath, h / 2)
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
    draws: ClassVar[int] = 2
    ou_fraction: ClassVar[float] = 0.5

    def substep(self, drift, carry, at, normals):
        h, bath = drift.table.h, at.bath
        p0 = carry.momentum
        p1 = thermalized(p0, normals[0], bath)
        p2 = kicked(p1, carry.gradient, carry.drive, bath, h / 2)
        x = drifted(carry.position, p2, bath, h)
        k0, k1, k2 = carry.kinetic_energy, *(kinetic(p, bath.inverse_mass) for p in (p1, p2))
        carry, entry = booked(drift, carry, at, x, p2, h / 2, heat=k0 - k1, before=k2 - k1)
        p4 = thermalized(carry.momentum, normals[1], bath)
        released = kinetic(carry.momentum, bath.inverse_mass) - kinetic(p4, bath.inverse_mass)
        carry = dataclasses.replace(carry, momentum=p4, energy=carry.energy - released)
        entry = dataclasses.replace(entry, heat=entry.heat + released)
        return mass_switched(carry, entry, at)
