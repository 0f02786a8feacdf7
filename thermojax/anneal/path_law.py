"""The probability density of a path of OBABO steps, there and back."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .process import AbstractAnnealer


class Path(NamedTuple):
    """A batch of paths at the K + 1 grid points."""

    position: Float[Array, "steps_plus_1 batch dim"]
    momentum: Float[Array, "steps_plus_1 batch dim"]


class PathDensities(NamedTuple):
    """Logarithms of densities of a batch of paths, each `(batch,)`."""

    forward: Float[Array, " batch"]  # from the base, normalized
    backward: Float[Array, " batch"]  # from the target, as it is normalized


def densities(annealer: AbstractAnnealer, path: Path) -> PathDensities:
    r"""ln of the density of a path forward, and of the same path run backward.

    A step draws two normals, p1 = c p + s z and p' = c p3 + s z', with the velocity Verlet step
    p1 -> p2 -> p3 between them; both follow from its two ends. Backward it starts at -p', and draws
    -p3 = -c p' + s z, -p = -c p1 + s z'. All masses have one temperature, 1.

    **Source:** of the integrator, G. Bussi, M. Parrinello, PRE 75, 056707 (2007).
    """
    _, dt, rate = annealer.schedule.values()
    mass, ramp = jnp.exp(annealer.log_mass), annealer.ramp

    def pulls(z, row):
        """grad U - f of one position, as a step ends there and as the next begins."""
        slope = jax.grad(ramp.energy)(z, row)
        if annealer.drive is None:
            return slope, slope
        closing, opening = annealer.drive(z, row[-1])
        return slope - closing, slope - opening

    closing, opening = jax.vmap(jax.vmap(pulls, (0, None)))(path.position, annealer.rows)
    h, keep = dt[:, None, None], jnp.exp(-0.5 * rate * dt)[:, None, None]
    spread = jnp.sqrt(-jnp.expm1(-rate * dt))[:, None, None] * jnp.sqrt(mass)
    before, after = path.momentum[:-1], path.momentum[1:]
    middle = mass * jnp.diff(path.position, axis=0) / h
    first, last = middle + h / 2 * opening[:-1], middle - h / 2 * closing[1:]
    volume = jnp.sum(jnp.log(h / mass * spread**2), axis=(0, 2))

    def steps(one, two):
        """The log density of normals that were drawn in all steps."""
        squares = ((one / spread) ** 2 + (two / spread) ** 2) / 2
        return -jnp.sum(squares, axis=(0, 2)) - volume

    there = steps(first - keep * before, after - keep * last)
    back = steps(last - keep * after, before - keep * first)
    kinetic = lambda p: 0.5 * jnp.sum(p**2 / mass, axis=-1)
    begin = jax.vmap(annealer.base.energy)(path.position[0]) + kinetic(path.momentum[0])
    end = jax.vmap(ramp.target)(path.position[-1]) + kinetic(path.momentum[-1])
    # Of each normal (2 pi)^(-1/2), of the momenta at an end (2 pi m)^(-1/2).
    normals = jnp.log(2 * jnp.pi) * annealer.steps * mass.size
    momenta = 0.5 * jnp.sum(jnp.log(2 * jnp.pi * mass))
    constant = normals + momenta
    return PathDensities(there - begin - constant, back - end - constant)
