"""The answer of a device with its bill: time, energy, products, and what a computer would need."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...estimate import Estimate, weighted_mean
from ...protocol import AbstractProtocol
from .device import Device, Plan, window
from .spectrum import Spectrum


class DeviceTime(eqx.Module):
    """The time of a device in relaxation times; `relaxation`, one of them in the unit of time."""

    equilibration: float
    averaging: float
    relaxation: float

    @property
    def total(self) -> float:
        return self.equilibration + self.averaging


class DeviceEnergy(eqx.Module):
    """The energy that all trajectories of a device take together.

    - `work`: to couple the coordinates at the start, and to let go of them at the end; that of a
      drift which is no gradient goes on all the time.
    - `heat`: given to the bath until then, negative where the bath has given. What else has come in
      as work it gets when the coordinates come to rest again.
    - `idle`: of the power that a device draws whatever it does, over the time that it takes.
    """

    work: Estimate
    heat: Estimate
    idle: float

    def __str__(self):
        work, heat = map(energy_text, (self.work, self.heat))
        return f"work {work}, heat {heat}, idle {self.idle:.3g}"


def energy_text(energy: Estimate) -> str:
    """An energy with its error, which one trajectory does not tell."""
    if np.size(energy.count) == 1 and float(energy.count) == 1:
        return f"{float(energy.value):.4g} (of one trajectory)"
    return str(energy)


class Ramps(eqx.Module):
    """The ramps of a device from springs that are all alike, c, to A and back.

    - `protocol`: the share s of A in the springs, (1 - s) c + s A, on the way there.
    - `reference`: c, a stiffness.
    - `forward`, `reverse`: the work of each trajectory on the way there and back.
    """

    protocol: AbstractProtocol
    reference: float
    forward: Float[Array, " trajectories"]
    reverse: Float[Array, " trajectories"]

    @property
    def dissipated(self) -> Estimate:
        """The mean work that is lost on the way there and back together."""
        return weighted_mean(self.forward + self.reverse, jnp.ones_like(self.forward))


class Answer(eqx.Module):
    """The answer of a device, and what it has cost.

    - `value`, `error`: of every entry, the error a standard error: what more time would lessen.
    - `floor`: of every entry of an imperfect device, the root mean square error that its
      imperfections leave, however long it averages, as predicted by one who knows A^-1. `copies`,
      `(copies, ...)`: what each copy of it says, whose scatter shows both without a prediction.
    - `bias`: of every entry of a steered device, what its final law is off by, as the exact law of
      it says; `error` has both, the scatter and this one.
    - `samples`: behind each entry, of all trajectories together.
    - `time`, `energy`: of the device.
    - `products`: of A with a vector, that its simulation has taken; `decomposed` says that there
      was an eigendecomposition, O(dim^3), too.
    - `digital`: products of A with a vector after which the bound of conjugate gradients on a
      computer, 2 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^n, is as small as the relative error; or,
      where `digital_method` is another, as many as take its work.
    - `ramps`: of a determinant, what the device did.
    """

    value: Array
    error: Array
    samples: int
    time: DeviceTime
    energy: DeviceEnergy
    products: int
    digital: int
    decomposed: bool = False
    digital_method: str = "conjugate gradients"
    ramps: Ramps | None = None
    floor: Array | None = None
    copies: Array | None = None
    bias: Array | None = None

    def __str__(self):
        t = self.time
        work = "an eigendecomposition and " if self.decomposed else ""
        return (
            f"{Estimate(self.value, self.error, self.samples)}{self.floor_text()}\n"
            f"in {t.total:.4g} relaxation times ({t.equilibration:.3g} to equilibrium), "
            f"{self.energy};\n"
            f"simulated by {work}{self.products:,} products of A with a vector, where "
            f"{self.digital_method} need {self.digital:,}"
        )

    def floor_text(self) -> str:
        if self.floor is None:
            return ""
        mean, most = float(jnp.sqrt(jnp.mean(self.floor**2))), float(jnp.max(self.floor))
        if most == 0:
            return "\nand off by nothing besides: its imperfections average out"
        return (
            f"\nand off by {mean:.2g} besides (root mean square of the entries; at most "
            f"{most:.2g}), as its imperfections have it"
        )


def time_of(device: Device, plan: Plan) -> DeviceTime:
    wait, time = window(device, plan)
    return DeviceTime(wait / device.relaxation, time / device.relaxation, device.relaxation)


def energy_of(work: Array, heat: Array, time: DeviceTime, idle_power: float) -> DeviceEnergy:
    """The bill of trajectories from the work and the heat of each."""
    count = len(work)

    def all_of(x):
        x = np.asarray(x, float)
        error = math.sqrt(count) * float(np.std(x, ddof=1)) if count > 1 else math.nan
        return Estimate(float(np.sum(x)), error, count)

    idle = idle_power * count * time.total * time.relaxation
    return DeviceEnergy(all_of(work), all_of(heat), idle)


def digital_products(spectrum: Spectrum, error: float, dim: int) -> int:
    r"""Steps of conjugate gradients until their bound is a relative error; dim steps at most.

    |e_n|_A <= 2 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^n |e_0|_A. Source: J. Shewchuk, An
    Introduction to the Conjugate Gradient Method (1994), equation 52.
    """
    root = math.sqrt(spectrum.condition)
    if root <= 1 or not 0 < error < 2:
        return 1
    return min(dim, math.ceil(math.log(2 / error) / math.log((root + 1) / (root - 1))))
