"""One block of substeps: the inner loop of every run, laid out for the compiler at hand."""

from __future__ import annotations

import dataclasses
import enum
import operator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._platform import platform
from .._tree import where_alive, written
from ..ledger import Ledger
from . import lanes, reverse_lanes
from .carry import Carry, Entry, balance, brief, flagged, frozen, nothing, posted, recalled
from .layout import (
    chunk_size,
    has_counted_noise,
    is_paired,
    is_summed,
    is_tiny,
    order_of,
    parts_of,
    runs_in_functions,
    tiled,
    turn_of,
    written_out,
)
from .order import Order
from .packing import paired_scan
from .residuals import again, all_again
from .terms import DriftTerm, NoiseTerm
from .timetable import Coefficients


class Substep(eqx.Module):
    """What one substep reads from the timetable; for a block, with a leading axis."""

    now: Array  # the control while it lasts
    next: Array  # the control the potential switches to at its end
    kick: Array  # the control of the kick at its end
    bath: Coefficients
    inverse_mass_next: PyTree[Array] | None


def rows_of(drift: DriftTerm, first, count: int) -> Substep:
    """Those of `count` substeps from local step `first`."""
    table = drift.table
    piece = lambda leaf, at=0: jax.lax.dynamic_slice_in_dim(leaf, first + at, count)
    masses = table.inverse_masses
    return Substep(
        piece(table.switch, 1),
        piece(table.switch, 2),
        piece(table.kick, 1),
        # Filled in by `move` where it is one for the whole run.
        jax.tree.map(piece, table.bath) if table.scheduled else None,  # pyright: ignore[reportArgumentType]
        None if masses is None else jax.tree.map(lambda x: piece(x, 2), masses),
    )


class Watch(enum.Enum):
    """What is done about paths that diverge."""

    NOT = enum.auto()  # nothing: reverse mode has been told which they are (`reverse.py`)
    FLAG = enum.auto()  # their flag falls, and they go on
    FREEZE = enum.auto()  # they stay where they were for good


class Block(eqx.Module):
    """The substeps of an integrator through one block."""

    integrator: Any
    drift: DriftTerm
    noise: NoiseTerm
    watch: Watch = eqx.field(static=True)

    def through(self, first, carry: Carry, ledger: Ledger):
        """The carry and the ledger after `block` substeps from local step `first`.

        **Returns:** carry, ledger, and, where the integrator records, (position, momentum, ledger)
        after each substep.
        """
        if self.watch is Watch.FREEZE and self.hopeful(carry):
            (new, total), path = self.hopefully(first, carry), None
        else:
            new, total, path = self.substeps(first, carry, ledger)
        return new, posted(ledger, total, self.drift.table, *balance(new)), path

    def hopeful(self, carry: Carry) -> bool:
        """Whether a block is tried without freezing.

        That takes a while_loop, which is not for reverse mode: it comes by here only untold. On a
        GPU, where freezing costs nothing, it would wait for the host; tiny batches lose a third.
        """
        told = self.integrator.told and not self.integrator.record
        return told and platform() == "cpu" and not is_tiny(carry.position)

    def hopefully(self, first, carry: Carry) -> tuple[Carry, Entry]:
        """The carry after the block without freezing on the way; if a path diverged, anew with.

        In every substep a choice between old and new makes all that leaves it depend on the energy
        at its end, which XLA:CPU then computes once for each of them. Measured, of the time with
        freezing: on one core as a device 0.7 to 0.85 at one coordinate, 0.9 to 0.95 at 8 and 64; on
        two as one 0.8 to 0.9, and 0.95 to 1. 1.75 to 2 times that where a path diverges in every
        block.
        """
        flagging = dataclasses.replace(self, watch=Watch.FLAG)
        new, total, _ = flagging.substeps(first, carry)
        alive = carry.alive > 0
        diverged = jnp.any(alive & (new.alive <= 0))
        anew = lambda state: (False, *self.substeps(first, carry)[:2])
        # Unlike lax.cond, a loop that nobody enters costs nothing under vmap.
        _, new, total = jax.lax.while_loop(lambda state: state[0], anew, (diverged, new, total))
        return where_alive(alive, (new, total), (carry, jax.tree.map(jnp.zeros_like, total)))

    def substeps(self, first, carry: Carry, ledger: Ledger | None = None):
        """The carry after the block, the sum of its entries, and what it passed if recorded.

        For a record, `ledger` is that at the start of the block.
        """
        k = self.integrator.block
        assert k is not None  # `solve` has chosen one
        rows = rows_of(self.drift, first, k)
        if not self.integrator.record and has_counted_noise(self.noise):
            if (moved := self.in_lanes(first, carry, rows)) is not None:
                return *moved, None
            if (several := written_out(k, carry.position)) > 1:
                return *self.kernels(several, first, carry, rows), None
        return self.parts(first, carry, rows, ledger if self.integrator.record else None)

    def move(self, carry: Carry, at: Substep, normals) -> tuple[Carry, Entry]:
        """One substep."""
        table = self.drift.table
        if not table.scheduled:
            at = dataclasses.replace(at, bath=table.bath)
        if carry.pace is not None:
            bath = at.bath.at_pace(carry.pace, carry.position)
            at = dataclasses.replace(at, bath=bath)
        new, entry = self.integrator.substep(self.drift, carry, at, normals)
        if table.scheduled:
            entry = dataclasses.replace(entry, bath_entropy=at.bath.beta * entry.heat)
        if self.watch is Watch.FREEZE:
            return frozen(new, entry, carry, table.limit)
        return (new if self.watch is Watch.NOT else flagged(new, carry, table.limit)), entry

    # On a GPU: one kernel for all substeps where there can be one.

    def in_lanes(self, first, carry: Carry, rows: Substep) -> tuple[Carry, Entry] | None:
        """The carry after the block, and the sum of its entries; None where that is no kernel.

        Of reverse mode by checkpoints alone: it takes a block anew, and watches no paths.
        """
        if not self.integrator.told or not lanes.are_compiled():
            return None

        def substep(state, at, normals):
            carry, total = state
            carry, entry = self.move(carry, at, normals)
            return carry, jax.tree.map(jnp.add, total, entry)

        state = carry, nothing(carry, self.drift.table)
        again = self.watch is Watch.NOT
        return reverse_lanes.advanced(substep, self.noise.path, first, state, rows, again)

    # Else noise and several substeps written out, for the compiler to put into few kernels.

    def kernels(self, several: int, first, carry: Carry, rows: Substep) -> tuple[Carry, Entry]:
        """The carry after the block, and the sum of its entries."""
        fold = lambda leaf: leaf.reshape(-1, several // 2, 2, *leaf.shape[1:])
        rows = jax.tree.map(fold, rows)
        starts = (first + 2 * jnp.arange(self.integrator.block // 2)).reshape(-1, several // 2)

        def pair(state, x):
            start, rows = x
            for i, normals in enumerate(self.noise.path.few(start, 2)):
                carry, total = state
                at = jax.tree.map(operator.itemgetter(i), rows)
                carry, entry = self.move(carry, at, normals)
                state = carry, jax.tree.map(jnp.add, total, entry)
            return state, None

        group = all_again(lambda state, x: jax.lax.scan(pair, state, x, unroll=True))
        state = carry, nothing(carry, self.drift.table)
        (carry, total), _ = jax.lax.scan(group, state, (starts, rows))
        return carry, total

    # On a CPU: part after part of the batch, and the noise of a chunk of substeps drawn at once.

    def parts(self, first, carry: Carry, rows: Substep, ledger: Ledger | None):
        """What `substeps` returns."""
        tiles = self.tiles(carry)
        paths = len(carry.potential_energy) // tiles
        order = order_of(carry.position, self.noise, paths)
        if self.integrator.record:
            order = Order.FREE
        block, path = self.ordered(order), self.noise.path
        if order is not Order.FREE:
            path = dataclasses.replace(path, order=order)
        if tiles == 1:
            return block.chunks(path, first, carry, rows, ledger)
        one = lambda c, i: block.chunks(path.share(i, tiles), first, c, rows, None)[:2]
        return *tiled(one, tiles, carry), None

    def chunks(self, path, first, carry: Carry, rows: Substep, ledger: Ledger | None):
        """The same, of the paths that `path` is the noise of."""
        k = len(rows.now)
        size = chunk_size(
            k, path, short=self.watch is not Watch.NOT and runs_in_functions(self.noise)
        )
        if size == k:
            return self.chunk(path.drawn(first, k), carry, rows, ledger)
        rows = jax.tree.map(lambda leaf: leaf.reshape(k // size, size, *leaf.shape[1:]), rows)
        starts = first + size * jnp.arange(k // size)

        def chunk(state, x):
            carry, total, ledger = state
            start, rows = x
            carry, more, passed = self.chunk(path.drawn(start, size), carry, rows, ledger)
            if ledger is not None:
                ledger = posted(ledger, more, self.drift.table, *balance(carry))
            return (carry, jax.tree.map(jnp.add, total, more), ledger), passed

        state = carry, nothing(carry, self.drift.table), ledger
        (carry, total, _), passed = jax.lax.scan(chunk, state, (starts, rows))
        passed = jax.tree.map(lambda leaf: leaf.reshape(k, *leaf.shape[2:]), passed)
        return carry, total, passed

    def chunk(self, drawn, carry: Carry, rows: Substep, ledger: Ledger | None):
        """The same of some substeps whose noise is drawn."""
        carry, total, out = self.loop(drawn, carry, rows)
        if ledger is None:
            return carry, total, None
        entries, (x, p, *now) = out
        sums = jax.tree.map(lambda leaf: jnp.cumsum(leaf, axis=0), entries)
        return carry, total, (x, p, posted(ledger, sums, self.drift.table, *now))

    def tiles(self, carry: Carry) -> int:
        """Into how many parts the batch is cut."""
        return 1 if self.integrator.record else parts_of(carry.position, self.noise)

    def ordered(self, order: Order) -> Block:
        """The same with the arrays of its loop in this order."""
        one = self.drift.table.kick[0].size == 1 and order is not Order.FREE
        one = one and self.watch is Watch.NOT and self.noise.traits.forward
        drift = dataclasses.replace(self.drift, order=order, by_one=one)
        return dataclasses.replace(self, drift=drift)

    def loop(self, drawn, start: Carry, rows: Substep):
        """The carry after a chunk, the sum of its entries, and what it passed if recorded."""
        record, order = self.integrator.record, self.drift.order
        narrow = record or not is_summed(start.position, self.noise)
        which, normals_of = jnp.arange(len(rows.now)), drawn.at
        if is_tiny(start.position):
            # Rows that the loop goes through, not an array that each step looks into.
            which, normals_of = jax.vmap(drawn.at)(which), lambda normals: normals

        short = self.watch is Watch.FLAG and not self.drift.table.scheduled
        turn = 1 if self.watch is Watch.NOT else turn_of(start.position, self.noise)
        scan = paired_scan if short and is_paired(start.position) else jax.lax.scan
        mass = self.drift.table.bath.inverse_mass

        def step(state, x):
            carry, total = state
            which, at = x
            carry = order.placed(recalled(carry, mass) if short else carry)
            carry, entry = self.move(carry, at, normals_of(which))
            passed = (carry.position, carry.momentum, *balance(carry)) if record else None
            carry = order.placed(brief(carry) if short else carry)
            if turn > 1:
                carry = written(carry)
            if narrow:
                return (carry, total), (entry, passed)
            return (carry, jax.tree.map(jnp.add, total, entry)), None

        total: Any = None if narrow else nothing(start, self.drift.table)
        out: Any
        begin: Any = order.placed(brief(start) if short else start)
        (end, total), out = scan(again(step), (begin, total), (which, rows), unroll=turn)
        end = recalled(end, mass) if short else end
        if narrow:
            total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), out[0])
        return end, total, out
