"""A linear circuit: its exact law, its power, its system for the engine, its deck for SPICE."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import require_untraced
from .._component import AbstractComponent, Numbers, finite, known
from ..estimate import Estimate
from ..linear import OrnsteinUhlenbeck
from ..protocol import AbstractProtocol, Constant
from ..system import Bath, Overdamped, Underdamped
from .arguments import as_matrix, each_node
from .energy import SourcedEnergy
from .spice import deck
from .units import BOLTZMANN


class Equations(NamedTuple):
    """A dx = -(B x + K phi - source) dt + noise, d phi = x dt; K is None for a first order."""

    inertia: Float[Array, "dim dim"]
    dissipation: Float[Array, "dim dim"]
    spring: Float[Array, "dim dim"] | None


class Power(eqx.Module):
    """The mean power of a circuit, in watts, each a scalar.

    - `source`: what its sources of current or voltage deliver.
    - `injected`: what its noise sources deliver, tr(A^-1 S) / 2 whatever the state is.
    - `heat`: what its resistors give to their surroundings at T, less what they get from there as
      Johnson noise.
    """

    source: Float[Array, ""]
    injected: Float[Array, ""]
    heat: Float[Array, ""]


class Flows(eqx.Module):
    """The energy that a run has moved, in joules, as means over its paths, each a scalar.

    - `work`: of the sources, with the shadow work of the time steps.
    - `injected`: of the noise sources, exactly.
    - `heat`: given to the surroundings at T. The energy of the circuit has grown by
      work + injected - heat.
    """

    work: Estimate
    injected: Float[Array, ""]
    heat: Estimate


class AbstractCircuit(AbstractComponent):
    r"""The base class of linear circuits with one unknown x per node or loop.

        A dx = -(B x + K phi - source) dt + (2 k_B T B + S)^(1/2) dW,    d phi = x dt.

    A node: x its voltage, A capacitances, B conductances, K inverse inductances. A loop: x its
    current, A inductances, B resistances. All in SI units; densities S are two-sided, one for each
    x, `(dim,)`.
    """

    temperature: eqx.AbstractVar[Float[Array, ""]]
    noise: eqx.AbstractVar[Float[Array, " dim"]]
    source: eqx.AbstractVar[Float[Array, " dim"]]

    @abc.abstractmethod
    def equations(self) -> Equations:
        """The matrices A, B and K, `(dim, dim)` each."""

    @abc.abstractmethod
    def coordinates(self) -> tuple[Array, Array]:
        """T, `(dim, dim)`, and friction `(dim,)`: the engine moves y with A x = T y (first order)
        or phi = T y (second), in which its friction is diagonal.
        """

    @abc.abstractmethod
    def cards(self, initial: np.ndarray | None, step: float | None, excite: int | None):
        """The lines of the elements for SPICE, a list of texts."""

    @property
    def dim(self) -> int:
        """The number of nodes or loops."""
        return self.source.shape[0]

    @property
    def thermal_energy(self) -> Float[Array, ""]:
        """k_B T, joule: a number."""
        return BOLTZMANN * self.temperature

    @property
    def process(self) -> OrnsteinUhlenbeck:
        """The motion as a linear process, whose laws and paths are exact.

        Its state is x `(dim,)`, voltages or currents; of a second order (phi, x) `(2 dim,)`.
        """
        a, b, k = self.equations()
        noise = 2 * self.thermal_energy * b + jnp.diag(self.noise)
        half = jnp.linalg.solve(a, noise)
        diffusion = jnp.linalg.solve(a, half.T)
        diffusion = (diffusion + diffusion.T) / 2
        rate = jnp.linalg.solve(a, b)
        if k is None:
            return OrnsteinUhlenbeck(rate, jnp.linalg.solve(b, self.source), diffusion)
        zero = jnp.zeros_like(a)
        drift = jnp.block(
            [[zero, -jnp.eye(self.dim, dtype=a.dtype)], [jnp.linalg.solve(a, k), rate]]
        )
        shift = jnp.concatenate([jnp.linalg.solve(k, self.source), zero[0]])
        return OrnsteinUhlenbeck(drift, shift, jnp.block([[zero, zero], [zero, diffusion]]))

    def stationary(self) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]]:
        """The mean and the covariance of x at rest: volts and volts^2, or amperes and amperes^2.

        **Returns:** `(dim,)` and `(dim, dim)`. Cost: as `tj.OrnsteinUhlenbeck.stationary`.
        """
        mean, covariance = self.process.stationary()
        return mean[-self.dim :], covariance[-self.dim :, -self.dim :]

    def spectrum(self, frequency: Numbers) -> Float[Array, "*frequencies dim"]:
        """The noise of every x per hertz: one-sided, as `.noise` of SPICE (which shows its root).

        **Arguments:** `frequency`, Hz, a number or `(frequencies,)`.

        **Returns:** V^2 / Hz or A^2 / Hz, `(dim,)` or `(frequencies, dim)`.
        """
        density = self.process.spectrum(frequency)
        return 2 * jnp.real(jnp.diagonal(density, axis1=-2, axis2=-1))[..., -self.dim :]

    def time_constants(self) -> Float[Array, " modes"]:
        """The times in which disturbances die out, s: 1 / Re of every rate, the longest first.

        **Returns:** `(dim,)`, or `(2 dim,)` for a second order. Numbers only, outside of jit.
        """
        require_untraced("time_constants", circuit=self)
        rates = np.linalg.eigvals(np.asarray(self.process.drift, np.float64))
        return jnp.asarray(np.sort(1 / np.real(rates))[::-1])

    def power(self, mean: Numbers | None = None, covariance: Numbers | None = None) -> Power:
        r"""The power that goes in and out, of a law of x; at rest where none is given.

        Sources deliver <source . x>, noise sources tr(A^-1 S) / 2, and resistors give the heat
        <x . B x> - k_B T tr(A^-1 B), which is none where Johnson noise is all that moves them.

        **Arguments:** `mean`, `(dim,)`, and `covariance`, `(dim, dim)`, of x.

        **Returns:** a `Power`, in watts. **Raises:** ValueError for shapes that do not fit.
        """
        if (mean is None) != (covariance is None):
            raise ValueError("mean and covariance: expected both, or neither for the law at rest")
        if mean is None or covariance is None:
            m, c = self.stationary()
        else:
            m = each_node("mean", mean, self.dim, signed=True)
            c = as_matrix("covariance", covariance, self.dim, definite=False)
        a, b, _ = self.equations()
        source, injected = self.source @ m, 0.5 * jnp.sum(self.noise * inverse_diagonal(a))
        heat = jnp.sum(b * c) - self.thermal_energy * jnp.trace(jnp.linalg.solve(a, b))
        return Power(source, injected, heat + m @ b @ m)

    def stored(self, x: Numbers, flux: Numbers | None = None) -> Float[Array, "..."]:
        """The energy in the elements, joule: x . A x / 2, and phi . K phi / 2 where there is K.

        **Arguments:** `x`, `(..., dim)`, as `read` returns it; `flux`, phi alike, Wb.

        **Returns:** `(...)`.
        """
        a, _, k = self.equations()
        x = self.rows("x", x)
        energy = 0.5 * jnp.sum(x @ a * x, -1)
        if flux is None:
            return energy
        if k is None:
            raise ValueError("flux: expected None, for this circuit has no inductors at its nodes")
        flux = self.rows("flux", flux)
        return energy + 0.5 * jnp.sum(flux @ k * flux, -1)

    def rows(self, name: str, value):
        array = finite(name, value)
        if array.ndim == 0 or array.shape[-1] != self.dim:
            raise ValueError(f"{name} has shape {array.shape}: expected (..., {self.dim})")
        return array

    def system(self, protocol: AbstractProtocol | None = None) -> Overdamped | Underdamped:
        r"""The circuit as a system of the engine: its ledger is in joules, its time in seconds.

        The protocol is the value of the sources through time, A (V), `(dim,)`; as they are,
        for one second, where it is left out. Injected noise whose density is proportional to B,
        S = s B, joins the bath, k_B T + s / 2: then `flows` separates its energy from the heat.

        **Returns:** a `tj.Overdamped`, or a `tj.Underdamped` with the mass 1 for a second order;
        `read` turns its states into voltages and currents.

        **Raises:** ValueError for injected noise that is not like a temperature: such a circuit
        obeys no Boltzmann law of its energy.
        """
        transform, friction = self.coordinates()
        a, b, k = self.equations()
        temperature = self.thermal_energy + 0.5 * self.noise_per_dissipation()
        protocol = Constant(self.source) if protocol is None else protocol
        bath = Bath(temperature, friction)
        if k is not None:
            energy = SourcedEnergy(congruent(transform, k), transform.T)
            return Underdamped(energy, protocol, bath)
        stiffness = transform.T @ jnp.linalg.solve(a, transform)
        pull = jnp.linalg.solve(b, transform).T  # of the voltages that sources and resistors make
        return Overdamped(SourcedEnergy((stiffness + stiffness.T) / 2, pull), protocol, bath)

    def noise_per_dissipation(self) -> Float[Array, ""]:
        """s of injected noise S = s B, 0 without any. **Raises:** ValueError for another S."""
        noise = known(self.noise)
        if noise is not None and not np.any(noise):
            return jnp.zeros_like(self.temperature)
        require_untraced("a system with injected noise", circuit=self)
        assert noise is not None  # or it would be traced
        b = np.asarray(self.equations().dissipation, np.float64)
        ratio = float(np.mean(noise / np.diagonal(b)))
        off = np.max(np.abs(np.diag(noise) - ratio * b)) / np.max(np.abs(ratio * b))
        if off > 1e3 * np.finfo(noise.dtype).eps:
            raise ValueError(
                "noise is not in proportion to the matrix of the resistors, so that it is no "
                "temperature, and the law is not that of the energy: take circuit.process, which "
                "is exact for any noise"
            )
        return jnp.asarray(ratio, self.temperature.dtype)

    def read(self, state: Any) -> Float[Array, "*batch dim"]:
        """The voltages (currents) of a `tj.State`, a `tj.Result` or a `tj.Chain` of the system.

        **Returns:** `(batch, dim)`, V or A.
        """
        transform, _ = self.coordinates()
        a, _, k = self.equations()
        if k is not None:  # d phi / dt = T dy / dt, and the mass is 1
            return member(state, "momentum") @ transform.T
        return member(state, "position") @ jnp.linalg.solve(a, transform).T

    def flux(self, state: Any) -> Float[Array, "*batch dim"]:
        """The flux phi of the inductors at every node, V s, of a state as `read` takes it.

        **Returns:** `(batch, dim)`. **Raises:** ValueError for a circuit without such inductors.
        """
        if self.equations().spring is None:
            raise ValueError(f"{type(self).__name__} has no inductors at its nodes, and no flux")
        return member(state, "position") @ self.coordinates()[0].T

    def flows(self, result: Any, duration: Numbers) -> Flows:
        """The energies of a run of `system`: work, injected noise, and heat at T.

        The heat of the engine's ledger is net of injected noise, whose mean energy is known.

        **Arguments:** `result`, of `tj.simulate`; `duration`, s, of its protocol.

        **Returns:** a `Flows`, in joules.
        """
        ledger = member(result, "ledger")
        injected = self.power().injected * finite("duration", duration)
        work = result.mean(ledger.work + ledger.shadow_work + ledger.kick_work)
        heat = result.mean(ledger.heat)
        return Flows(work, injected, Estimate(heat.value + injected, heat.error, heat.count))

    def netlist(
        self,
        *commands: str,
        initial: Numbers | None = None,
        noise_step: float | None = None,
        excite: int | None = None,
    ) -> str:
        """The circuit as a SPICE deck, at its temperature.

        **Arguments:** `commands`, lines such as `".tran 1n 10u uic"`; `initial`, `(dim,)`: x at the
        start, for `uic`; `noise_step`, s: all noise, that of resistors too, is drawn anew in such
        steps (`trnoise` of ngspice), a hundredth of the shortest time constant or less; without it
        resistors are noisy in `.noise` alone. `excite`: the source, counted from 0, that has the
        amplitude 1 in `.ac`.

        **Returns:** a text. Nodes are `n1`, `n2`, ...; loops have inductors `L1`, `L2`, ...

        **Raises:** ValueError for matrices that no positive elements have.
        """
        require_untraced("a netlist", circuit=self)
        return deck(self, commands, initial, noise_step, excite)


def inverse_diagonal(matrix):
    """The diagonal of the inverse."""
    return jnp.diagonal(jnp.linalg.inv(matrix))


def congruent(transform, matrix):
    """T^T M T."""
    product = transform.T @ matrix @ transform
    return (product + product.T) / 2


def member(state, name: str):
    """A member of a state. **Raises:** ValueError for what has none."""
    found = getattr(state, name, None)
    if found is None:
        raise ValueError(
            f"state is a {type(state).__name__}: expected a tj.State, a tj.Result or a tj.Chain of "
            "the circuit's system"
        )
    return found
