"""The stages of `tj.tune`: chains move, and what they show sets mass, friction and step.

Everything is counted in steps: `damping` is friction / mass times the step, so that a new mass,
which is a new unit of time, leaves it alone. How chains move, and what is made of it, is an
`AbstractWay`: free (`free.py`), or in proposals with steps of their own (`local.py`).
"""

from __future__ import annotations

import abc
import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._tree import cast
from ..diagnostics.convergence import split_r_hat
from ..diagnostics.correlation import integrated_time
from ..potential import batched_gradient
from ..protocol import Constant
from ..sampling import State
from ..system import Bath, Underdamped

CHUNK = 32  # steps between two adjustments of the step size


class Setting(eqx.Module):
    """The numbers that are tuned: `mass`, `(dim,)`; `step` and `damping`, scalars."""

    mass: Float[Array, " dim"]
    step: Float[Array, ""]
    damping: Float[Array, ""]


class StageRecord(eqx.Module):
    """The statistics of one stage, for each coordinate `(dim,)`, or a scalar."""

    tau: Float[Array, " dim"]  # autocorrelation time of x, steps
    tau_square: Float[Array, " dim"]  # and of (x - mean)^2
    r_hat: Float[Array, " dim"]
    virial: Float[Array, " dim"]  # <(x - mean) dU/dx> / kT, which is 1
    curvature: Float[Array, " dim"]  # what the masses should be; nan where nothing moved
    energy_error: Float[Array, ""]  # <shadow work of a step ^2> / (kT^2 dim)
    rejected: Float[Array, ""]  # share of paths and chunks that were taken back, or refused
    step: Float[Array, ""]


def system_of(system: Underdamped, setting: Setting, unravel, control) -> Underdamped:
    """The system with these masses and this friction, its protocol held at `control`."""
    mass = unravel(setting.mass)
    rate = setting.damping / setting.step
    friction = jax.tree.map(lambda m: rate * m, mass)
    # Fields are set one by one: a pytree of masses is no list of numbers to be checked.
    bath = Bath(system.bath.temperature)
    bath = dataclasses.replace(bath, friction=friction, mass=mass)
    return system.replace(protocol=Constant(control), bath=bath)


def flat_positions(position: PyTree[Array]) -> Float[Array, "batch dim"]:
    return jax.vmap(lambda x: ravel_pytree(x)[0])(position)


class AbstractWay(eqx.Module):
    """A way to move chains while they are tuned, and to choose the next setting from it."""

    stride: eqx.AbstractClassVar[int]  # steps between two positions that are kept

    @abc.abstractmethod
    def first_setting(self, system, mass, unravel, control, state: State) -> Setting:
        """The setting of the first stage, from a first guess of the masses."""

    @abc.abstractmethod
    def chunk(self, system, setting: Setting, unravel, control, state: State, key) -> tuple:
        """CHUNK steps: (the state after, positions on the way, the error of the step, which paths
        were not taken back)."""

    @abc.abstractmethod
    def next_step(self, step, error, fraction, place) -> Float[Array, ""]:
        """The step of the next chunk, `place` chunks into a stage, where a `fraction` of the paths
        was not taken back."""

    @abc.abstractmethod
    def curvature(self, gradient, values) -> Float[Array, " dim"]:
        """The masses that the samples call for; both `(times, batch, dim)`, about their means, in
        units of kT and of the width of each coordinate."""

    @abc.abstractmethod
    def next_setting(
        self, system, setting: Setting, mass, record, unravel, control, state, kept
    ) -> Setting:
        """The setting of the next stage, whose masses are `mass`."""


def stage(way: AbstractWay, system: Underdamped, unravel, control, chunks: int, carry, key):
    """One stage: the chains move under one mass and friction, then all three are set anew."""
    setting, state = carry

    def move(inner, x):
        step, state = inner
        key, place = x
        current = Setting(setting.mass, step, setting.damping)
        state, positions, error, taken = way.chunk(system, current, unravel, control, state, key)
        fraction = jnp.mean(taken.astype(step.dtype))
        return (way.next_step(step, error, fraction, place), state), (
            positions,
            error,
            fraction,
            step,
        )

    keys = jax.random.split(key, chunks)
    places = jnp.arange(chunks, dtype=setting.step.dtype)
    (_, state), (positions, errors, taken, steps) = jax.lax.scan(
        move, (setting.step, state), (keys, places)
    )
    late = slice(chunks // 2, None)
    kept = jax.tree.map(lambda x: x[late].reshape(-1, *x.shape[2:]), positions)
    record = observe_stage(way, system, control, kept, errors[late], taken[late], steps[late])
    record = cast(record, setting.step.dtype)  # counts are float64 where that is the default
    mass = damped_masses(
        setting.mass, record, way.stride, math.prod(jax.tree.leaves(kept)[0].shape[:2])
    )
    updated = way.next_setting(system, setting, mass, record, unravel, control, state, kept)
    # Momenta are rescaled so that they have the same temperature with the updated masses.
    factor = unravel(jnp.sqrt(updated.mass / setting.mass))
    momentum = jax.tree.map(jnp.multiply, state.momentum, factor)
    return (updated, dataclasses.replace(state, momentum=momentum)), record


def observe_stage(way: AbstractWay, system, control, kept, errors, taken, steps) -> StageRecord:
    """The statistics of the second half of a stage."""
    values = jax.vmap(flat_positions)(kept)
    gradient = jax.vmap(lambda x: flat_positions(batched_gradient(system.potential, x, control)))(
        kept
    )
    less_mean = lambda x: x - jnp.mean(x, axis=(0, 1))
    kt, centered = system.bath.temperature, less_mean(values)
    # In units of kT and of the width of each coordinate: squares of SI units leave float32.
    width = root_mean_square(centered, (0, 1))
    unit = jnp.where(width > 0, width, 1)
    values, centered, gradient = values / unit, centered / unit, gradient * (unit / kt)
    curvature = way.curvature(less_mean(gradient), centered) * (kt / unit) / unit
    # Errors at one step size are converted to those at the mean one.
    step = jnp.exp(jnp.mean(jnp.log(steps)))
    return StageRecord(
        tau=way.stride * jnp.asarray(integrated_time(values, 5.0).value),
        tau_square=way.stride * jnp.asarray(integrated_time(centered**2, 5.0).value),
        r_hat=split_r_hat(values, False),
        virial=jnp.mean(centered * gradient, axis=(0, 1)),
        curvature=jnp.where(width > 0, curvature, jnp.nan),
        energy_error=jnp.mean(errors * (step / steps) ** 6),
        rejected=1 - jnp.mean(taken),
        step=step,
    )


def damped_masses(mass, record: StageRecord, stride: int, samples: int):
    """The masses after a stage, moved the less the fewer effective samples call for it.

    A factor of all masses is a unit of time and nothing else: the masses so far are first given
    the factor that suits those called for.
    """
    effective = samples * stride / jnp.maximum(record.tau, stride)
    effective = jnp.where(jnp.isnan(effective), 0, effective)  # positions that are all rounding
    change = jnp.log(record.curvature) - jnp.log(mass)
    trust = jnp.where(jnp.isfinite(change), effective / (effective + 5), 0.0)
    change = jnp.where(jnp.isfinite(change), change, 0.0)
    shared = jnp.sum(trust * change) / jnp.maximum(jnp.sum(trust), jnp.finfo(trust.dtype).tiny)
    return jnp.exp(jnp.log(mass) + shared + trust * (change - shared))


def root_mean_square(x, axes):
    """sqrt(<x^2>), whatever the unit of x: no square leaves the range of its dtype."""
    largest = jnp.max(jnp.abs(x), axis=axes, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1)
    return jnp.squeeze(scale, axes) * jnp.sqrt(jnp.mean((x / scale) ** 2, axis=axes))
