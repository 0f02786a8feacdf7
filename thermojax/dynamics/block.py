"""One block of substeps: the inner loop of every run, laid out for the compiler at hand."""

from __future__ import annotations

import dataclasses
import functools
import operator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..ledger import Ledger
from .carry import (
    Carry,
    Entry,
    balance,
    balanced,
    brief,
    frozen,
    nothing,
    on_brief,
    posted,
    recalled,
)
from .layout import TINY, chunk_size, coordinates, is_narrow, tiled, tiles_of, written_out
from .packing import paired_scan
from .terms import DriftTerm, NoiseTerm
from .timetable import Coefficients

# In reverse mode a substep is computed again, but for its matrix products: only what it starts from
# is kept. Measured on two cores, a gradient then takes .94 of the time at 1024 x 1, .9 at 1024 x 8
# and 256 x 64, .54 for the posterior ramp at 1024 x 31.
again = functools.partial(
    jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable, prevent_cse=False
)


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


class Block(eqx.Module):
    """The substeps of an integrator through one block.

    `watch`: freeze paths that diverge. Reverse mode goes without, since it has been told
    (`reverse.py`).
    """

    integrator: Any
    drift: DriftTerm
    noise: NoiseTerm
    watch: bool = eqx.field(static=True)

    def through(self, first, carry: Carry, ledger: Ledger):
        """The carry and the ledger after `block` substeps from local step `first`.

        **Returns:** carry, ledger, and, where the integrator records, (position, momentum, ledger)
        after each substep.
        """
        k = self.integrator.block
        assert k is not None  # `solve` has chosen one
        rows = rows_of(self.drift, first, k)
        if not self.integrator.record and (written := written_out(k, carry.position)) > 1:
            carry, total = self.kernels(written, first, carry, rows)
            return carry, self.closed(ledger, total, carry), None
        size = chunk_size(k, self.noise.path)
        if size == k:
            (carry, ledger), path = self.chunk(size, (carry, ledger), (first, rows))
            return carry, ledger, path
        rows = jax.tree.map(lambda leaf: leaf.reshape(k // size, size, *leaf.shape[1:]), rows)
        starts = first + size * jnp.arange(k // size)
        chunk = functools.partial(self.chunk, size)
        (carry, ledger), path = jax.lax.scan(chunk, (carry, ledger), (starts, rows))
        path = jax.tree.map(lambda leaf: leaf.reshape(k, *leaf.shape[2:]), path)
        return carry, ledger, path

    def move(self, carry: Carry, at: Substep, normals) -> tuple[Carry, Entry]:
        """One substep."""
        table = self.drift.table
        if not table.scheduled:
            at = dataclasses.replace(at, bath=table.bath)
        new, entry = self.integrator.substep(self.drift, carry, at, normals)
        if table.scheduled:
            entry = dataclasses.replace(entry, bath_entropy=at.bath.beta * entry.heat)
        return frozen(new, entry, carry) if self.watch else (new, entry)

    def closed(self, ledger: Ledger, total: Entry, carry: Carry) -> Ledger:
        return posted(ledger, total, self.drift.table, *balance(carry))

    # On a GPU: noise and several substeps written out, for the compiler to put into few kernels.

    def kernels(self, written: int, first, carry: Carry, rows: Substep) -> tuple[Carry, Entry]:
        """The carry after the block, and the sum of its entries."""
        fold = lambda leaf: leaf.reshape(-1, written // 2, 2, *leaf.shape[1:])
        rows = jax.tree.map(fold, rows)
        starts = (first + 2 * jnp.arange(self.integrator.block // 2)).reshape(-1, written // 2)

        def pair(state, x):
            start, rows = x
            for i, normals in enumerate(self.noise.path.few(start, 2)):
                carry, total = state
                at = jax.tree.map(operator.itemgetter(i), rows)
                carry, entry = self.move(carry, at, normals)
                state = carry, jax.tree.map(jnp.add, total, entry)
            return state, None

        group = again(lambda state, x: jax.lax.scan(pair, state, x, unroll=True))
        state = carry, nothing(carry, self.drift.table)
        (carry, total), _ = jax.lax.scan(group, state, (starts, rows))
        return carry, total

    # On a CPU: the noise of a chunk of substeps drawn at once, then a loop over it.

    def chunk(self, size: int, state, x):
        """The carry and the ledger after `size` substeps, and what was passed if recorded."""
        carry, ledger = state
        start, rows = x
        path = self.noise.path
        record = self.integrator.record
        tiles = 1 if record else tiles_of(carry.position, path)
        if tiles > 1 and len(carry.energy) % tiles == 0:
            drawn = lambda i: path.share(i, tiles).drawn(start, size)
            carry, total = tiled(lambda c, i: self.loop(drawn(i), c, rows)[:2], tiles, carry)
            return (carry, self.closed(ledger, total, carry)), None
        carry, total, out = self.loop(path.drawn(start, size), carry, rows)
        passed: Any = None
        if record:
            entries, (x, p, *now) = out
            sums = jax.tree.map(lambda leaf: jnp.cumsum(leaf, axis=0), entries)
            passed = (x, p, posted(ledger, sums, self.drift.table, *now))
        return (carry, self.closed(ledger, total, carry)), passed

    def loop(self, drawn, start: Carry, rows: Substep):
        """The carry after a chunk, the sum of its entries, and what it passed if recorded."""
        table, record = self.drift.table, self.integrator.record
        mass = table.bath.inverse_mass
        narrow = record or is_narrow(len(start.energy))
        single = coordinates(start.position) == 1
        tiny = len(start.energy) * coordinates(start.position) <= TINY
        # What makes a watched loop of one coordinate shorter on a CPU. Without a watch, in reverse
        # mode, the plain loop is faster: 0.66 of the time at 1024 x 1.
        cpu = jax.default_backend() == "cpu"
        lean = self.watch and single and not tiny and not record and cpu
        short = lean and not table.scheduled
        which, normals_of = jnp.arange(len(rows.now)), drawn.at
        if tiny:  # rows that the loop goes through, not an array that each step looks into
            which, normals_of = jax.vmap(drawn.at)(which), lambda normals: normals

        def step(state, x):
            carry, total = state
            which, at = x
            carry, entry = self.move(carry, at, normals_of(which))
            if narrow:
                passed = (carry.position, carry.momentum, *balance(carry)) if record else None
                return (carry, total), (entry, passed)
            return (carry, jax.tree.map(jnp.add, total, entry)), None

        scan = paired_scan if lean and narrow else jax.lax.scan
        total: Any = None if narrow else nothing(start, table)
        state: Any = (brief(start) if short else start, total)
        out: Any
        (end, total), out = scan(
            again(on_brief(step, mass) if short else step), state, (which, rows)
        )
        if narrow:
            total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), out[0])
        if short:
            end = balanced(start, recalled(end, mass), total, mass)
        return end, total, out
