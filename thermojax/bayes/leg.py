"""Ramps along one way from a law that can be drawn to the posterior, and their weights pooled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..estimate import Estimate
from ..potential import AbstractPotential
from ..protocol import AbstractProtocol, Constant, PiecewiseLinear
from ..sampling import advance, start, systematic
from ..system import Bath, Underdamped
from .coordinates import Coordinates, InCoordinates
from .groups import grouped_mean, log_mean_weights
from .pilot import Way
from .resampling import Resampling
from .schedule import SCHEDULES, edges, protocol_of
from .stage import FRICTION, STEPS, Books, Stages, ramp

SETTLING = 6  # proposals of Metropolis that part the copies from which reverse ramps start
SETTLING_STEPS = SETTLING * (STEPS // 2)  # gradients of a path


class Ramped(eqx.Module):
    """Ramps of one way, pooled: where they began and ended `(n, dim)`, and their books.

    Those of one group, `group_size` one after the other, have been resampled among themselves.
    """

    first: Float[Array, "n dim"]
    last: Float[Array, "n dim"]
    books: Books
    group_size: int = eqx.field(static=True, default=1)

    def pooled(self, other: Ramped) -> Ramped:
        """With more of the same."""
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self, other)

    @property
    def log_mean_weights(self) -> Float[Array, " groups"]:
        """ln of the mean weight of every group."""
        return log_mean_weights(self.books.kept_log_weight, self.group_size)

    @property
    def effective_samples(self) -> float:
        """The number of independent paths that tell the evidence as well: without groups,
        (sum w)^2 / sum w^2."""
        share = jax.nn.softmax(self.log_mean_weights)
        return float(1 / (jnp.sum(share**2) - 1 / len(share) + 1 / len(self.last)))

    def device_mean(self, values: Float[Array, " n"]) -> Estimate:
        """The mean over all devices, which is what each has spent or taken in."""
        return grouped_mean(values, self.books.alive, self.group_size)

    def mean(self, values: Float[Array, " n"]) -> Estimate:
        """The mean at the end of the way, by weights."""
        return grouped_mean(values, self.books.weights, self.group_size)


@dataclasses.dataclass(frozen=True)
class Leg:
    """One way: the energy with its control from 0 to 1, and who draws from its beginning."""

    potential: AbstractPotential
    like: PyTree[Array]
    way: Way
    draw: Callable[[PRNGKeyArray, int], Float[Array, "n dim"]]
    shorter: float = 1.0  # all steps, times this
    schedule: str | AbstractProtocol = SCHEDULES[0]
    resampling: Resampling | None = None
    watch: Callable[..., Any] | None = None  # of the ramps there, as in `ramp`

    @property
    def length(self) -> float:
        """The length of the way, in standard deviations of the energy that is switched on."""
        return float(self.way.length[-1])

    def stages(self, count: int) -> Stages:
        """The way in `count` parts, by its schedule."""
        places, rung = edges(self.schedule, self.way, count)
        at = jnp.asarray(places, self.way.dt.dtype)
        coordinates = jax.tree.map(lambda x: x[rung], self.way.coordinates)
        return Stages(at[:-1], at[1:], self.shorter * self.way.dt[rung], coordinates)

    def guess(self, dissipated: float) -> int:
        """Stages that dissipate about so much: length^2 / duration, of memories of unit time."""
        return self.stages_of(self.length**2 / dissipated)

    def stages_of(self, duration: float) -> int:
        """Stages of about so much time in all."""
        return max(1, math.ceil(duration / (STEPS * self.shorter * float(jnp.mean(self.way.dt)))))

    def in_time(self, duration: float, count: int, schedule: str | AbstractProtocol) -> Leg:
        """With this schedule, its `count` stages as short as the duration asks for."""
        leg = dataclasses.replace(self, schedule=schedule)
        return leg.with_shorter_steps(duration / float(leg.stages(count).duration))

    def protocol(self, count: int) -> PiecewiseLinear:
        """The control against time, that of `count` stages."""
        stages = self.stages(count)
        places = np.append(np.asarray(stages.start, float), 1.0)
        return protocol_of(places, np.append(0.0, STEPS * np.cumsum(np.asarray(stages.dt, float))))

    def forward(self, key: PRNGKeyArray, stages: int, n: int) -> Ramped:
        draw_key, run_key = jax.random.split(key)
        x = self.draw(draw_key, n)
        way, between = self.stages(stages), self.resampling
        last, books = ramp(self.potential, self.like, run_key, x, way, between, self.watch)
        return Ramped(x, last, books, 1 if between is None else between.size)

    def reverse(self, key: PRNGKeyArray, stages: int, done: Ramped) -> tuple[Ramped, float]:
        """As many ramps back from where those that are done have arrived, and the share of the
        proposals that was accepted before. Ramps that are resampled have no way back."""
        draw_key, move_key, run_key = jax.random.split(key, 3)
        x = done.last[systematic(draw_key, done.books.kept_log_weight)]
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
