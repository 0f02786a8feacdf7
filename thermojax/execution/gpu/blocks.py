"""A block of steps on a GPU: one kernel where there can be one, else a few steps in each."""

from __future__ import annotations

import operator

import jax
import jax.numpy as jnp

from ...dynamics import PathState, StepEnergies, empty_energies
from ..drawing import Drawing
from ..policy import DivergencePolicy, Stepper
from ..residuals import recomputed_from_start
from .reverse_threads import advance_in_threads


def kernel_of_block(
    stepper: Stepper,
    drawing: Drawing,
    steps: int,
    first,
    state: PathState,
    policy: DivergencePolicy,
) -> tuple[PathState, StepEnergies] | None:
    """The state after the block and the sum of what it books; None where that is no kernel."""

    def step(carry, coefficients, normals):
        state, total = carry
        state, energies = stepper.advance(state, coefficients, normals, policy)
        return state, jax.tree.map(jnp.add, total, energies)

    begin = state, empty_energies(state, stepper.table, stepper.forces.system)
    coefficients = stepper.table.steps_from(first, steps)
    # Reverse mode takes a block anew, and ignores paths that diverge.
    differentiated = policy is DivergencePolicy.IGNORE
    return advance_in_threads(step, drawing, first, begin, coefficients, differentiated)


def unrolled_block(
    stepper: Stepper,
    drawing: Drawing,
    steps: int,
    unrolled: int,
    first,
    state: PathState,
    policy: DivergencePolicy,
) -> tuple[PathState, StepEnergies]:
    """`kernel_of_block` with several steps and their noise written out, for XLA to fuse."""
    fold = lambda leaf: leaf.reshape(-1, unrolled // 2, 2, *leaf.shape[1:])
    coefficients = jax.tree.map(fold, stepper.table.steps_from(first, steps))
    starts = (first + 2 * jnp.arange(steps // 2)).reshape(-1, unrolled // 2)

    def pair(carry, x):
        start, coefficients = x
        for i, normals in enumerate(drawing.few(start, 2)):
            state, total = carry
            own = jax.tree.map(operator.itemgetter(i), coefficients)
            state, energies = stepper.advance(state, own, normals, policy)
            carry = state, jax.tree.map(jnp.add, total, energies)
        return carry, None

    group = recomputed_from_start(lambda carry, x: jax.lax.scan(pair, carry, x, unroll=True))
    begin = state, empty_energies(state, stepper.table, stepper.forces.system)
    (state, total), _ = jax.lax.scan(group, begin, (starts, coefficients))
    return state, total
