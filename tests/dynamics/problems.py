"""Whole problems that several tests run."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import thermojax as tj
from tests.components import POTENTIALS, SYSTEMS, start_positions


def driven(name, kind, steps=12, duration=1.2, bath=None):
    """A short driven run of a named potential, with jumps at both ends, and positions to start."""
    potential, template, start, end = POTENTIALS[name]
    start, end = jnp.asarray(start), jnp.asarray(end)
    interior = jnp.stack([start + f * (end - start) for f in (0.1, 0.7, 0.8)])
    protocol = tj.PiecewiseLinear(interior, duration, initial=start, final=end)
    system = SYSTEMS[kind](potential, protocol, bath or tj.Bath(0.7, 1.3, 0.8))
    grid: dict[str, Any] = dict(time_steps=steps)
    return system, start_positions(template, 5), grid


def energies(system, position, momentum, control):
    """H by its definition, for constant baths (overdamped momenta are in units of sqrt(m))."""
    import jax

    mass = system.bath.mass if isinstance(system, tj.Underdamped) else 1.0
    kinetic = sum(
        np.sum(np.asarray(p).reshape(p.shape[0], -1) ** 2, axis=1)
        for p in jax.tree.leaves(momentum)
    ) / (2 * mass)
    return tj.potential.batched_energy(system.potential, position, control) + kinetic
