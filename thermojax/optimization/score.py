"""The probability density of a path, for the score-function gradient."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from .._tree import per_sample_sum
from ..dynamics import OBABO, timetable
from ..potential import batched_energy, batched_gradient
from ..sampling import Result
from ..system import AbstractSystem


def scored(system: AbstractSystem, result: Result, steps: int, integrator, drawn: bool) -> Result:
    """The result of the same run with its paths held fixed, and d ln p(path) in its score.

    `result.saved` holds the `tj.State` at every grid point. `drawn`: whether the start was drawn
    from the equilibrium, whose density is then a factor of the density of the path.
    """
    require_density(system, integrator)
    held = jax.lax.stop_gradient(result)
    assert held.saved is not None
    path = held.saved.values
    x, p = path.position, path.momentum
    first = lambda tree: jax.tree.map(lambda leaf: leaf[0], tree)
    h = system.protocol.duration / steps
    table = timetable(system, first(x), h, steps, ou_fraction=integrator.ou_fraction)
    bath = table.bath

    def step(start, end, first_control, last_control):
        """ln p(end | start): from the two normals that this OBABO step must have drawn."""
        (x0, p0), (x1, p1) = start, end
        half_kick = lambda x, control: jax.tree.map(
            lambda g, b: h / 2 * b * g, batched_gradient(system.potential, x, control), bath.push
        )
        middle = jax.tree.map(lambda a, b, r: (b - a) / (h * r), x0, x1, bath.drift)
        before = jax.tree.map(jnp.add, middle, half_kick(x0, first_control))
        after = jax.tree.map(jnp.subtract, middle, half_kick(x1, last_control))
        normal = lambda end, start: jax.tree.map(
            lambda n, o, c, s: (n - c * o) / s, end, start, bath.damping, bath.noise
        )
        square = lambda z: per_sample_sum(jax.tree.map(lambda z: z**2, z))
        volume = jax.tree.map(
            lambda z, r, s: jnp.broadcast_to(jnp.log(h * r * s**2), z.shape),
            middle,
            bath.drift,
            bath.noise,
        )
        squares = square(normal(before, p0)) + square(normal(p1, after))
        return -0.5 * squares - per_sample_sum(volume)

    early = jax.tree.map(lambda leaf: leaf[:-1], (x, p))
    late = jax.tree.map(lambda leaf: leaf[1:], (x, p))
    density = jnp.sum(jax.vmap(step)(early, late, table.control[:-1], table.control[1:]), axis=0)
    if drawn:  # its normalization cancels in every weighted mean
        energy = batched_energy(system.potential, first(x), system.protocol.initial)
        kinetic = jax.tree.map(lambda p, w: p**2 * w / 2, first(p), bath.inverse_mass)
        density = density - (energy + per_sample_sum(kinetic)) / system.bath.temperature
    return dataclasses.replace(held, score=density - jax.lax.stop_gradient(density))


def require_density(system: AbstractSystem, integrator) -> None:
    if not isinstance(integrator, OBABO):
        raise ValueError(
            f"ScoreFunction needs the density of a step, which {type(integrator).__name__} does "
            "not have: pass integrator=tj.OBABO()"
        )
    if system.protocol.impulses() is not None:
        raise ValueError("a kick has no density: ScoreFunction takes no kicks, leave them out")
    if system.bath.scheduled or system.drive is not None:
        raise ValueError(
            "ScoreFunction needs a bath that is constant in time, and no drive: leave them out"
        )
