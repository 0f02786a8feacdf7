"""One block of steps: the state before to the state after, and what was booked into the ledger."""

from __future__ import annotations

import functools
from typing import NamedTuple

from jaxtyping import Array, PyTree

from ..dynamics import AbstractIntegrator, DriftTerm, Forces, NoiseTerm, PathState
from ..ledger import Ledger
from .accumulate import accumulate
from .drawing import Drawing
from .forces import ArrangedForces
from .gpu.blocks import kernel_of_block, unrolled_block
from .layout import Layout
from .loop import balance, run_steps
from .optimistic import try_optimistic
from .policy import DivergencePolicy, Stepper

Y = tuple[PyTree[Array], PyTree[Array], Ledger]  # position, momentum, ledger


class SolverState(NamedTuple):
    """The state that a block hands to the next besides y."""

    first: Array  # the number of its first step
    gradient: PyTree[Array] | None
    potential_energy: Array
    drive: PyTree[Array] | None
    pace: Array | None
    prepared: PyTree[Array] | None


# The axis of each that is the batch's; None where there is none.
SOLVER_STATE_AXES = SolverState(None, 0, 0, 0, 0, None)  # pyright: ignore[reportArgumentType]


def begin(
    integrator: AbstractIntegrator, drift: DriftTerm, noise: NoiseTerm, first, position, pace
) -> SolverState:
    """The state of the solver at grid point `first`."""
    del noise
    table, system = drift.table, drift.system
    control_after, control = table.middles[first + 1], table.control[first]
    begun = integrator.begin(Forces(system), position, control_after, control)
    return SolverState(first, *begun, pace, integrator.prepare(system, table, position))


def advance_block(
    integrator: AbstractIntegrator,
    layout: Layout,
    policy: DivergencePolicy,
    drift: DriftTerm,
    noise: NoiseTerm,
    y0: Y,
    solver_state: SolverState,
    particles: Array | None = None,
) -> tuple[Y, Y | None, SolverState]:
    """The next y, what was passed on the way where it is recorded, and the next solver state.

    **Arguments:** `particles`: (batch,), whose noise each path takes; None for its own.
    """
    position, momentum, ledger = y0
    first, gradient, energy, drive, pace, prepared = solver_state
    state = PathState(
        position, momentum, gradient, energy, drive, ledger.kinetic, ledger.alive, pace
    )
    along = layout.along_control and policy is DivergencePolicy.IGNORE
    forces = ArrangedForces(drift.system, layout.order, along)
    drawing = Drawing(noise.path, layout.order, layout.even, particles)
    stepper = Stepper(integrator, drift.table, forces, prepared)
    recorded = ledger if layout.record else None
    run = functools.partial(run_steps, stepper, drawing, layout, first, state, recorded)
    own = stepper, drawing, layout.steps
    done = kernel_of_block(*own, first, state, policy) if layout.kernel else None
    passed = None
    if done is not None:
        state, total = done
    elif layout.unrolled > 1:
        state, total = unrolled_block(*own, layout.unrolled, first, state, policy)
    elif layout.optimistic and policy is DivergencePolicy.FREEZE:
        state, total = try_optimistic(run, state)
    else:
        state, total, passed = run(policy=policy)
    ledger = accumulate(ledger, total, drift.table, *balance(state))
    new = SolverState(
        first + layout.steps, state.gradient, state.potential_energy, state.drive, pace, prepared
    )
    return (state.position, state.momentum, ledger), passed, new
