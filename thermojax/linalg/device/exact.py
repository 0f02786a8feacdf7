"""The device in the eigenbasis of its matrix, where every mode is an Ornstein-Uhlenbeck process.

An exact simulation, by one who knows the answer: the decomposition is O(dim^3), as a solve is.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..._component import known
from ...linear import OrnsteinUhlenbeck
from ...linear.matrix_equations import root
from ...system import Bath
from .device import Device, Dynamics, Plan, Reading, Scatter, window
from .noise import standard_normals
from .operator import NORMAL_EQUATIONS, Cures
from .relaxation import relaxation_of
from .spectrum import Spectrum, require_positive_spectrum


class Modes(NamedTuple):
    """A = V diag(values) V^T, the values ascending."""

    values: Float[Array, " dim"]
    vectors: Float[Array, "dim dim"]

    @property
    def spectrum(self) -> Spectrum:
        values = np.asarray(self.values)
        weights = np.full(len(values), 1 / len(values))
        return Spectrum(float(values[0]), float(values[-1]), 0.0, 0, values, weights)


def modes_of(matrix: Float[Array, "dim dim"], cures: Cures = NORMAL_EQUATIONS) -> Modes:
    """The modes of a symmetric positive definite matrix. **Raises:** ValueError for any other."""
    value, eps = known(matrix), float(jnp.finfo(matrix.dtype).eps)
    if value is not None and np.max(np.abs(value - value.T)) > 10 * eps * np.max(np.abs(value)):
        raise ValueError(
            f"A is not symmetric (largest |A - A^T| = {np.max(np.abs(value - value.T)):.3g}): a "
            f"passive device has symmetric couplings; {cures.asymmetry}"
        )
    modes = Modes(*jnp.linalg.eigh(matrix))
    low, high = float(modes.values[0]), float(modes.values[-1])
    require_positive_spectrum(low, high, len(matrix), matrix.dtype, cures)
    return modes


class Law(NamedTuple):
    """The motion of every mode over one time: z -> F z + L noise, z = (y, [p,] [integral of y])."""

    decay: Float[Array, "dim s s"]
    factor: Float[Array, "dim s s"]


def law_of(values: Float[Array, " dim"], device: Device, time, integral: bool = True) -> Law:
    r"""The transition of every mode of stiffness k over a time.

    dy = p/m dt, dp = -k y dt - (gamma/m) p dt + sqrt(2 gamma kT) dW; overdamped
    dy = -(k/gamma) y dt + sqrt(2 kT/gamma) dW; and dI = y dt beside either, for an `integral`.
    """
    kt, gamma, mass = (
        jnp.asarray(x, values.dtype)
        for x in (device.bath.temperature, device.bath.friction, device.bath.mass)
    )
    zero, one = jnp.zeros_like(kt), jnp.ones_like(kt)

    def of_mode(k):
        if device.dynamics == "overdamped":
            drift = jnp.array([[k / gamma, zero], [-one, zero]])
            power = jnp.array([2 * kt / gamma, zero])
        else:
            rows = [zero, -1 / mass, zero], [k, gamma / mass, zero], [-one, zero, zero]
            drift = jnp.array(rows)
            power = jnp.array([zero, 2 * gamma * kt, zero])
        size = len(drift) if integral else len(drift) - 1
        process = OrnsteinUhlenbeck(drift[:size, :size], zero, power[:size])
        return process.transition(jnp.asarray(time, values.dtype))

    decay, covariance = jax.vmap(of_mode)(values)
    return Law(decay, jax.vmap(root)(covariance))


def moved(law: Law, z: Float[Array, "batch dim s"], key: PRNGKeyArray):
    """The state of every mode of every trajectory after the time of the law."""
    size = z.shape[-1]
    noise = standard_normals(key, (size, *z.shape[:-1]), z.dtype)

    def component(i):
        drifted = sum(law.decay[:, i, j] * z[..., j] for j in range(size))
        return drifted + sum(law.factor[:, i, j] * noise[j] for j in range(size))

    return jnp.stack([component(i) for i in range(size)], axis=-1)


def average_variances(values: Float[Array, " dim"], device: Device, time) -> Array:
    r"""Var of the average of each mode over a time, from equilibrium.

    Overdamped (2 gamma kT / k^2 T) (1 - (gamma / k T)(1 - e^(-k T / gamma))).
    """
    kt = jnp.asarray(device.bath.temperature, values.dtype)
    return kt / values * relaxation_of(values, device).twice_averaged(time)


def second_moment_variances(
    values: Float[Array, " dim"], device: Device, time, interval: float | None = None
) -> Array:
    r"""Var of the average of y_i y_j / kT over a time, `(dim, dim)`, from equilibrium.

    (1 + [i = j]) / (k_i k_j) times what the average leaves of the product of both memories; of
    samples at an `interval`, where there is one.
    """
    memory = relaxation_of(values, device)
    memory = memory @ memory
    alone = (1 + jnp.eye(len(values))) / (values[:, None] * values)
    if interval is None:
        return alone * memory.twice_averaged(time)
    return alone * memory.sampled(interval, time / interval)


def averaged_positions(
    modes: Modes, b: Float[Array, " dim"], device: Device, plan: Plan, key: PRNGKeyArray
) -> Reading:
    """As `device.read` of the position: at rest, coupled, relaxed, averaged, and let go of.

    The error is that of the law.
    """
    wait, time = window(device, plan)
    numbers = jnp.asarray([wait, time, device.rest], b.dtype)  # traced, not a program for each
    return visited(modes, b, device.dynamics, device.bath, numbers, plan.trajectories, key)


class Rest(NamedTuple):
    """The coordinates of an idle device, with which the modes of a coupled one are compared."""

    values: Float[Array, " dim"]
    center: Float[Array, " dim"]  # of every mode
    stiffness: Array
    kt: Array
    mass: Array | None  # None where there are no momenta

    def start(self, trajectories: int, key) -> Float[Array, "trajectories dim s"]:
        """Idle coordinates in equilibrium, (y, [p]), as seen from where the modes will rest."""
        spread = [jnp.sqrt(self.kt / self.stiffness)]
        if self.mass is not None:
            spread.append(jnp.sqrt(self.mass * self.kt))
        dim, size = len(self.values), len(spread)
        widths = jnp.tile(jnp.diag(jnp.stack(spread)), (dim, 1, 1))
        still = Law(jnp.zeros_like(widths), widths)
        z = jnp.zeros((trajectories, dim, size), self.values.dtype)
        return moved(still, z, key).at[..., 0].add(-self.center)

    def coupling_work(self, z) -> Float[Array, " trajectories"]:
        """The work of coupling the coordinates: U of the modes there less that of the rest."""
        y, x = z[..., 0], z[..., 0] + self.center
        coupled = 0.5 * self.values * (y**2 - self.center**2)
        return jnp.sum(coupled - 0.5 * self.stiffness * x**2, axis=-1)

    def energy(self, z) -> Float[Array, " trajectories"]:
        """H of the idle device."""
        x = z[..., 0] + self.center
        moving = 0.0 if self.mass is None else z[..., 1] ** 2 / (2 * self.mass)
        return jnp.sum(0.5 * self.stiffness * x**2 + moving, axis=-1)


def at_rest(modes: Modes, b, device: Device, stiffness) -> Rest:
    bath, dtype = device.bath, modes.values.dtype
    kt, mass = (jnp.asarray(x, dtype) for x in (bath.temperature, bath.mass))
    center = (modes.vectors.T @ b) / modes.values
    moving = device.dynamics == "underdamped"
    return Rest(modes.values, center, stiffness, kt, mass if moving else None)


@eqx.filter_jit
def visited(modes: Modes, b, dynamics: Dynamics, bath: Bath, numbers, trajectories: int, key):
    """The compiled part of `averaged_positions`; `numbers`: its times, the stiffness at rest."""
    values, vectors = modes
    wait, time, stiffness = numbers
    device = Device(dynamics, bath, 0.0, 0.0, 0.0)
    rest = at_rest(modes, b, device, stiffness)
    keys = jax.random.split(key, 3)
    z = rest.start(trajectories, keys[0])
    began, work = rest.energy(z), rest.coupling_work(z)
    z = moved(law_of(values, device, wait, integral=False), z, keys[1])
    z = jnp.concatenate([z, jnp.zeros_like(z[..., :1])], axis=-1)
    z = moved(law_of(values, device, time), z, keys[2])
    work = work - rest.coupling_work(z)
    heat = work - (rest.energy(z) - began)
    average = vectors @ (rest.center + jnp.mean(z[..., -1], axis=0) / time)
    variances = average_variances(values, device, time) / trajectories
    return Reading(average, jnp.sqrt((vectors**2) @ variances), work, heat)


def sampled(
    modes: Modes, b: Float[Array, " dim"], device: Device, plan: Plan, key: PRNGKeyArray, of
) -> Reading:
    """As `device.read` of anything: positions at the times of the plan, from the exact law.

    **Cost:** two products of V with a vector for each sample, taken at once.
    """
    wait, apart = plan.equilibration * device.dt, plan.spacing * device.dt
    numbers = jnp.asarray([wait, apart, device.rest], b.dtype)
    return walked(
        modes, b, device.dynamics, device.bath, numbers, plan._replace(spacing=1), key, of
    )


@eqx.filter_jit
def walked(
    modes: Modes, b, dynamics: Dynamics, bath: Bath, numbers, plan: Plan, key, of
) -> Reading:
    """The compiled part of `sampled`; `numbers`: wait, time between samples, stiffness at rest."""
    values, vectors = modes
    wait, apart, stiffness = numbers
    device = Device(dynamics, bath, 0.0, 0.0, 0.0)
    rest = at_rest(modes, b, device, stiffness)
    keys = jax.random.split(key, 3)
    z = rest.start(plan.trajectories, keys[0])
    began, work = rest.energy(z), rest.coupling_work(z)
    z = moved(law_of(values, device, wait, integral=False), z, keys[1])
    step = law_of(values, device, apart, integral=False)
    side, each = plan.groups_of_trajectories, plan.samples // plan.groups
    size = plan.trajectories // side
    like = jax.eval_shape(of, jnp.zeros((1, len(values)), values.dtype))

    def sample(z, key):
        z = moved(step, z, key)
        return z, z[: side * size, :, 0]

    def group(carry, key):
        z, scatter = carry
        z, y = jax.lax.scan(sample, z, jax.random.split(key, each))
        x = (rest.center + y) @ vectors.T
        x = jnp.moveaxis(x.reshape(each, side, size, -1), 0, 1).reshape(side, each * size, -1)
        return (z, scatter.joined(jax.lax.map(of, x))), None

    begin = z, Scatter.nothing(like)
    (z, scatter), _ = jax.lax.scan(group, begin, jax.random.split(keys[2], plan.groups))
    work = work - rest.coupling_work(z)
    return Reading(scatter.mean, scatter.error, work, work - (rest.energy(z) - began))
