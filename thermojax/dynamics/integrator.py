"""Integrators: one step of the motion each, and how much noise it takes."""

from __future__ import annotations

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..system import AbstractSystem
from .forces import AbstractForces
from .noise import AbstractStepNoise
from .path_state import PathState, StepEnergies
from .step import Step
from .timetable import Timetable


class AbstractIntegrator(eqx.Module):
    """A rule for one step of size h. How many steps run, where and in what order, it never knows.

    `draws`: standard normals that one step takes per coordinate. `ou_fraction`: the share of h
    that one Ornstein-Uhlenbeck substep covers. `weak_order`, `strong_order`: of convergence.
    """

    draws: eqx.AbstractClassVar[int]
    ou_fraction: eqx.AbstractClassVar[float]
    weak_order: eqx.AbstractClassVar[int]
    strong_order: eqx.AbstractClassVar[float]

    @abc.abstractmethod
    def substep(
        self, step: Step, state: PathState, normals: tuple[PyTree[Array], ...]
    ) -> tuple[PathState, StepEnergies]:
        """The batch one step later, and what the step books.

        **Arguments:** `normals`: a tuple of `draws` pytrees like the position.
        """

    @abc.abstractmethod
    def begin(
        self, forces: AbstractForces, position: PyTree[Array], control_after, control
    ) -> tuple[PyTree[Array] | None, Array, PyTree[Array] | None]:
        """The gradient, the potential energy and the drive at the first grid point.

        **Arguments:** `control_after`, of the potential in the first step; `control`, of the
        forces at the grid point.
        """

    @abc.abstractmethod
    def prepare(
        self, system: AbstractSystem, table: Timetable, position: PyTree[Array]
    ) -> PyTree[Array] | None:
        """Arrays that all steps of a run read, for `Step.prepared`.

        **Raises:** ValueError for a system that the integrator cannot do.
        """

    @abc.abstractmethod
    def brownian_path(self, path: AbstractStepNoise, table: Timetable) -> AbstractStepNoise:
        """The path that the noise is taken from: `path`, or another one with the same key."""


class AbstractSplitting(AbstractIntegrator):
    """Base of the splitting integrators: exact pieces of the motion in a palindrome.

    A new one says how its pieces follow each other, in `substep`, and nothing else.
    """

    def begin(self, forces, position, control_after, control):
        _, energy, gradient = forces.evaluate(position, control_after, control_after, control)
        return gradient, energy, forces.drives(position, control)[1]

    def prepare(self, system, table, position):
        del system, table, position

    def brownian_path(self, path, table):
        del table
        return path


def empty_energies(state: PathState, table: Timetable, system: AbstractSystem) -> StepEnergies:
    """The energies of no step at all: zeros."""
    zero = jnp.zeros_like(state.potential_energy)
    driven = None if system.drive is None else zero
    return StepEnergies(zero, zero, zero, driven, zero if table.scheduled else None)
