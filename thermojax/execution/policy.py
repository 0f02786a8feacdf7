"""One step under a policy for paths that diverge."""

from __future__ import annotations

import dataclasses
import enum

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._tree import where_alive
from ..dynamics import (
    AbstractForces,
    AbstractIntegrator,
    PathState,
    StepCoefficients,
    StepEnergies,
    Timetable,
    step_of,
    with_bath_in_time,
)


class DivergencePolicy(enum.Enum):
    """The answer of a step to a path whose energy leaves the range of finite numbers."""

    IGNORE = enum.auto()  # nothing: the caller knows which they are (`derivative.py`)
    FLAG = enum.auto()  # its flag falls, and it goes on
    FREEZE = enum.auto()  # it stays where it was for good


class Stepper(eqx.Module):
    """An integrator, with all that its steps read."""

    integrator: AbstractIntegrator
    table: Timetable
    forces: AbstractForces
    prepared: PyTree[Array] | None

    def advance(
        self,
        state: PathState,
        coefficients: StepCoefficients,
        normals: tuple[PyTree[Array], ...],
        policy: DivergencePolicy,
        index: Array | None = None,
    ) -> tuple[PathState, StepEnergies]:
        """The batch one step later, and what the step books."""
        table = self.table
        step = step_of(table, coefficients, self.forces, state, index, self.prepared)
        new, energies = self.integrator.substep(step, state, normals)
        new, energies = with_bath_in_time(step, new, energies, table.scheduled)
        if policy is DivergencePolicy.FREEZE:
            return frozen(new, energies, state, table.limit)
        if policy is DivergencePolicy.FLAG:
            new = flagged(new, state, table.limit)
        return new, energies


def flagged(new: PathState, old: PathState, limit: Array) -> PathState:
    """`new`, its flag fallen for good where the energy of the path is beyond the limit."""
    alive = (old.alive > 0) & (jnp.abs(new.energy) < limit)  # False for NaN
    return dataclasses.replace(new, alive=jnp.where(alive, old.alive, 0.0))


def frozen(
    new: PathState, energies: StepEnergies, old: PathState, limit: Array
) -> tuple[PathState, StepEnergies]:
    """`new` where the path is still finite; where it is not, `old` for good, and flagged."""
    flag, zero = flagged(new, old, limit).alive, jax.tree.map(jnp.zeros_like, energies)
    state, energies = where_alive(flag > 0, (new, energies), (old, zero))
    return dataclasses.replace(state, alive=flag), energies
