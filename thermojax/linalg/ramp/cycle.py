"""A device that goes from its reference to A, comes to rest there, and goes back again."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PRNGKeyArray

from ...linear import OrnsteinUhlenbeck
from ...potential import Harmonic, Interpolation
from ...protocol import AbstractProtocol
from ...sampling import Chain, advance, start, switch
from ...system import Overdamped, Underdamped, reverse
from ..device.device import Device
from ..device.noise import standard_normals
from ..device.operator import Springs
from .ramp import Ramp, decay_of, stairs

BLOCK = 16  # steps that are taken together


class Cycle(NamedTuple):
    """Of each trajectory: the work of both ramps, the heat of all; products of A with a vector."""

    forward: Float[Array, " trajectories"]
    reverse: Float[Array, " trajectories"]
    heat: Float[Array, " trajectories"]
    products: int


class Steps(NamedTuple):
    """The numbers of blocks of time steps, of a ramp and of the wait at A, and their lengths."""

    ramp: int
    wait: int
    dt: float
    wait_dt: float
    trajectories: int

    @property
    def products(self) -> int:
        """Of A with a vector: for each step, for each beginning anew, and for the switches."""
        blocks = 2 * self.ramp + self.wait
        return self.trajectories * (blocks * (BLOCK + 1) + 5)


def by_steps(
    operator: lx.AbstractLinearOperator,
    device: Device,
    protocol: AbstractProtocol,
    steps: Steps,
    key: PRNGKeyArray,
) -> Cycle:
    """The cycle in time steps, of springs of which products are known.

    It begins in equilibrium, of coordinates that are not coupled. The wait begins where the way
    there has ended. After it the positions have the law of the equilibrium of A, to which BAOAB
    takes them at any step; momenta it leaves a little too cold, and they are drawn anew.
    """
    keys = jax.random.split(key)
    zero = jnp.zeros(operator.in_size(), operator.in_structure().dtype)
    springs = Springs(operator, zero)
    alike = Harmonic(jnp.asarray(device.rest, zero.dtype), zero)
    line = Interpolation(alike, springs)
    kind = Overdamped if device.dynamics == "overdamped" else Underdamped
    ramp = kind(line, protocol, device.bath)
    held, idle = device.system(springs), device.system(alike)
    chain = start(ramp, keys[0], batch=steps.trajectories)
    lengths = jnp.asarray([steps.dt, steps.wait_dt], zero.dtype)
    counts = jnp.asarray([steps.ramp, steps.wait], jnp.int32)
    found = walked_through(ramp, held, idle, chain, lengths, counts, keys[1])
    return Cycle(*found, steps.products)


@eqx.filter_jit
def walked_through(ramp, held, idle, chain: Chain, lengths, counts, key):
    """The compiled part of `by_steps`: one program, however long the ramp is."""

    def moved(system, chain, which: int):
        block = lambda _, chain: advance(system, chain, dt=lengths[which], steps=BLOCK)
        return jax.lax.fori_loop(0, counts[which], block, chain)

    chain = switch(moved(ramp, chain, 0), ramp, held)  # where the ramp ends with a jump: its work
    there, chain = chain.ledger.total_work, moved(held, chain, 1)
    back = reverse(ramp)
    last = start(back, key, initial=chain.position)
    last = switch(moved(back, last, 0), back, idle)
    return there, last.ledger.total_work, chain.ledger.heat + last.ledger.heat


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
        noise = standard_normals(key, z.shape, z.dtype)
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
    z = spread[:, None] * standard_normals(keys[0], shape, ramp.values.dtype)
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
        return OrnsteinUhlenbeck(drift, jnp.zeros_like(k), power).transition(time)[1]

    (xx, xp), (_, pp) = jnp.moveaxis(jax.vmap(covariance)(k), 0, -1)
    first = jnp.sqrt(xx)
    beside = xp / first
    zero = jnp.zeros_like(k)
    return jnp.stack([jnp.stack([first, zero]), jnp.stack([beside, jnp.sqrt(pp - beside**2)])])
