"""Splitting integrators: BAOAB and OBABO.

A: drift at constant momentum. B: kick by the force at a fixed position. O: the exact
Ornstein-Uhlenbeck step of friction and noise. Each is exact by itself, so that what each does to
the energy is work, heat or shadow work, and known.
"""

import dataclasses
from typing import ClassVar

from .integrator import AbstractSplitting


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

    draws: ClassVar[int] = 1
    ou_fraction: ClassVar[float] = 1.0
    weak_order: ClassVar[int] = 2
    strong_order: ClassVar[float] = 1.0

    def substep(self, step, state, normals):
        p1 = step.half_kick(state.momentum, state.gradient, state.drive)
        x = step.drift(state.position, p1, step.h / 2)
        p2 = step.thermostat(p1, normals[0])
        x, p1, p2 = step.forces.remember((step.drift(x, p2, step.h / 2), p1, p2))
        k0, k1, k2 = state.kinetic_energy, step.kinetic(p1), step.kinetic(p2)
        return step.arrive(state, x, p2, heat=k1 - k2, gained=k1 - k0)


class OBABO(AbstractSplitting):
    """The palindrome half Ornstein-Uhlenbeck, half kick, drift, half kick, half OU.

    A velocity-Verlet step between two half thermostats (Bussi, Parrinello, PRE 75, 056707 (2007));
    two normals and one gradient per step. On an overdamped system it is the Euler-Maruyama step,
    with an exact work theorem. Second order; the density of its step is explicit.
    """

    draws: ClassVar[int] = 2
    ou_fraction: ClassVar[float] = 0.5
    weak_order: ClassVar[int] = 2
    strong_order: ClassVar[float] = 1.0

    def substep(self, step, state, normals):
        p1 = step.thermostat(state.momentum, normals[0])
        p2 = step.half_kick(p1, state.gradient, state.drive)
        x = step.drift(state.position, p2, step.h)
        x, p1, p2 = step.forces.remember((x, p1, p2))
        k0, k1, k2 = state.kinetic_energy, step.kinetic(p1), step.kinetic(p2)
        state, energies = step.arrive(state, x, p2, heat=k0 - k1, gained=k2 - k1)
        p4 = step.forces.remember(step.thermostat(state.momentum, normals[1]))
        k3, k4 = state.kinetic_energy, step.kinetic(p4)
        energies = dataclasses.replace(energies, heat=energies.heat + k3 - k4)
        return dataclasses.replace(state, momentum=p4, kinetic_energy=k4), energies
