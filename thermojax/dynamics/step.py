"""One step as an integrator sees it: the exact pieces of the motion, and what they book."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from .._tree import per_sample_sum
from .forces import AbstractForces
from .path_state import PathState, StepEnergies, kinetic
from .timetable import BathCoefficients, StepCoefficients, Timetable


class Step(eqx.Module):
    """The size, the controls, the bath and the forces of one step, all paths of a batch alike.

    The potential holds `control_before` while the step lasts and switches to `control_after` at
    its end; forces are evaluated at `control`, that of the grid point at its end.
    """

    h: Array
    control_before: Array
    control_after: Array
    control: Array
    bath: BathCoefficients
    inverse_mass_after: PyTree[Array] | None
    forces: AbstractForces
    index: Array | None = None  # the number of the step in the run
    prepared: PyTree[Array] | None = None  # by `AbstractIntegrator.prepare`

    def half_kick(self, momentum, gradient, drive):
        """p + (h / 2) (f - grad U)."""
        if drive is not None:
            gradient = jax.tree.map(lambda g, f: g - f, gradient, drive)
        half = self.h / 2
        return jax.tree.map(lambda p, g, b: p - half * b * g, momentum, gradient, self.bath.push)

    def drift(self, position, momentum, time):
        """x + time dx/dt at fixed momentum."""
        return jax.tree.map(lambda x, p, a: x + time * a * p, position, momentum, self.bath.drift)

    def thermostat(self, momentum, normals):
        """The exact Ornstein-Uhlenbeck step of friction and noise."""
        bath = self.bath
        return jax.tree.map(
            lambda p, z, c, s: c * p + s * z, momentum, normals, bath.damping, bath.noise
        )

    def kinetic(self, momentum) -> Array:
        """The kinetic energy of every path under the masses of this step, (batch,)."""
        return kinetic(momentum, self.bath.inverse_mass)

    def arrive(
        self, state: PathState, position, momentum, *, heat, gained
    ) -> tuple[PathState, StepEnergies]:
        """The end of a step at `position`: the last half kick, and what the step books.

        There the potential switches to its next control; that switch, at fixed x, is the work.

        **Arguments:** `state`, at the start of the step; `momentum`, before the last half kick;
        `heat`, what the thermostat took so far, and `gained`, the kinetic energy that half kicks
        have added so far, both (batch,).
        """
        energy_before, energy_after, gradient = self.forces.evaluate(
            position, self.control_before, self.control_after, self.control
        )
        closing, opening = self.forces.drives(position, self.control)
        free = self.kinetic(momentum)
        momentum = self.half_kick(momentum, gradient, closing)
        moving = self.kinetic(momentum)
        driven = drive_work(state.drive, closing, state.position, position)
        shadow = (energy_before - state.potential_energy) + gained + (moving - free)
        if driven is not None:
            shadow = shadow - driven
        energies = StepEnergies(energy_after - energy_before, heat, shadow, driven)
        new = PathState(
            position, momentum, gradient, energy_after, opening, moving, state.alive, state.pace
        )
        return new, energies


def step_of(
    table: Timetable,
    coefficients: StepCoefficients,
    forces: AbstractForces,
    state: PathState,
    index: Array | None = None,
    prepared: PyTree[Array] | None = None,
) -> Step:
    """The step that begins with `state`, from its coefficients in the timetable."""
    bath = table.bath if coefficients.bath is None else coefficients.bath
    if state.pace is not None:
        bath = bath.at_pace(state.pace, state.position)
    return Step(
        table.h,
        coefficients.control_before,
        coefficients.control_after,
        coefficients.control,
        bath,
        coefficients.inverse_mass_after,
        forces,
        index,
        prepared,
    )


def drive_work(force_before, force_after, position_before, position_after) -> Array | None:
    """(f_before + f_after) / 2 . (x_after - x_before) of every path; None without a drive."""
    if force_before is None:
        return None
    work = lambda f0, f1, a, b: 0.5 * (f0 + f1) * (b - a)
    return per_sample_sum(
        jax.tree.map(work, force_before, force_after, position_before, position_after)
    )


def with_bath_in_time(
    step: Step, state: PathState, energies: StepEnergies, scheduled: bool
) -> tuple[PathState, StepEnergies]:
    """The end of a step where the bath changes in time.

    A mass that changes there does its work at fixed momentum, and the entropy that the bath takes
    up is that of the heat at the temperature of this step.
    """
    if step.inverse_mass_after is not None:
        moving = kinetic(state.momentum, step.inverse_mass_after)
        work = energies.work + (moving - step.kinetic(state.momentum))
        state = dataclasses.replace(state, kinetic_energy=moving)
        energies = dataclasses.replace(energies, work=work)
    if scheduled:
        energies = dataclasses.replace(energies, bath_entropy=step.bath.beta * energies.heat)
    return state, energies
