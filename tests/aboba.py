"""A fourth integrator, as a user writes one: it knows nothing of how its steps are run."""

from typing import ClassVar

from thermojax.dynamics import AbstractSplitting, PathState, StepEnergies, drive_work


class ABOBA(AbstractSplitting):
    """Half drift, half kick, Ornstein-Uhlenbeck, half kick, half drift.

    The force is asked for in the middle of the step, work is booked at its end. Source: Leimkuhler,
    Matthews, AMRX 2013, 34.
    """

    draws: ClassVar[int] = 1
    ou_fraction: ClassVar[float] = 1.0
    weak_order: ClassVar[int] = 2
    strong_order: ClassVar[float] = 1.0

    def substep(self, step, state, normals):
        forces, control = step.forces, step.control_before
        middle = step.drift(state.position, state.momentum, step.h / 2)
        *_, gradient = forces.evaluate(middle, control, control, control)
        drive = forces.drive(middle, control)
        p1 = step.half_kick(state.momentum, gradient, drive)
        p2 = step.thermostat(p1, normals[0])
        p3 = step.half_kick(p2, gradient, drive)
        x = step.drift(middle, p3, step.h / 2)
        before, after, _ = forces.evaluate(x, control, step.control_after, step.control)
        k0, k1, k2, k3 = state.kinetic_energy, *map(step.kinetic, (p1, p2, p3))
        end = forces.drive(x, step.control)
        driven = drive_work(state.drive, end, state.position, x)
        shadow = (before - state.potential_energy) + (k1 - k0) + (k3 - k2)
        if driven is not None:
            shadow = shadow - driven
        new = PathState(x, p3, state.gradient, after, end, k3, state.alive, state.pace)
        return new, StepEnergies(after - before, k1 - k2, shadow, driven)
