"""The fewest numbers that determine the state of a path, for short loops on a CPU.

Where a path has one coordinate, this is a loop of eight operations instead of ten, and up to eight
XLA:CPU runs one after the other, without asking which could run side by side.
"""

from __future__ import annotations

import jax.numpy as jnp

from ...dynamics import PathState, kinetic


def pack(state: PathState) -> tuple:
    """The leaves that determine a state; a fallen flag is an infinite potential energy."""
    energy = jnp.where(state.alive > 0, state.potential_energy, jnp.inf)
    return state.position, state.momentum, state.gradient, energy, state.drive, state.pace


def unpack(packed: tuple, inverse_mass) -> PathState:
    """The state that `pack` was given."""
    position, momentum, gradient, energy, drive, pace = packed
    moving = kinetic(momentum, inverse_mass)
    alive = jnp.isfinite(energy).astype(moving.dtype)
    return PathState(position, momentum, gradient, energy, drive, moving, alive, pace)
