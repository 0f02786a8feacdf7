"""The loop over the steps of a block: tile after tile of the batch, chunk after chunk of noise."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._tree import in_memory
from ..dynamics import PathState, StepCoefficients, StepEnergies, empty_energies
from ..ledger import Ledger
from .accumulate import accumulate
from .cpu.complex_pairs import paired_scan
from .cpu.packed_state import pack, unpack
from .drawing import Drawing
from .layout import Layout
from .policy import DivergencePolicy, Stepper
from .residuals import recomputed_from_kept


def run_steps(
    stepper: Stepper,
    drawing: Drawing,
    layout: Layout,
    first,
    state: PathState,
    ledger: Ledger | None = None,
    policy: DivergencePolicy = DivergencePolicy.FREEZE,
) -> tuple[PathState, StepEnergies, PyTree | None]:
    """The steps of a block from local step `first`.

    **Arguments:** `ledger`: at the start of the block, where every step is recorded.

    **Returns:** the state at the end, the sum of what the steps have booked, and, where they are
    recorded, (position, momentum, ledger) after each of them.
    """
    coefficients = stepper.table.steps_from(first, layout.steps)
    if layout.tiles == 1:
        return run_tile(stepper, drawing, layout, first, coefficients, state, ledger, policy)

    def tile(numbered):
        state, number = numbered
        own = drawing.tile(number, layout.tiles)
        return run_tile(stepper, own, layout, first, coefficients, state, None, policy)[:2]

    # In reverse mode each tile is computed again just before: only its start is kept, and memory
    # holds the residuals of one tile at a time.
    tile = jax.checkpoint(tile, prevent_cse=False)
    fold = lambda leaf: leaf.reshape(layout.tiles, -1, *leaf.shape[1:])
    done = jax.lax.map(tile, (jax.tree.map(fold, state), jnp.arange(layout.tiles)))
    state, total = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), done)
    return state, total, None


def run_tile(
    stepper: Stepper,
    drawing: Drawing,
    layout: Layout,
    first,
    coefficients: StepCoefficients,
    state: PathState,
    ledger: Ledger | None,
    policy: DivergencePolicy,
):
    """The steps of a block for the paths that `drawing` is the noise of: as `run_steps`."""
    table, order, how = stepper.table, layout.order, layout.loop(policy)
    size, count = how.chunk, layout.steps // how.chunk

    def chunk(carry, x):
        """Some steps, whose noise is drawn at once."""
        state, total, ledger = carry
        start, coefficients = x
        drawn = drawing.drawn(start, size)
        local = jnp.arange(size)
        # Rows that the loop goes through, not an array that each step looks into.
        read_ahead = jax.vmap(drawn.at)(local) if layout.tiny else None

        def step(carry, x):
            state, total = carry
            i, normals, coefficients = x
            state = order.in_memory_order(unpack(state, inverse_mass) if how.packed else state)
            normals = drawn.at(i) if normals is None else normals
            state, energies = stepper.advance(state, coefficients, normals, policy, start + i)
            passed = (state.position, state.momentum, *balance(state)) if layout.record else None
            state = order.in_memory_order(pack(state) if how.packed else state)
            if how.unroll > 1:
                state = in_memory(state)
            if not layout.summed:
                return (state, total), (energies, passed)
            return (state, jax.tree.map(jnp.add, total, energies)), None

        inverse_mass = table.bath.inverse_mass
        scan = paired_scan if how.paired else jax.lax.scan
        begin: Any = order.in_memory_order(pack(state) if how.packed else state)
        own: Any = empty_energies(state, table, stepper.forces.system) if layout.summed else None
        (end, own), out = scan(
            recomputed_from_kept(step),
            (begin, own),
            (local, read_ahead, coefficients),
            unroll=how.unroll,
        )
        state = unpack(end, inverse_mass) if how.packed else end
        if not layout.summed:
            own = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), out[0])
        passed = None
        if ledger is not None:
            energies, (position, momentum, *at_steps) = out
            sums = jax.tree.map(lambda leaf: jnp.cumsum(leaf, axis=0), energies)
            passed = position, momentum, accumulate(ledger, sums, table, *at_steps)
            ledger = accumulate(ledger, own, table, *balance(state))
        return (state, jax.tree.map(jnp.add, total, own), ledger), passed

    begin = state, empty_energies(state, table, stepper.forces.system), ledger
    fold = lambda leaf: leaf.reshape(count, size, *leaf.shape[1:])
    if count == 1:
        (state, total, _), passed = chunk(begin, (first, coefficients))
        return state, total, passed
    starts = first + size * jnp.arange(count)
    (state, total, _), passed = jax.lax.scan(
        chunk, begin, (starts, jax.tree.map(fold, coefficients))
    )
    passed = jax.tree.map(lambda leaf: leaf.reshape(layout.steps, *leaf.shape[2:]), passed)
    return state, total, passed


def balance(state: PathState) -> tuple:
    """The ledger's entries of the moment: the energy, the kinetic energy, and who is alive."""
    return state.energy, state.kinetic_energy, state.alive
