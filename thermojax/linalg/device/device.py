"""A device: coordinates coupled by the matrix, in a bath. It is programmed, and relaxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PRNGKeyArray

from ..._arguments import instance
from ...potential import Harmonic
from ...protocol import Constant
from ...sampling import Chain, advance, start, switch
from ...system import AbstractSystem, Bath, Overdamped, Underdamped
from .operator import Springs
from .spectrum import Spectrum

Dynamics = Literal["overdamped", "underdamped"]
DYNAMICS = ("overdamped", "underdamped")
STEP = 0.5  # in units of the fastest mode's 1/rate or 1/frequency: BAOAB is exact in x at any
SPACING = 0.25  # of the relaxation time between two samples, or one step where that is longer
EQUILIBRATION = math.log(1e3)  # relaxation times: what is left of the start is a thousandth
GROUPS = 32  # of samples, from whose scatter the error is


class Device(NamedTuple):
    """A device for a matrix of this spectrum.

    - `bath`; `relaxation`: 1 / the slowest rate, time; `dt`: the time step of its simulation.
    - `rest`: the stiffness of every coordinate while the device is idle.
    """

    dynamics: Dynamics
    bath: Bath
    relaxation: float
    dt: float
    rest: float

    def system(self, potential) -> AbstractSystem:
        kind = Overdamped if self.dynamics == "overdamped" else Underdamped
        return kind(potential, Constant(0.0, 1.0), self.bath)


def device_for(spectrum: Spectrum, dynamics: str, bath: Bath | None) -> Device:
    """The device that relaxes fastest: underdamped, that of friction 2 sqrt(m lambda_min).

    A mode of stiffness k relaxes with k / gamma, overdamped, and underdamped with the real part of
    g - sqrt(g^2 - k/m), g = gamma / 2m. **Raises:** ValueError for a bath that is not constant or
    differs between the coordinates.
    """
    if bath is not None:
        instance("bath", bath, Bath, "a tj.Bath(...), or None for the default")
        if bath.scheduled or any(jnp.shape(x) for x in (bath.friction, bath.mass)):
            raise ValueError(
                "bath changes in time or between the coordinates: expected numbers for its "
                "temperature, friction and mass"
            )
    low, high = spectrum.low, spectrum.high
    if dynamics == "overdamped":
        bath = Bath() if bath is None else bath
        gamma = float(bath.friction)
        return Device("overdamped", bath, gamma / low, STEP * gamma / high, high)
    bath = Bath(friction=2 * math.sqrt(low)) if bath is None else bath
    mass, damping = float(bath.mass), float(bath.friction) / (2 * float(bath.mass))
    rate = min(damping - math.sqrt(max(damping**2 - k / mass, 0)) for k in (low, high))
    return Device("underdamped", bath, 1 / rate, STEP * math.sqrt(mass / high), high)


class Plan(NamedTuple):
    """Whole numbers of steps: before the first sample, between two, and how many samples."""

    equilibration: int
    spacing: int
    samples: int  # of each trajectory, a multiple of the number of groups in time
    trajectories: int
    groups: int  # in time

    @property
    def products(self) -> int:
        """Of A with a vector: for each step, for each beginning anew, and for both switches."""
        begun = self.equilibration + 1 + self.samples * (self.spacing + 1)
        return self.trajectories * (begun + 2)

    @property
    def groups_of_trajectories(self) -> int:
        """As many as there are trajectories, or 16 to 32 that leave out the fewest of them."""
        if self.trajectories <= GROUPS:
            return self.trajectories
        return min(range(GROUPS, GROUPS // 2 - 1, -1), key=lambda n: self.trajectories % n)

    @property
    def averaged(self) -> int:
        """Trajectories in groups of equal size: all but a few where their number has no divisor."""
        return self.trajectories - self.trajectories % self.groups_of_trajectories


def plan_for(
    device: Device,
    time: float,
    trajectories: int,
    interval: float | None = None,
    equilibration: float = EQUILIBRATION,
) -> tuple[Device, Plan]:
    """The steps of an average over `time` on each of some trajectories.

    `equilibration`: relaxation times before it.
    `interval`: the time between two samples at most, a quarter of the relaxation time for None. The
    step becomes as much shorter as it takes for the samples, in equal groups, to fit in.
    """
    groups = 1 if trajectories >= GROUPS else math.ceil(GROUPS / trajectories)
    apart = SPACING * device.relaxation if interval is None else interval
    device = device._replace(dt=min(device.dt, apart))
    spacing = math.floor(apart / device.dt * (1 + 1e-9))
    spacing = max(1, min(spacing, math.ceil(time / (groups * device.dt))))
    samples = groups * math.ceil(time / (groups * spacing * device.dt))
    device = device._replace(dt=time / (spacing * samples))
    wait = math.ceil(equilibration * device.relaxation / device.dt)
    return device, Plan(wait, spacing, samples, trajectories, groups)


def window(device: Device, plan: Plan) -> tuple[float, float]:
    """The time from programming to the samples, and theirs."""
    return plan.equilibration * device.dt, plan.spacing * plan.samples * device.dt


class Scatter(NamedTuple):
    """Averages of independent groups as they come: how many, their mean, their squares about it."""

    count: Array
    mean: Array
    squares: Array

    @classmethod
    def nothing(cls, like: jax.ShapeDtypeStruct) -> Scatter:
        zero = jnp.zeros(like.shape, like.dtype)
        return cls(jnp.zeros((), like.dtype), zero, zero)

    def joined(self, averages: Float[Array, "groups ..."]) -> Scatter:
        """With further groups. Source: T. Chan, G. Golub, R. LeVeque, Am. Stat. 37, 242 (1983)."""
        more, mean = len(averages), jnp.mean(averages, axis=0)
        total, shift = self.count + more, mean - self.mean
        squares = self.squares + jnp.sum((averages - mean) ** 2, axis=0)
        squares = squares + shift**2 * self.count * more / total
        return Scatter(total, self.mean + shift * more / total, squares)

    @property
    def error(self) -> Array:
        """The standard error of the mean."""
        return jnp.sqrt(self.squares / (self.count * (self.count - 1)))


class Reading(NamedTuple):
    """Averages of what was asked of a device; the work and the heat of each trajectory.

    The heat is that of the device, work less the change of its energy: the shadow work of time
    steps, which the bath of the simulation takes too, is not in it.
    """

    value: Array
    error: Array
    work: Float[Array, " trajectories"]
    heat: Float[Array, " trajectories"]


def read(
    device: Device,
    operator: lx.AbstractLinearOperator,
    b: Float[Array, " dim"],
    plan: Plan,
    key: PRNGKeyArray,
    of: Callable[[Array], Array],
) -> Reading:
    """Program a device at rest with A and b, let it relax, average `of` its positions, switch off.

    The idle device is in equilibrium, its coordinates uncoupled. To program it, and to let go of
    the couplings at the end, is work.

    **Arguments:** `of`: positions `(batch, dim)` -> what is averaged, over the batch.
    """
    idle = device.system(Harmonic(jnp.asarray(device.rest, b.dtype), jnp.zeros_like(b)))
    coupled = device.system(Springs(operator, b))
    chain = start(idle, key, batch=plan.trajectories)
    return averaged(idle, coupled, chain, jnp.asarray(device.dt, b.dtype), plan, of)


@eqx.filter_jit
def averaged(idle, coupled, chain: Chain, dt, plan: Plan, of) -> Reading:
    """The compiled part of `read`."""
    chain = switch(chain, idle, coupled)
    if plan.equilibration:
        chain = advance(coupled, chain, dt=dt, steps=plan.equilibration)
    side, each = plan.groups_of_trajectories, plan.samples // plan.groups
    size = plan.trajectories // side
    like = jax.eval_shape(of, chain.position[:size])

    def sample(carry, _):
        chain, total = carry
        chain = advance(coupled, chain, dt=dt, steps=plan.spacing)
        x = chain.position[: side * size].reshape(side, size, -1)
        return (chain, total + jax.vmap(of)(x)), None

    def group(carry, _):
        chain, scatter = carry
        zero = jnp.zeros((side, *like.shape), like.dtype)
        (chain, total), _ = jax.lax.scan(sample, (chain, zero), length=each)
        return (chain, scatter.joined(total / each)), None

    begin = chain, Scatter.nothing(like)
    (chain, scatter), _ = jax.lax.scan(group, begin, length=plan.groups)
    ledger = switch(chain, coupled, idle).ledger
    return Reading(scatter.mean, scatter.error, ledger.work, ledger.heat - ledger.shadow_work)
