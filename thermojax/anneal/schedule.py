"""The schedule of an annealing: what each of its few steps is given."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import whole
from .._component import AbstractComponent, Positive, floating, positive, require
from ..protocol import AbstractProtocol


class StepValues(NamedTuple):
    """The numbers of the steps, as the dynamics take them."""

    couplings: Float[Array, "steps_plus_1 columns"]  # at the grid points
    dt: Float[Array, " steps"]
    rate: Float[Array, " steps"]  # of friction, gamma / m


class Schedule(AbstractComponent):
    r"""Couplings, sizes and friction of K steps, all of which train.

    Forces at the grid points k = 0..K are those of

        U_k = (1 - b_k) U_base + sum_j lambda_jk U_j,

    the couplings rising from 0 before the first grid point to 1 behind the last. With one term
    b = lambda; with several each has a schedule of its own, and so has the base.

    **Arguments:** `steps` K; `terms`, how many; `dt`, time step, and `rate`, friction / mass in
    1 / time, each one number or `(steps,)`: where training starts.

    **Raises:** ValueError for numbers that are not positive, or shapes that do not fit.
    """

    logits: Float[Array, "columns steps_plus_2"]  # of the increments of the couplings
    log_dt: Float[Array, " steps"]
    log_rate: Float[Array, " steps"]

    def __init__(self, steps: int, terms: int = 1, dt: Positive = 0.3, rate: Positive = 0.05):
        steps, terms = whole("steps", steps), whole("terms", terms)
        self.log_dt = per_step("dt", dt, steps)
        self.log_rate = per_step("rate", rate, steps)
        columns = 1 if terms == 1 else terms + 1
        self.logits = jnp.zeros((columns, steps + 2), self.log_dt.dtype)

    @property
    def steps(self) -> int:
        return self.log_dt.shape[-1]

    def values(self) -> StepValues:
        rising = jnp.cumsum(jax.nn.softmax(self.logits, axis=-1), axis=-1)[:, :-1]
        return StepValues(rising.T, jnp.exp(self.log_dt), jnp.exp(self.log_rate))


def per_step(name: str, value, steps: int) -> Float[Array, " steps"]:
    """The logarithms of positive numbers, one for each step."""
    value = floating(value, name)
    require(name, value, positive, "positive numbers")
    if value.shape not in ((), (steps,)):
        raise ValueError(f"{name} has shape {value.shape}: expected one number, or ({steps},)")
    return jnp.log(jnp.broadcast_to(value, (steps,)))


class GridProtocol(AbstractProtocol):
    """Controls given at the grid points of a run, and held from middle to middle between them.

    For a run of as many steps, whatever their sizes: `rows` `(steps + 1, k)` at the grid points,
    `initial` before and `final` after the run. In the middle of a step it is the mean of both its
    ends.
    """

    rows: Float[Array, "steps_plus_1 k"]
    duration: Float[Array, ""]
    initial: Float[Array, " k"]
    final: Float[Array, " k"]

    def __init__(self, rows, duration, initial, final):
        self.rows, self.duration, self.initial, self.final = rows, duration, initial, final

    def __call__(self, t):
        last = len(self.rows) - 1
        place = jnp.clip(t / self.duration * last, 0, last)
        low = jnp.clip(jnp.floor(place).astype(int), 0, last - 1)
        part = place - low
        return (1 - part) * self.rows[low] + part * self.rows[low + 1]

    def tabulated(self, times):
        if len(times) == len(self.rows):
            return self.rows
        return 0.5 * (self.rows[:-1] + self.rows[1:])

    def tabulated_unevenly(self, times):
        return self.tabulated(times)

    def mirrored(self):
        return GridProtocol(self.rows[::-1], self.duration, self.final, self.initial)


class StepProtocol(AbstractProtocol):
    """Values given for each step of a run, `(steps, ...)`: friction, which does no work."""

    rows: Float[Array, "steps *value"]
    duration: Float[Array, ""]

    def __init__(self, rows, duration):
        self.rows, self.duration = rows, duration

    @property
    def initial(self):
        return self.rows[0]

    @property
    def final(self):
        return self.rows[-1]

    def __call__(self, t):
        count = len(self.rows)
        return self.rows[jnp.clip(jnp.floor(t / self.duration * count).astype(int), 0, count - 1)]

    def tabulated(self, times):
        return self.rows

    def tabulated_unevenly(self, times):
        return self.rows

    def mirrored(self):
        return StepProtocol(self.rows[::-1], self.duration)
