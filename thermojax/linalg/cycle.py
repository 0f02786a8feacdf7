"""A device that goes from its reference to A, comes to rest there, and goes back again."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PRNGKeyArray

from ..linear import OrnsteinUhlenbeck
from ..potential import Harmonic, Interpolation
from ..protocol import AbstractProtocol
from ..sampling import State, advance, simulate, start
from ..system import Overdamped, Underdamped, reverse
from .device import Device
from .operator import Springs
from .ramp import Ramp, decay_of, stairs


class Cycle(NamedTuple):
    """Of each trajectory: the work of both ramps, the heat of all; products of A with a vector."""

    forward: Float[Array, " trajectories"]
    reverse: Float[Array, " trajectories"]
    heat: Float[Array, " trajectories"]
    products: int


class Steps(NamedTuple):
    """How many time steps of which length a ramp takes, and how many the wait at A."""

    ramp: int
    wait: int
    wait_dt: float
    trajectories: int

    @property
    def products(self) -> int:
        """Of A with a vector: for each step, and for the energies where a run begins or ends."""
        return self.trajectories * (2 * (self.ramp + 3) + self.wait + 2)


def by_steps(
    operator: lx.AbstractLinearOperator,
    device: Device,
    protocol: AbstractProtocol,
    steps: Steps,
    key: PRNGKeyArray,
) -> Cycle:
    """The cycle in time steps, of springs c + s (A - c) of which products are known.

    It begins in equilibrium, of coordinates that are not coupled. The wait begins where the way
    there has ended; after it the positions are those of the equilibrium of A.
    """
    keys = jax.random.split(key, 3)
    zero = jnp.zeros(operator.in_size(), operator.in_structure().dtype)
    springs = Springs(operator, zero)
    line = Interpolation(Harmonic(jnp.asarray(device.rest, zero.dtype), zero), springs)
    kind = Overdamped if device.dynamics == "overdamped" else Underdamped
    ramp, held = kind(line, protocol, device.bath), device.system(springs)
    there = simulate(ramp, keys[0], time_steps=steps.ramp, batch=steps.trajectories)
    chain = start(held, keys[1], initial=there)
    chain = advance(held, chain, dt=steps.wait_dt, steps=steps.wait)
    state = State(chain.position, chain.momentum, chain.dynamics)
    back = simulate(reverse(ramp), keys[2], time_steps=steps.ramp, initial=state)
    heat = there.ledger.heat + chain.ledger.heat + back.ledger.heat
    return Cycle(there.ledger.total_work, back.ledger.total_work, heat, steps.products)


def by_modes(ramp: Ramp, protocol: AbstractProtocol, count: int, wait, trajectories: int, key):
    """The cycle of every mode of A by its exact law, on a staircase of `count` stairs.

    The work theorems hold for any number of stairs; what is lost on them is that of the ramp where
    a stair is short beside the relaxation of the modes that lose most.
    """
    numbers = jnp.asarray([protocol.duration / count, wait], ramp.values.dtype)
    controls = stairs(protocol, count).astype(ramp.values.dtype)
    return Cycle(*climbed(ramp, controls, numbers, trajectories, key), 0)


@eqx.filter_jit
def climbed(ramp: Ramp, controls, numbers, trajectories: int, key):
    """The compiled part of `by_modes`; `numbers`: the time of a stair, and of the wait."""
    stair_time, wait = numbers
    keys = jax.random.split(key, 4)
    kt, mass = (jnp.asarray(x, wait.dtype) for x in (ramp.bath.temperature, ramp.bath.mass))
    size = 1 if ramp.dynamics == "overdamped" else 2

    def moved_on(z, k, time, key):
        noise = jax.random.normal(key, z.shape, z.dtype)
        left, factor = decay_of(ramp, k, time), noise_of(ramp, k, time)
        return jnp.einsum("ijd,bjd->bid", left, z) + jnp.einsum("ijd,bjd->bid", factor, noise)

    def worked(z, before, after):
        return 0.5 * jnp.sum((after - before) * z[:, 0] ** 2, axis=-1)

    def way(z, controls, key):
        def stair(carry, inputs):
            z, before, work = carry
            k = ramp.stiffness(inputs[0])
            work = work + worked(z, before, k)
            return (moved_on(z, k, stair_time, inputs[1]), k, work), None

        first, count = ramp.stiffness(controls[0]), len(controls) - 2
        begin = z, first, jnp.zeros(trajectories, z.dtype)
        (z, k, work), _ = jax.lax.scan(stair, begin, (controls[1:-1], jax.random.split(key, count)))
        return z, work + worked(z, k, ramp.stiffness(controls[-1]))

    def energy(z):
        moving = z[:, 1] ** 2 / mass if size == 2 else 0.0
        return 0.5 * jnp.sum(ramp.reference * z[:, 0] ** 2 + moving, axis=-1)

    spread = jnp.stack([jnp.sqrt(kt / ramp.reference), jnp.sqrt(mass * kt)][:size])
    shape = trajectories, size, len(ramp.values)
    z = spread[:, None] * jax.random.normal(keys[0], shape, ramp.values.dtype)
    began = energy(z)
    z, there = way(z, controls, keys[1])
    z = moved_on(z, ramp.stiffness(1.0), wait, keys[2])
    z, back = way(z, controls[::-1], keys[3])
    return there, back, there + back - (energy(z) - began)


def noise_of(ramp: Ramp, k: Float[Array, " modes"], time) -> Float[Array, "n n modes"]:
    """A factor of the covariance that a time gives to (x,), underdamped to (x, p), from a point."""
    bath = ramp.bath
    kt, gamma, mass = (
        jnp.asarray(x, k.dtype) for x in (bath.temperature, bath.friction, bath.mass)
    )
    if ramp.dynamics == "overdamped":
        return jnp.sqrt(-kt / k * jnp.expm1(-2 * k * time / gamma))[None, None]

    def covariance(k):
        drift = jnp.array([[0.0, -1 / mass], [k, gamma / mass]])
        power = jnp.array([0.0, 2 * gamma * kt])
        return OrnsteinUhlenbeck(drift, 0.0, power).transition(time)[1]

    (xx, xp), (_, pp) = jnp.moveaxis(jax.vmap(covariance)(k), 0, -1)
    first = jnp.sqrt(xx)
    beside = xp / first
    zero = jnp.zeros_like(k)
    return jnp.stack([jnp.stack([first, zero]), jnp.stack([beside, jnp.sqrt(pp - beside**2)])])
