"""The equilibrium at either end of a protocol, as a law."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import choice, whole
from ..distribution.fokker_planck import FokkerPlanck
from ..distribution.linear import Quadratic
from ..distribution.quadratic import require_quadratic
from ..protocol import Linear
from ..sampling import Equilibrium, template_of
from ..system import AbstractSystem, Bath, Overdamped, check_system
from .laws import Density, Normal, quadratic_energy
from .line import LineEnergy
from .metric import require_one_temperature

CELLS = 2000  # of an equilibrium density on the line


def has_quadratic_ends(system: AbstractSystem, template) -> bool:
    """Whether the energy is quadratic at both ends, as far as can be seen."""
    try:
        require_quadratic_ends(system, template)
    except ValueError:
        return False
    return True


def require_quadratic_ends(system: AbstractSystem, template) -> None:
    require_quadratic(system, template, [system.protocol.initial, system.protocol.final])


def equilibrium(
    system: AbstractSystem,
    end: Literal["initial", "final"] = "initial",
    template: Equilibrium | None = None,
    cells: int = CELLS,
) -> Normal | Density:
    """The equilibrium of the positions before (`initial`) or after (`final`) the protocol.

    A `Normal` for quadratic energies in any dimension, else a `Density` on `cells` + 1 points of
    the line, the same for both ends.

    **Raises:** ValueError for an energy that is neither quadratic nor of one dimension.
    """
    check_system(system)
    choice("end", end, ("initial", "final"))
    require_one_temperature(system)
    cells = whole("cells", cells, 8)
    control, kt = getattr(system.protocol, end), system.bath.temperature
    position = template_of(system, template, "template")
    if position is not None and has_quadratic_ends(system, position):
        energy = quadratic_energy(system, position, control)
        mean, covariance, _ = eqx.filter_jit(Quadratic.equilibrium)(energy, kt)
        return Normal(mean, covariance)
    if position is not None and sum(x.size for x in jax.tree.leaves(position)) > 1:
        raise ValueError(
            f"{type(system.potential).__name__} is neither quadratic nor of one dimension: its "
            "equilibrium is not known; use tj.bounds.Samples and tj.bounds.dissipation"
        )
    return line_equilibrium(system, end, template, cells)


def line_equilibrium(
    system: AbstractSystem,
    end: Literal["initial", "final"],
    template: Equilibrium | None = None,
    cells: int = CELLS,
) -> Density:
    """The equilibrium before or after the protocol on the line, where it has mass at either."""
    position = template_of(system, template, "template")
    grid = FokkerPlanck(cells=cells).grid(as_line(system), position)
    x = jnp.linspace(grid.lower[0], grid.upper[0], cells + 1)
    energy = LineEnergy(system.potential, getattr(system.protocol, end))
    return Density(x, boltzmann(energy, x, system.bath.temperature))


@eqx.filter_jit
def boltzmann(energy: LineEnergy, x: Float[Array, " points"], kt) -> Float[Array, " points"]:
    """exp(-U/kT), relative to its highest value."""
    u = jax.vmap(energy)(x)
    return jnp.exp(-(u - jnp.min(u)) / kt)


def as_line(system: AbstractSystem) -> Overdamped:
    """The system as the grid takes it: overdamped, from the first control to the last."""
    protocol = Linear(system.protocol.initial, system.protocol.final, 1.0)
    return Overdamped(system.potential, protocol, Bath(system.bath.temperature))
