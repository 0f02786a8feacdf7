"""The stages of `tj.tune`: chains move, and what they show sets mass, friction and step.

Everything is counted in steps: `damping` is friction / mass times the step, so that a new mass,
which is a new unit of time, leaves it alone.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._tree import batch_of, cast, where_alive
from ..dynamics import BAOAB
from ..estimators.ergodic import integrated, split
from ..potential import batched_gradient
from ..protocol import Constant
from ..sampling import State, simulate
from ..system import Bath, Underdamped

CHUNK = 32  # steps between two adjustments of the step size
STRIDE = 8  # steps between two positions that are kept
FASTEST = 1.6  # largest frequency times step; BAOAB is stable below 2
NET = 30.0  # largest energy error of a chunk, in kT times the root of the dimension
POWER_ITERATIONS = 16
FIRST_DAMPING = 0.1  # per step: far from equilibrium the energy must leave
LEAST_DAMPING, MOST_DAMPING = 1e-3, 3.0


class Setting(eqx.Module):
    """What is tuned. `mass`, `(dim,)`; `step` and `damping`, scalars."""

    mass: Float[Array, " dim"]
    step: Float[Array, ""]
    damping: Float[Array, ""]


class Record(eqx.Module):
    """What one stage has shown, coordinates as a vector; each `(dim,)` or a scalar."""

    tau: Float[Array, " dim"]  # autocorrelation time of x, steps
    tau_square: Float[Array, " dim"]  # and of (x - mean)^2
    r_hat: Float[Array, " dim"]
    virial: Float[Array, " dim"]  # <(x - mean) dU/dx> / kT, which is 1
    curvature: Float[Array, " dim"]  # sqrt(Var(dU/dx) / Var(x))
    energy_error: Float[Array, ""]  # <shadow work of a step ^2> / (kT^2 dim)
    rejected: Float[Array, ""]  # share of paths and chunks that were taken back
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


def flat(position: PyTree[Array]) -> Float[Array, "batch dim"]:
    return jax.vmap(lambda x: ravel_pytree(x)[0])(position)


def chunk(system: Underdamped, setting: Setting, unravel, control, state: State, key):
    """CHUNK steps: the state after, positions on the way, the step error, which paths went on.

    A path that diverges, or whose energy error no step in the bulk makes, has run into a place too
    narrow for the step: it is taken back, and goes the other way.
    """
    ready = system_of(system, setting, unravel, control)
    protocol = Constant(control, duration=CHUNK * setting.step)
    out = simulate(
        ready.replace(protocol=protocol),
        key,
        time_steps=CHUNK,
        initial=state,
        integrator=BAOAB(block=CHUNK),
        save=CHUNK + 1,
        observe=lambda t, state, ledger: (state.position, ledger.shadow_work),
    )
    assert out.saved is not None
    positions, shadow = out.saved.values
    positions = jax.tree.map(lambda x: x[STRIDE::STRIDE], positions)
    dim, kt = setting.mass.size, system.bath.temperature
    taken = (out.ledger.alive > 0) & (jnp.max(jnp.abs(shadow), axis=0) < NET * kt * dim**0.5)
    back = State(state.position, jax.tree.map(jnp.negative, state.momentum))
    positions = jax.vmap(lambda p: where_alive(taken, p, state.position))(positions)
    # One path that has run into a narrow place must not rule the step of all: it counts as 1.
    error = jnp.minimum(jnp.diff(shadow, axis=0) ** 2 / (dim * kt**2), 1.0)
    error = jnp.mean(jnp.where(taken, jnp.mean(error, axis=0), 1.0))
    return where_alive(taken, out.state, back), positions, error, taken


def corrected(step, error, goal, gain):
    """The step that should give the error its goal: it goes with the sixth power of the step."""
    ratio = jnp.clip((goal / jnp.maximum(error, 1e-30)) ** (gain / 6), 0.5, 1.5)
    return step * ratio


def stage(system: Underdamped, unravel, control, goal, chunks: int, carry, key):
    """One stage: the chains move under one mass and friction, then all three are set anew."""
    setting, state = carry

    def move(inner, x):
        step, state = inner
        key, place = x
        now = Setting(setting.mass, step, setting.damping)
        state, positions, error, taken = chunk(system, now, unravel, control, state, key)
        # Large corrections at first, then smaller: the mean over a stage is what counts.
        follow = corrected(step, error, goal, 1 / jnp.sqrt(1 + place))
        share = jnp.mean(taken.astype(step.dtype))
        follow = jnp.where(share < 0.5, 0.5 * step, follow)
        return (follow, state), (positions, error, share, step)

    keys = jax.random.split(key, chunks)
    places = jnp.arange(chunks, dtype=setting.step.dtype)
    (_, state), (positions, errors, taken, steps) = jax.lax.scan(
        move, (setting.step, state), (keys, places)
    )
    late = slice(chunks // 2, None)
    kept = jax.tree.map(lambda x: x[late].reshape(-1, *x.shape[2:]), positions)
    values = jax.vmap(flat)(kept)
    record = look(system, control, kept, values, errors[late], taken[late], steps[late])
    record = cast(record, setting.step.dtype)  # counts are float64 where that is the default
    new = settled(system, setting, record, unravel, control, state, goal, values)
    # Momenta of the old masses become momenta of the new ones at the same temperature.
    factor = unravel(jnp.sqrt(new.mass / setting.mass))
    momentum = jax.tree.map(jnp.multiply, state.momentum, factor)
    return (new, State(state.position, momentum)), record


def look(system, control, kept, values, errors, taken, steps) -> Record:
    """What the second half of a stage has shown."""
    mean = jnp.mean(values, axis=(0, 1))
    centered = values - mean
    gradient = jax.vmap(lambda x: flat(batched_gradient(system.potential, x, control)))(kept)
    spread = lambda x: jnp.maximum(jnp.var(x, axis=(0, 1)), 1e-30)
    # Errors of one step size are told as those of the mean one.
    step = jnp.exp(jnp.mean(jnp.log(steps)))
    return Record(
        tau=STRIDE * jnp.asarray(integrated(values, 5.0).value),
        tau_square=STRIDE * jnp.asarray(integrated(centered**2, 5.0).value),
        r_hat=split(values, False),
        virial=jnp.mean(centered * gradient, axis=(0, 1)) / system.bath.temperature,
        curvature=jnp.sqrt(spread(gradient) / spread(values)),
        energy_error=jnp.mean(errors * (step / steps) ** 6),
        rejected=1 - jnp.mean(taken),
        step=step,
    )


def settled(system, setting, record: Record, unravel, control, state, goal, values):
    """Mass, step and friction after a stage."""
    samples = values.shape[0] * values.shape[1]
    # What few effective samples say moves the mass little.
    effective = samples * STRIDE / jnp.maximum(record.tau, STRIDE)
    trust = effective / (effective + 5)
    log_mass = jnp.log(setting.mass)
    mass = jnp.exp(log_mass + trust * (jnp.log(record.curvature) - log_mass))
    old = stiffness(system, setting.mass, unravel, control, state)
    new = stiffness(system, mass, unravel, control, state)
    same = record.step * jnp.sqrt(old / new)  # the same step in the new unit of time
    step = corrected(same, record.energy_error, goal, 1.0)
    step = jnp.minimum(step, FASTEST / jnp.sqrt(new))
    # Found per step, the damping belongs to the step it was found at.
    return Setting(mass, step, damping(setting.damping, record) * step / same)


def damping(now, record: Record):
    """The damping per step that makes the slowest mean and the slowest square equally fast.

    A mode of frequency w has tau = 2 g / w^2 for x and 1/g + g/w^2 for x^2 (g: friction / mass):
    equal, and the larger of the two least, at g = w = sqrt(2 g / tau).
    """
    slow = jnp.max(record.tau)
    return jnp.clip(jnp.sqrt(2 * now / slow), LEAST_DAMPING, MOST_DAMPING)


def stiffness(system, mass, unravel, control, state: State):
    """The largest squared frequency: the top eigenvalue of Hessian / mass, the mean over chains."""
    rows = jnp.broadcast_to(jnp.sqrt(mass), (batch_of(state.position), mass.size))
    root = jax.vmap(unravel)(rows)
    gradient = lambda x: batched_gradient(system.potential, x, control)

    def apply(v, _):
        tangent = jax.tree.map(jnp.divide, v, root)
        _, product = jax.jvp(gradient, (state.position,), (tangent,))
        return unit(jax.tree.map(jnp.divide, product, root))

    # Momenta are a random direction, one for each chain.
    begin, _ = unit(jax.tree.map(jnp.divide, state.momentum, root))
    _, sizes = jax.lax.scan(apply, begin, None, length=POWER_ITERATIONS)
    return jnp.maximum(jnp.mean(sizes[-1]), 1e-30)


def unit(vectors: PyTree[Array]) -> tuple[PyTree[Array], Float[Array, " batch"]]:
    """Vectors of length one in the direction of each, and the lengths."""
    size = jnp.sqrt(jnp.sum(flat(vectors) ** 2, axis=1))
    scaled = jax.vmap(lambda v, s: jax.tree.map(lambda x: x / s, v))
    return scaled(vectors, jnp.maximum(size, 1e-30)), size
