"""Driven inversion: the device is steered to its answer in a given time, not waited for."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..._arguments import choice, instance, real, whole
from ..._component import Numbers, finite, positive
from ..._keys import check_key
from ..._tree import cast
from ...bounds import Normal, dissipation
from ...distribution import Moments, moments
from ...protocol import AbstractProtocol
from ...sampling import simulate
from ...system import Bath, Overdamped
from ..device.answer import Answer, DeviceTime, digital_products, energy_of
from ..device.device import device_for
from ..device.exact import Modes, modes_of
from ..device.operator import entries, operator_of, require_known
from ..device.spectrum import Spectrum
from .energy_delay import laws_of
from .steering import (
    ModeSprings,
    SharesOfMode,
    Transport,
    TransportOfMode,
    checked_shares,
    ramp,
    shares_system,
    waiting,
)

STEERINGS = ("waiting", "ramp", "transport")


class Driven(eqx.Module):
    """A device that is steered to its answer, and its exact law on the way.

    - `system`: a `tj.Overdamped`, to be simulated as any other.
    - `law`: `tj.Moments` through time, its ledger with the jumps at both ends.
    - `target`: the law it should end with, a `tj.bounds.Normal`; `start`, that of the idle device.
    - `b`, None where only the covariance is asked for; `spectrum` of A.
    """

    system: Overdamped
    law: Moments
    start: Normal
    target: Normal
    b: Float[Array, " dim"] | None
    spectrum: Spectrum

    @property
    def duration(self) -> float:
        return float(self.system.protocol.duration)

    @property
    def work(self) -> float:
        """The mean work of the protocol, until the couplings of A are there."""
        return float(self.law.ledger.work[-1])

    @property
    def heat(self) -> float:
        """The mean heat given to the bath until then."""
        return float(self.law.ledger.heat[-1])

    @property
    def free_energy(self) -> float:
        """F_eq of the coupled device less that of the idle one: the work of infinite time."""
        kt = self.system.bath.temperature
        values = self.spectrum.values
        spread = 0.5 * kt * float(np.sum(np.log(np.asarray(values) / self.spectrum.high)))
        b = jnp.zeros_like(self.target.mean) if self.b is None else self.b
        return float(spread - 0.5 * b @ self.target.mean)

    @property
    def dissipation(self) -> float:
        """kT Sigma, of system and bath within the duration."""
        kt = self.system.bath.temperature
        return float(kt * self.law.ledger.entropy_production[-1])

    @property
    def deficiency(self) -> float:
        """F[rho_tau] - F_eq = kT KL(rho_tau || target): what the final law lacks, an energy."""
        return float(self.system.bath.temperature * self.law.ledger.divergence[-1])

    @property
    def end(self) -> Normal:
        """The law at the end."""
        return Normal(self.law.mean[-1], self.law.covariance[-1])

    @property
    def bound(self) -> float:
        """gamma W_2^2 / tau between the start and the ACTUAL end: no dissipation is less."""
        return float(dissipation(self.system, self.start, self.end))

    @property
    def bias(self) -> float:
        """The relative error of the answer that remains after any number of trajectories.

        Of the mean position for a given b, of the second moment in the norm of Frobenius else.
        """
        wanted = self.target.covariance if self.b is None else self.target.mean
        size = jnp.max(jnp.abs(wanted))  # no square of it is rounded to zero
        return float(jnp.linalg.norm(self.off / size) / jnp.linalg.norm(wanted / size))

    @property
    def off(self) -> Array:
        """The difference of the final law from its target, entry by entry.

        Of the mean position for a given b, of the covariance else.
        """
        if self.b is not None:
            return self.law.mean[-1] - self.target.mean
        return self.law.covariance[-1] - self.target.covariance

    def __str__(self):
        relaxations = self.duration * self.spectrum.low / float(self.system.bath.friction)
        return (
            f"in {relaxations:.4g} relaxation times: work {self.work:.4g}, heat {self.heat:.4g}, "
            f"free energy {self.free_energy:.4g};\ndissipation {self.dissipation:.4g}, at least "
            f"{self.bound:.4g} between these laws; deficiency {self.deficiency:.3g}, error of the "
            f"answer {100 * self.bias:.2g} %"
        )

    def read(
        self,
        key: PRNGKeyArray,
        *,
        trajectories: int,
        dt: float | None = None,
        idle_power: float = 0.0,
    ) -> Answer:
        """The answer of so many devices, each steered once and read at the end: A^-1 b or A^-1.

        **Arguments:** `key`; `dt`, the time step of the simulation, a twentieth of the time of the
        stiffest mode when left out; `idle_power`, that a device draws whatever it does.

        **Returns:** a `tj.linalg.Answer`. Its error has the scatter of the devices, which more of
        them lessen, and its `bias`, what the final law is off by, which a longer duration lessens.
        """
        check_key(key)
        trajectories = whole("trajectories", trajectories, 2, "devices side by side")
        if dt is None:
            dt = 0.05 * float(self.system.bath.friction) / stiffest(self.system, self.spectrum.high)
        real("dt", dt, "a positive time step", positive)
        real("idle_power", idle_power, "a power, 0 or more", lambda p: p >= 0)
        out = simulate(self.system, key, dt=dt, batch=trajectories)
        x, kt = out.position, self.system.bath.temperature
        found = out.mean(x if self.b is not None else x[:, :, None] * x[:, None, :] / kt)
        energy = jax.vmap(self.system.potential.energy, in_axes=(0, None))
        protocol = self.system.protocol
        let_go = energy(x, protocol.initial) - energy(x, protocol.final)
        time = DeviceTime(
            0.0, self.duration * self.spectrum.low / float(self.system.bath.friction),
            float(self.system.bath.friction) / self.spectrum.low,
        )  # fmt: skip
        steps = int(np.ceil(self.duration / dt * (1 - 1e-9)))
        bias = self.off if self.b is not None else self.off / kt
        error = jnp.hypot(jnp.asarray(found.error), bias)
        relative = float(jnp.linalg.norm(error) / jnp.linalg.norm(found.value))
        columns = 1 if self.b is not None else x.shape[1]
        transported = isinstance(self.system.potential, ModeSprings)
        return Answer(
            jnp.asarray(found.value),
            error,
            trajectories,
            time,
            energy_of(out.ledger.total_work + let_go, out.ledger.heat, time, idle_power),
            trajectories * (steps + 3) * (2 if transported else 1),
            columns * digital_products(self.spectrum, relative, x.shape[1]),
            transported,
            bias=bias,
        )


def stiffest(system: Overdamped, high: float) -> float:
    """The largest stiffness that any mode has on the way."""
    if not isinstance(system.potential, ModeSprings):
        return high
    times = jnp.linspace(0, 1, 65) * system.protocol.duration
    return max(high, float(jnp.max(jnp.abs(jax.vmap(system.protocol)(times)[:, 0]))))


def driven(
    A: Any,
    b: Numbers | None = None,
    *,
    duration: float,
    steering: str | AbstractProtocol = "ramp",
    deficiency: float | None = None,
    bath: Bath | None = None,
    times: int = 2,
) -> Driven:
    r"""A device steered from idle to N(A^-1 b, kT A^-1) within a duration, and its exact law.

    Idle, every coordinate rests on a spring of the largest eigenvalue of A. What the driver of the
    couplings must know of A differs:

    - `"waiting"`: they are there at once; the device relaxes. A alone.
    - `"ramp"`: springs fade, couplings and b grow in proportion to time. A alone.
    - `"transport"`: every mode is carried along the geodesic of W_2 to its end, which dissipates
      gamma W_2^2 / tau, the least of all. An author who knows the answer: springs are set mode by
      mode. They may be negative on the way.
    - a protocol of controls `(3,)` from (1, 0, 0) to (0, 1, 1): the shares of the springs of their
      own, of the couplings, and of b, such as `tj.linalg.trained_steering` finds. A alone.

    **Arguments:**

    - `A`, a symmetric positive definite matrix `(dim, dim)`; `b`, `(dim,)`, zero when left out.
    - `duration`: the delay, in the unit of friction / stiffness.
    - `deficiency`: an energy, of "transport" alone: it goes no further than to the nearest law
      which lacks so much, see `tj.linalg.energy_delay`; to the target itself when left out.
    - `bath`: constant. `times`: how many of the law, evenly spaced, with both ends.

    **Returns:** a `Driven`: work, heat, dissipation kT Sigma, deficiency and its law;
    `.read(key, trajectories=...)` is the answer with its bill.

    **Raises:** ValueError for a matrix that is not symmetric positive definite or known by its
    products alone (the exact law needs its modes), a duration that is not positive, a steering that
    does not exist, and equations that are too stiff to be integrated.

    **Cost:** one eigendecomposition, and the moment equations of `dim` single modes.

    **Source:** the geodesic: E. Aurell, C. Mejia-Monasterio, P. Muratore-Ginanneschi, Phys. Rev.
    Lett. 106, 250601 (2011). Driven inversion: A. Rolandi et al., arXiv:2601.04358 (its abstract).
    """
    if not isinstance(steering, AbstractProtocol):
        choice("steering", steering, STEERINGS)
    real("duration", duration, "a positive time", positive)
    times = whole("times", times, 2)
    if deficiency is not None:
        real("deficiency", deficiency, "an energy, 0 or more, or None", lambda x: x >= 0)
        if steering != "transport":
            raise ValueError("deficiency is what steering='transport' may leave: leave it out")
    if bath is not None:
        instance("bath", bath, Bath, "a tj.Bath(...), or None for the default")
    require_known(A=A, b=b, duration=duration, deficiency=deficiency, bath=bath, steering=steering)
    given = None if b is None else jnp.atleast_1d(finite("b", b))
    operator = operator_of(A, given)
    modes = modes_of(entries(operator, "driven", has_steps=False))
    device, dtype = device_for(modes.spectrum, "overdamped", bath), modes.values.dtype
    surroundings = cast(device.bath, dtype)
    force = jnp.zeros_like(modes.values) if given is None else given.astype(dtype)
    rest, length = (jnp.asarray(x, dtype) for x in (device.rest, duration))
    if steering == "transport":
        protocol = transport_of(modes, force, rest, length, surroundings, deficiency)
        system = Overdamped(ModeSprings(modes.vectors), protocol, surroundings)
        build = TransportOfMode(surroundings)
        each = per_mode(protocol), jnp.ones((len(force), 1, 1), dtype)
    else:
        if isinstance(steering, AbstractProtocol):
            protocol = checked_shares(steering, length)
        else:
            protocol = {"waiting": waiting, "ramp": ramp}[steering](length)
        protocol = cast(protocol, dtype)
        system = shares_system(operator, force, rest, protocol, surroundings)
        build = SharesOfMode(rest, protocol, surroundings)
        each = modes.values, modes.vectors.T @ force
    law = joined(laws_of_modes(build, each, times), modes)
    if not np.all(np.isfinite(np.asarray(law.ledger.work))):
        raise ValueError(
            f"duration = {float(duration):.3g}: the moment equations are too stiff to be followed "
            f"for so long, {float(duration * device.rest / surroundings.friction):.2g} relaxation "
            "times of the stiffest mode; take a shorter one, or a better conditioned matrix"
        )
    kt = surroundings.temperature
    target = (modes.vectors * (kt / modes.values)) @ modes.vectors.T
    center = modes.vectors @ ((modes.vectors.T @ force) / modes.values)
    start = Normal(jnp.zeros_like(force), kt / rest)
    return Driven(system, law, start, Normal(center, target), given, modes.spectrum)


def transport_of(modes: Modes, b, rest, duration, bath: Bath, deficiency) -> Transport:
    """The geodesic to the target, or to the nearest law that lacks no more than a deficiency."""
    laws = laws_of(modes, b, rest, bath)
    width, mean = laws.at_deficiency(np.asarray(0.0 if deficiency is None else deficiency))
    numbers = laws.values, laws.along, width / laws.start - 1, mean, laws.kt, laws.friction
    return Transport(duration, rest, *(jnp.asarray(x, modes.values.dtype) for x in numbers))


def per_mode(protocol: Transport) -> Transport:
    """One `Transport` of a single mode for each, along the first axis of all its arrays."""
    count = len(protocol.values)
    split = lambda x: x[:, None] if x.ndim else jnp.full((count,), x)
    return jax.tree.map(split, protocol)


@eqx.filter_jit
def laws_of_modes(build, each, times) -> Moments:
    """The law and the ledger of every mode."""
    return eqx.filter_vmap(lambda mode: moments(build(mode), times))(each)


@jax.jit
def joined(laws: Moments, modes: Modes) -> Moments:
    """The law of all coordinates from those of the modes, which are independent."""
    v = modes.vectors
    mean = jnp.einsum("dm,mt->td", v, laws.mean[..., 0])
    covariance = jnp.einsum("dm,mt,em->tde", v, laws.covariance[..., 0, 0], v)
    ledger = jax.tree.map(lambda x: jnp.sum(x, axis=0), laws.ledger)
    ledger = eqx.tree_at(lambda x: x.times, ledger, laws.ledger.times[0])
    return Moments(mean, covariance, ledger)
