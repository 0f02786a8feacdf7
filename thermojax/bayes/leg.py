"""Ramps along one way from a law that can be drawn to the posterior, and their weights pooled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..potential import AbstractPotential
from ..protocol import AbstractProtocol, Constant
from ..sampling import advance, start
from ..system import Bath, Underdamped
from .coordinates import Coordinates, InCoordinates
from .pilot import Way, drawn_anew
from .schedule import SCHEDULES, edges
from .stage import FRICTION, STEPS, Books, Stages, ramp

SETTLING = 6  # proposals of Metropolis that part the copies from which reverse ramps start


class Ramped(eqx.Module):
    """Ramps of one way, pooled: where they began and ended `(n, dim)`, and their books."""

    first: Float[Array, "n dim"]
    last: Float[Array, "n dim"]
    books: Books

    def pooled(self, other: Ramped) -> Ramped:
        """With more of the same."""
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self, other)


@dataclasses.dataclass(frozen=True)
class Leg:
    """One way: the energy with its control from 0 to 1, and who draws from its beginning."""

    potential: AbstractPotential
    like: PyTree[Array]
    way: Way
    draw: Callable[[PRNGKeyArray, int], Float[Array, "n dim"]]
    dense: bool
    shorter: float = 1.0  # all steps, times this
    schedule: str | AbstractProtocol = SCHEDULES[0]
    watch: Callable[..., Any] | None = None  # of the ramps there, as in `ramp`

    def stages(self, count: int) -> Stages:
        """The way in `count` parts, by its schedule."""
        places, rung = edges(self.schedule, self.way, count)
        at = jnp.asarray(places, self.way.dt.dtype)
        coordinates = jax.tree.map(lambda x: x[rung], self.way.coordinates)
        return Stages(at[:-1], at[1:], self.shorter * self.way.dt[rung], coordinates)

    def guess(self, dissipated: float) -> int:
        """Stages that dissipate about so much: length^2 / duration, of memories of unit time."""
        return self.stages_of(float(self.way.length[-1]) ** 2 / dissipated)

    def stages_of(self, duration: float) -> int:
        """Stages of about so much time in all."""
        return max(1, math.ceil(duration / (STEPS * self.shorter * float(jnp.mean(self.way.dt)))))

    def forward(self, key: PRNGKeyArray, stages: int, n: int) -> Ramped:
        draw_key, run_key = jax.random.split(key)
        x = self.draw(draw_key, n)
        way = self.stages(stages)
        last, books = ramp(self.potential, self.like, run_key, x, way, self.watch)
        return Ramped(x, last, books)

    def reverse(self, key: PRNGKeyArray, stages: int, done: Ramped) -> tuple[Ramped, float]:
        """As many ramps back from where those that are done have arrived, and the share of the
        proposals that was accepted before."""
        draw_key, move_key, run_key = jax.random.split(key, 3)
        x = drawn_anew(draw_key, done.last, done.books)
        x, accepted = self.settled(move_key, x)
        back = self.stages(stages).reversed()
        first, books = ramp(self.potential, self.like, run_key, x, back)
        return Ramped(x, first, books), float(accepted)

    def settled(self, key, x) -> tuple[Float[Array, "n dim"], float]:
        """Walkers moved on within the posterior, exactly."""
        coordinates = jax.tree.map(lambda leaf: leaf[-1], self.way.coordinates)
        dt = 0.7 * self.shorter * self.way.dt[-1]
        return settle(self.potential, self.like, key, x, coordinates, dt)

    def cost(self, stages: int, n: int) -> int:
        """Gradients of `n` ramps."""
        return n * stages * STEPS

    def with_shorter_steps(self, factor: float) -> Leg:
        return dataclasses.replace(self, shorter=self.shorter * factor)


@eqx.filter_jit
def settle(potential, like, key, x, coordinates: Coordinates, dt) -> tuple[Any, Any]:
    """The compiled part of `Leg.settled`."""
    energy = InCoordinates(potential, coordinates, like)
    system = Underdamped(energy, Constant(1.0), Bath(1.0, FRICTION))
    chain = start(system, key, initial=coordinates.inward(x))
    for _ in range(SETTLING):
        chain = advance(system, chain, dt=dt, steps=STEPS // 2, adjusted=True)
    return coordinates.outward(chain.position), jnp.mean(chain.acceptance)
