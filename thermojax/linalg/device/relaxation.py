"""Relaxation of the modes of a device: how they forget, and what averages over a time keep."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...system import Bath
from .device import EQUILIBRATION, Device, Dynamics, Plan

UNSEEN = 0.1  # of a standard error: what may be left of the start
ROUNDS = 100
FEW = 4.0  # independent samples, whose scatter is known to a factor of two


class Relaxation(NamedTuple):
    r"""phi(t) = Re sum_j part_j e^(-rate_j t) of every mode: what is left of a displacement.

    m phi'' + gamma phi' + k phi = 0, phi(0) = 1, phi'(0) = 0; overdamped phi = e^(-k t / gamma).
    In equilibrium <y(t) y(0)> = (kT / k) phi(t).
    """

    rates: Float[Array, "terms dim"]  # complex where underdamped
    parts: Float[Array, "terms dim"]

    def __matmul__(self, other: Relaxation) -> Relaxation:
        """phi_i(t) phi_j(t) of each of these with each of those, `(terms, dim, dim)`."""
        terms = len(self.rates) * len(other.rates)
        rates = self.rates[:, None, :, None] + other.rates[None, :, None, :]
        parts = self.parts[:, None, :, None] * other.parts[None, :, None, :]
        return Relaxation(*(x.reshape(terms, *x.shape[2:]) for x in (rates, parts)))

    def at(self, time) -> Array:
        return jnp.sum(self.parts * jnp.exp(-self.rates * time), axis=0).real

    def average(self, wait, time) -> Array:
        """(1 / T) int of phi from `wait` to `wait` + T."""
        x = self.rates * time
        return jnp.sum(self.parts * jnp.exp(-self.rates * wait) * -jnp.expm1(-x) / x, axis=0).real

    def twice_averaged(self, time) -> Array:
        """(1 / T^2) int int phi(|t - s|), by which an average over T varies in units of kT / k."""
        return 2 * jnp.sum(self.parts * mean_memory(self.rates * time), axis=0).real

    def sampled(self, spacing, count) -> Array:
        """(1 / n^2) sum sum phi(|i - j| h): the same of n samples at a distance h."""
        rho, left = jnp.exp(-self.rates * spacing), -jnp.expm1(-self.rates * spacing)
        ends = 2 * rho * -jnp.expm1(-self.rates * spacing * count) / (count * left**2)
        return jnp.sum(self.parts * ((1 + rho) / left - ends), axis=0).real / count


def mean_memory(x: Array) -> Array:
    """(x - 1 + e^-x) / x^2, also where x is small and the difference would be rounding."""
    small = jnp.abs(x) < jnp.finfo(jnp.real(x).dtype).eps ** 0.25
    safe = jnp.where(small, 1, x)
    return jnp.where(small, 0.5 - x / 6 + x**2 / 24, (safe + jnp.expm1(-safe)) / safe**2)


def relaxation_of(values: Float[Array, " dim"], device: Device) -> Relaxation:
    """The memory of modes of these stiffnesses."""
    return compiled_relaxation(device.dynamics, device.bath, values)


@partial(jax.jit, static_argnums=0)
def compiled_relaxation(dynamics: Dynamics, bath: Bath, values: Float[Array, " dim"]) -> Relaxation:
    """The compiled part of `relaxation_of`."""
    gamma, mass = (jnp.asarray(x, values.dtype) for x in (bath.friction, bath.mass))
    if dynamics == "overdamped":
        return Relaxation((values / gamma)[None], jnp.ones_like(values)[None])
    # e^(-g t)(cos w t + (g / w) sin w t), of frequencies that may be imaginary.
    g = gamma / (2 * mass)
    w = jnp.sqrt((values / mass - g**2).astype(jnp.result_type(values, jnp.complex64)))
    w = jnp.where(jnp.abs(w) < 1e-6 * g, 1e-6 * g, w)
    rates = jnp.stack([g - 1j * w, g + 1j * w])
    return Relaxation(rates, jnp.stack([0.5 - 0.5j * g / w, 0.5 + 0.5j * g / w]))


def decaying(relaxation: float) -> Relaxation:
    """The memory e^(-t / relaxation)."""
    return Relaxation(jnp.full((1, 1), 1 / relaxation), jnp.ones((1, 1)))


def equilibration(
    values: Float[Array, " dim"],
    distances: Float[Array, " dim"],
    device: Device,
    time: float,
    trajectories: int,
) -> float:
    """Relaxation times until an average over `time` sees little of where its modes have started.

    What is left of each distance is then a tenth of the standard error of its mode, at most; and a
    thousandth of it in any case.
    """
    memory, wait = relaxation_of(values, device), EQUILIBRATION
    for _ in range(ROUNDS):
        waited = wait * device.relaxation
        numbers = jnp.asarray([waited, time, trajectories], values.dtype)
        left = float(left_of_start(memory, values, distances, device.bath.temperature, numbers))
        if not left > UNSEEN:
            break
        wait += max(math.log(left / UNSEEN), 0.1) if math.isfinite(left) else 50.0
    return wait


@jax.jit
def left_of_start(memory: Relaxation, values, distances, kt, numbers) -> Array:
    """The largest part of a distance that an average keeps, in standard errors of its mode.

    `numbers`: the time before the average, its own, and the trajectories.
    """
    wait, time, trajectories = numbers
    kept = distances * memory.average(wait, time)
    # Roots apart: squares of small stiffnesses or large kT leave the range of float32.
    width = jnp.sqrt(kt.astype(values.dtype)) / jnp.sqrt(values)
    return jnp.max(jnp.abs(kept / width) * jnp.sqrt(trajectories / memory.twice_averaged(time)))


def remembered(
    memory: Relaxation, order: int, relaxation: float, plan: Plan, time: float, stacklevel: int = 6
) -> float:
    """By how much groups that follow each other in time understate the error of their mean.

    They remember each other: the scatter of groups is expected to be sigma_g^2 - Var(mean), with
    sigma_g^2 the variance of one. Exact for the mode of this `memory` that remembers longest, and
    too much for the others. It warns where the average is worth few independent samples, of which
    no factor makes a good error.

    **Arguments:** `order`, 1 for means of positions, 2 for those of their products.
    """
    times = jnp.asarray([time, time / plan.groups], jnp.real(memory.rates).dtype)
    whole, part = map(float, shares(memory, order, times))
    worth = plan.trajectories / whole
    if worth < FEW:
        many = plan.trajectories > 1
        devices = f"{plan.trajectories} trajectories" if many else "one trajectory"
        warnings.warn(
            f"an average over {time:.3g} or {time / relaxation:.2g} relaxation times, of "
            f"{devices}, is worth {worth:.2g} independent samples: its error is a guess; take a "
            "longer time or more trajectories",
            stacklevel=stacklevel,
        )
    if plan.groups == 1:
        return 1.0
    of_mean = whole / plan.groups_of_trajectories
    groups = plan.groups * plan.groups_of_trajectories
    scatter = (part - of_mean) / (groups - 1)
    # Rounding is all that is left of it where the whole time is short beside the memory.
    least = 8 * float(jnp.finfo(times.dtype).eps) * of_mean
    return max(1.0, math.sqrt(of_mean / max(scatter, least)))


@partial(jax.jit, static_argnums=1)
def shares(memory: Relaxation, order: int, times: Float[Array, " times"]) -> Float[Array, " times"]:
    """The variance of averages over these times, in that of one sample: of the longest memory."""
    memory = memory @ memory if order == 2 else memory
    return jax.vmap(lambda time: jnp.max(memory.twice_averaged(time)))(times)
