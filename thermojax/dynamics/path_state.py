"""A batch of paths at a grid point, and the energies that one step books."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._tree import per_sample_sum


class PathState(eqx.Module):
    """A batch of paths at a grid point, with what the next step would else compute again."""

    position: PyTree[Array]
    momentum: PyTree[Array]
    gradient: PyTree[Array] | None  # of U at the control of the grid point
    potential_energy: Array  # (batch,), at the control of the coming step
    drive: PyTree[Array] | None  # the non-conservative force that begins the next step
    kinetic_energy: Array  # (batch,)
    alive: Array  # (batch,), 1 while a path is finite
    pace: Array | None = None  # (batch,), the steps of each path in steps of the run; None: 1

    @property
    def energy(self) -> Array:
        return self.potential_energy + self.kinetic_energy


class StepEnergies(eqx.Module):
    """The energies that one step books, each (batch,)."""

    work: Array
    heat: Array
    shadow_work: Array
    drive_work: Array | None  # None without a drive
    bath_entropy: Array | None = None  # where the bath changes in time; else beta times the heat


def kinetic(momentum: PyTree[Array], inverse_mass: PyTree[Array]) -> Array:
    """sum p^2 / 2m of every path, (batch,)."""

    def of_leaf(p, w):
        # One mass for all coordinates stays outside of the sum, which saves a product for each.
        return w * per_sample_sum(p**2) if jnp.ndim(w) == 0 else per_sample_sum(w * p**2)

    of_leaves = jax.tree.leaves(jax.tree.map(of_leaf, momentum, inverse_mass))
    return 0.5 * functools.reduce(jnp.add, of_leaves)
