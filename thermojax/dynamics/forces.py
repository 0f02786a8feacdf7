"""The potential at a grid point: two energies and a gradient, evaluated together."""

from __future__ import annotations

import abc

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from ..potential import AbstractPotential, batched_energy, batched_gradient
from ..system import AbstractSystem, TwoSidedDrive


def evaluate_force(
    potential: AbstractPotential, position: PyTree[Array], control_before, control_after, control
) -> tuple[Array, Array, PyTree[Array]]:
    """U(x, control_before), U(x, control_after) and grad U(x, control) of a batch.

    Evaluated together, since the compiler shares the potential's work at one x. The energies go
    into the books; where nobody differentiates these, reverse mode need not go through them.
    """
    before = booked_energy(potential, position, control_before)
    after = booked_energy(potential, position, control_after)
    return before, after, batched_gradient(potential, position, control)


def booked_energy(potential: AbstractPotential, position: PyTree[Array], control) -> Array:
    """U(x, control) of a batch, `(batch,)`, as the books take it."""
    energy = batched_energy(potential, position, control)
    return energy if potential.books_differentiable else jax.lax.stop_gradient(energy)


class AbstractForces(eqx.Module):
    """The forces on a batch of paths, as integrators ask for them."""

    system: eqx.AbstractVar[AbstractSystem]

    @abc.abstractmethod
    def evaluate(
        self, position: PyTree[Array], control_before, control_after, control
    ) -> tuple[Array, Array, PyTree[Array]]:
        """U(x, control_before), U(x, control_after), each (batch,), and grad U(x, control)."""

    @abc.abstractmethod
    def remember(self, tree: PyTree[Array]) -> PyTree[Array]:
        """The tree unchanged: positions and momenta from which the rest of a step follows.

        An integrator marks them, so that reverse mode need not draw their noise again.
        """

    def drive(self, position: PyTree[Array], control) -> PyTree[Array] | None:
        """The non-conservative force f(x, control) on a batch; None where there is none."""
        drive = self.system.drive
        return None if drive is None else jax.vmap(drive, in_axes=(0, None))(position, control)

    def drives(
        self, position: PyTree[Array], control
    ) -> tuple[PyTree[Array] | None, PyTree[Array] | None]:
        """The non-conservative forces on a batch that end a step there and begin the next; mostly
        they are one. (None, None) where there is none."""
        drive = self.system.drive
        if isinstance(drive, TwoSidedDrive):
            return jax.vmap(drive.sides, in_axes=(0, None))(position, control)
        force = self.drive(position, control)
        return force, force


class Forces(AbstractForces):
    """The forces as they are written down, whatever machine computes them."""

    system: AbstractSystem

    def evaluate(self, position, control_before, control_after, control):
        potential = self.system.potential
        return evaluate_force(potential, position, control_before, control_after, control)

    def remember(self, tree):
        return tree
