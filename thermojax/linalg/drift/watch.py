"""Averages of what a device with a drift shows, sample after sample, and its bill."""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ...estimate import Estimate
from ..device.answer import DeviceEnergy, DeviceTime
from ..device.device import GROUPS, Plan, Scatter
from .drift import Power, Trace
from .motion import AbstractMotion

TOGETHER = 256  # positions of a group whose products are taken at once


class Covariance(eqx.Module):
    """x(t) x(t)^T, or x(t + s) x(t)^T of the motion over s, and the power at x(t), 0 for None."""

    power: Power | None
    lagged: bool = eqx.field(static=True)

    def __call__(self, x, after) -> tuple[Array, Array]:
        power = jnp.zeros((), x.dtype) if self.power is None else self.power(x)
        return (after if self.lagged else x).T @ x / len(x), power


class Reading(NamedTuple):
    """Averages of what was asked for, and of the power, with errors from groups of samples."""

    value: Array
    error: Array
    power: Array
    power_error: Array


@eqx.filter_jit
def watched(
    settle: AbstractMotion | None,
    motion: AbstractMotion,
    plan: Plan,
    x: Float[Array, "trajectories dim"],
    key: PRNGKeyArray,
    of: Covariance,
) -> Reading:
    """Let the device settle, and average `of` its positions before and after each motion."""
    begin, rest = jax.random.split(key)
    if settle is not None:
        x = settle(x, begin)
    side, each = plan.groups_of_trajectories, plan.samples // plan.groups
    size = plan.trajectories // side
    together = min(each, max(1, TOGETHER // size))
    like = jax.eval_shape(of, x[:size], x[:size])
    is_scatter = lambda node: isinstance(node, Scatter)

    def grouped(x: Float[Array, "samples trajectories dim"]):
        x = x[:, : side * size].reshape(len(x), side, size, -1)
        return jnp.moveaxis(x, 0, 1).reshape(side, len(x) * size, -1)

    def move(x, key):
        after = motion(x, key)
        return after, (x, after)

    def some(carry, keys):
        x, total = carry
        x, pairs = jax.lax.scan(move, x, keys)
        # One group after another: a product of large matrices has all cores, many at once have not.
        seen = jax.lax.map(lambda pair: of(*pair), tuple(map(grouped, pairs)))
        return (x, jax.tree.map(lambda total, mean: total + len(keys) * mean, total, seen)), None

    def group(carry, key):
        x, scatters = carry
        zero = jax.tree.map(lambda leaf: jnp.zeros((side, *leaf.shape), leaf.dtype), like)
        keys = jax.random.split(key, each)
        whole = each - each % together
        carry, _ = jax.lax.scan(some, (x, zero), keys[:whole].reshape(-1, together))
        (x, total), _ = some(carry, keys[whole:]) if whole < each else (carry, None)
        joined = lambda scatter, sums: scatter.joined(sums / each)
        return (x, jax.tree.map(joined, scatters, total, is_leaf=is_scatter)), None

    start = x, jax.tree.map(Scatter.nothing, like)
    (_, scatters), _ = jax.lax.scan(group, start, jax.random.split(rest, plan.groups))
    value, power = scatters
    return Reading(value.mean, value.error, power.mean, power.error)


def plan_of(samples: float, trajectories: int) -> Plan:
    """At least so many samples of each trajectory, in equal groups."""
    groups = 1 if trajectories >= GROUPS else math.ceil(GROUPS / trajectories)
    return Plan(0, 1, groups * math.ceil(samples / groups * (1 - 1e-9)), trajectories, groups)


def energy_at(reading: Reading, trace: Trace, time: DeviceTime, plan: Plan, idle_power: float):
    """The bill at a stationary power over the whole time, in units of kT: all work becomes heat."""
    total = plan.trajectories * time.total * time.relaxation
    power = float(reading.power) - trace.value
    error = math.hypot(float(reading.power_error), trace.error)
    spent = Estimate(total * power, total * error, plan.trajectories * plan.samples)
    return DeviceEnergy(spent, spent, idle_power * total)
