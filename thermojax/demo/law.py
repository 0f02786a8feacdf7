"""The exact law of an underdamped system in a quadratic energy, and its books.

Where the energy only changes in jumps, the law stays Gaussian, and mean work and heat are known
without a single path.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..distances import kl_gaussian
from ..linear import OrnsteinUhlenbeck
from ..system import Bath


class QuadraticEnergy(NamedTuple):
    """U = x^T K x / 2 - b^T x + c: `stiffness` K `(dim, dim)`, `slope` b `(dim,)`, `constant` c."""

    stiffness: Float[Array, "dim dim"]
    slope: Float[Array, " dim"]
    constant: Float[Array, ""]

    @property
    def center(self) -> Float[Array, " dim"]:
        return jnp.linalg.solve(self.stiffness, self.slope)

    def free_energy(self, temperature) -> Float[Array, ""]:
        """-kT ln of the configuration integral of exp(-U / kT)."""
        dim, logdet = len(self.slope), jnp.linalg.slogdet(self.stiffness)[1]
        lowest = self.constant - 0.5 * self.slope @ self.center
        return lowest + 0.5 * temperature * (logdet - dim * jnp.log(2 * math.pi * temperature))


class GaussianLaw(NamedTuple):
    """N(mean, covariance) of (x, p), and what has been booked on the way, all of them scalars.

    `bath_entropy` is the sum of Q / kT, in units of k_B.
    """

    mean: Float[Array, " two_dim"]
    covariance: Float[Array, "two_dim two_dim"]
    work: Float[Array, ""]
    heat: Float[Array, ""]
    bath_entropy: Float[Array, ""]

    @property
    def entropy(self) -> Float[Array, ""]:
        """-<ln rho>, in units of k_B."""
        logdet = jnp.linalg.slogdet(self.covariance)[1]
        return 0.5 * (logdet + len(self.mean) * math.log(2 * math.pi * math.e))


def equilibrium_law(energy: QuadraticEnergy, bath: Bath) -> GaussianLaw:
    """The Boltzmann law of positions and momenta, with empty books."""
    dim = len(energy.slope)
    positions = bath.temperature * jnp.linalg.inv(energy.stiffness)
    momenta = bath.temperature * bath.mass * jnp.eye(dim)
    none = jnp.zeros((dim, dim))
    covariance = jnp.block([[positions, none], [none, momenta]])
    zero = jnp.zeros(())
    return GaussianLaw(jnp.append(energy.center, jnp.zeros(dim)), covariance, zero, zero, zero)


def mean_energy(law: GaussianLaw, energy: QuadraticEnergy, mass) -> Float[Array, ""]:
    """<H> of a law, kinetic energy included, a scalar."""
    dim = len(energy.slope)
    x, second = law.mean[:dim], law.covariance + jnp.outer(law.mean, law.mean)
    potential = 0.5 * jnp.sum(energy.stiffness * second[:dim, :dim]) - energy.slope @ x
    return potential + energy.constant + 0.5 * jnp.trace(second[dim:, dim:]) / mass


def law_switched(
    law: GaussianLaw, energies: tuple[QuadraticEnergy, QuadraticEnergy], masses: tuple
) -> GaussianLaw:
    """The law after a jump of the energy, or of the mass at fixed momentum, which is work."""
    before, after = (mean_energy(law, u, m) for u, m in zip(energies, masses, strict=True))
    return law._replace(work=law.work + after - before)


def law_moved(law: GaussianLaw, energy: QuadraticEnergy, bath: Bath, time) -> GaussianLaw:
    """The law after some time under one energy and one bath: all that is lost there is heat."""
    process = OrnsteinUhlenbeck.underdamped(energy.stiffness, energy.center, bath)
    mean, covariance = process.mean_covariance(time, law.mean, law.covariance)
    later = law._replace(mean=mean, covariance=covariance)
    heat = mean_energy(law, energy, bath.mass) - mean_energy(later, energy, bath.mass)
    entropy = law.bath_entropy + heat / bath.temperature
    return later._replace(heat=law.heat + heat, bath_entropy=entropy)


def divergence_from(law: GaussianLaw, other: GaussianLaw) -> Float[Array, ""]:
    """KL(law || other) between the Gaussians, a scalar; of an equilibrium, (F[rho] - F_eq) / kT."""
    return kl_gaussian(law.mean, law.covariance, other.mean, other.covariance)
