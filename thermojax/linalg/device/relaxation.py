"""Relaxation of the modes of a device: how they forget, and what averages over a time keep."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .device import Device


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
    gamma, mass = (jnp.asarray(x, values.dtype) for x in (device.bath.friction, device.bath.mass))
    if device.dynamics == "overdamped":
        return Relaxation((values / gamma)[None], jnp.ones_like(values)[None])
    # e^(-g t)(cos w t + (g / w) sin w t), of frequencies that may be imaginary.
    g = gamma / (2 * mass)
    w = jnp.sqrt((values / mass - g**2).astype(jnp.result_type(values, jnp.complex64)))
    w = jnp.where(jnp.abs(w) < 1e-6 * g, 1e-6 * g, w)
    rates = jnp.stack([g - 1j * w, g + 1j * w])
    return Relaxation(rates, jnp.stack([0.5 - 0.5j * g / w, 0.5 + 0.5j * g / w]))
