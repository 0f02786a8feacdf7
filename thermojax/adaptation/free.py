"""Tuning chains that move freely, without Metropolis: their step is as long as its error allows."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._tree import batch_of, where_alive
from ..potential import batched_gradient
from ..protocol import Constant
from ..sampling import State, prepare_run, run_prepared
from .stages import (
    CHUNK,
    AbstractWay,
    Setting,
    StageRecord,
    flat_positions,
    root_mean_square,
    system_of,
)

FASTEST = 1.6  # largest frequency times step; BAOAB is stable below 2
NET = 30.0  # largest energy error of a chunk, in kT times the root of the dimension
POWER_ITERATIONS = 16
FIRST_DAMPING = 0.1  # per step: far from equilibrium the energy must leave
LEAST_DAMPING, MOST_DAMPING = 1e-3, 3.0


class Free(AbstractWay):
    """Plain steps, all of one size. `accuracy`: <shadow work of a step ^2> / (kT^2 dim)."""

    accuracy: Float[Array, ""]
    stride: ClassVar[int] = 8

    def first_setting(self, system, mass, unravel, control, state):
        scale = stiffness(system, mass, unravel, control, state)
        return Setting(mass, 0.5 / jnp.sqrt(scale), jnp.asarray(FIRST_DAMPING, mass.dtype))

    def chunk(self, system, setting, unravel, control, state, key):
        """A path that diverges, or whose energy error no step in the bulk makes, has run into a
        place too narrow for the step: it is taken back, and goes the other way.
        """
        ready = system_of(system, setting, unravel, control)
        protocol = Constant(control, duration=CHUNK * setting.step)
        arguments = prepare_run(
            ready.replace(protocol=protocol),
            key,
            time_steps=CHUNK,
            initial=state,
            save=CHUNK + 1,
            observe=lambda t, state, ledger: (state.position, ledger.shadow_work),
            block=CHUNK,  # all steps in one, which is cheaper than blocks of one step each
        )
        out = run_prepared(*arguments)
        assert out.saved is not None
        positions, shadow = out.saved.values
        positions = jax.tree.map(lambda x: x[self.stride :: self.stride], positions)
        dim, kt = setting.mass.size, system.bath.temperature
        taken = (out.ledger.alive > 0) & (jnp.max(jnp.abs(shadow), axis=0) < NET * kt * dim**0.5)
        turned = jax.tree.map(jnp.negative, state.momentum)
        back = dataclasses.replace(state, momentum=turned)
        positions = jax.vmap(lambda p: where_alive(taken, p, state.position))(positions)
        # One path in a narrow place must not decide the step of all: its error counts as 1.
        error = jnp.minimum((jnp.diff(shadow, axis=0) / kt) ** 2 / dim, 1.0)
        error = jnp.mean(jnp.where(taken, jnp.mean(error, axis=0), 1.0))
        return where_alive(taken, out.state, back), positions, error, taken

    def next_step(self, step, error, fraction, place):
        # Large corrections at first, then smaller: the mean over a stage is what counts.
        follow = corrected(step, error, self.accuracy, 1 / jnp.sqrt(1 + place))
        return jnp.where(fraction < 0.5, 0.5 * step, follow)

    def curvature(self, gradient, values):
        """The curvature, which for a quadratic well is exact from two samples."""
        spread = lambda x: jnp.maximum(jnp.mean(x**2, axis=(0, 1)), 1e-30)
        return jnp.sqrt(spread(gradient) / spread(values))

    def next_setting(self, system, setting, mass, record, unravel, control, state, kept):
        before = stiffness(system, setting.mass, unravel, control, state)
        after = stiffness(system, mass, unravel, control, state)
        same = record.step * jnp.sqrt(
            before / after
        )  # the same step in the unit of time of the new masses
        step = corrected(same, record.energy_error, self.accuracy, 1.0)
        step = jnp.minimum(step, FASTEST / jnp.sqrt(after))
        # The damping is per step: it is converted from the step at which it was found.
        return Setting(mass, step, damping(setting.damping, record) * step / same)


def corrected(step, error, goal, gain):
    """The step that should give the error its goal: it goes with the sixth power of the step."""
    ratio = jnp.clip((goal / jnp.maximum(error, 1e-30)) ** (gain / 6), 0.5, 1.5)
    return step * ratio


def damping(current, record: StageRecord):
    """The damping per step that makes the slowest mean and the slowest square equally fast.

    A mode of frequency w has tau = 2 g / w^2 for x and 1/g + g/w^2 for x^2 (g: friction / mass):
    equal, and the larger of the two least, at g = w = sqrt(2 g / tau).
    """
    slow = jnp.max(record.tau)
    return jnp.clip(jnp.sqrt(2 * current / slow), LEAST_DAMPING, MOST_DAMPING)


def stiffness(system, mass, unravel, control, state: State):
    """The largest squared frequency: the top eigenvalue of Hessian / mass, the mean over chains."""
    vectors_flat = jnp.broadcast_to(jnp.sqrt(mass), (batch_of(state.position), mass.size))
    root = jax.vmap(unravel)(vectors_flat)
    gradient = lambda x: batched_gradient(system.potential, x, control)

    def apply(v, _):
        tangent = jax.tree.map(jnp.divide, v, root)
        _, product = jax.jvp(gradient, (state.position,), (tangent,))
        return unit(jax.tree.map(jnp.divide, product, root))

    # Momenta are a random direction, one for each chain.
    begin, _ = unit(jax.tree.map(jnp.divide, state.momentum, root))
    _, sizes = jax.lax.scan(apply, begin, None, length=POWER_ITERATIONS)
    return jnp.maximum(jnp.mean(sizes[-1]), jnp.finfo(sizes.dtype).tiny)


def unit(vectors: PyTree[Array]) -> tuple[PyTree[Array], Float[Array, " batch"]]:
    """Vectors of length one in the direction of each, and the lengths."""
    vectors_flat = flat_positions(vectors)
    size = vectors_flat.shape[1] ** 0.5 * root_mean_square(vectors_flat, (1,))
    scaled = jax.vmap(lambda v, s: jax.tree.map(lambda x: x / s, v))
    return scaled(vectors, jnp.where(size > 0, size, 1)), size
