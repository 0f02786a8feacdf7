"""The posterior of a Gaussian prior and a Gaussian likelihood, as currents in inductors."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import require_untraced
from .._component import Numbers, Positive, finite
from .arguments import as_matrix, each_node, known_number
from .branches import branches, matrix_of
from .circuit import Power
from .networks import RL
from .program import dominant_scaling, in_pairs
from .spice import drawn_anew, resistors, source_of, written
from .units import BOLTZMANN


class GaussianPosterior(eqx.Module):
    r"""Inductors between two networks of resistors, one for the prior, one for the likelihood.

        l di = -(R (i - i_0) + R' (i - i')) dt + (2 k_B T (R + R') + S)^(1/2) dW

    Each current flows out of a node of the network R, where a source brings the prior mean i_0,
    through an inductor l and a noise voltage S, into a node of the network R', where a source takes
    the data i' out. With R = rho Sigma_prior^-1, R' = rho Sigma_likelihood^-1 the currents have the
    posterior law of theta, in the unit (S / (2 l rho))^(1/2), and k_B T / l besides.

    As conductances both networks are covariances: elements are positive for those that one scaling
    makes diagonally dominant. Where entries off the diagonal are positive, every parameter is a
    pair of opposite currents, and such couplings are crosswise.

    **Arguments:** `prior_mean` and `data`, `(dim,)`; `prior_covariance` and
    `likelihood_covariance`, `(dim, dim)`, `(dim,)` or numbers; `inductance` l, H; `resistance`, of
    the smallest resistor, ohm; `unit`, the largest current for a theta of 1, A; `temperature`, K.

    **Raises:** ValueError for shapes that disagree, matrices that are not positive definite, and
    covariances that have no positive elements.

    **Source:** M. Aifer et al., Thermodynamic Bayesian inference, arXiv:2410.01793 (2024), whose
    parameters are the currents of inductors, whose data are current sources.
    """

    circuit: RL  # the same loops, with one network and sources of voltage
    prior_conductance: Float[Array, "loops loops"]
    likelihood_conductance: Float[Array, "loops loops"]
    prior_current: Float[Array, " loops"]
    data_current: Float[Array, " loops"]
    readout: Float[Array, "dim loops"]
    gains: Float[Array, " dim"]  # theta per ampere
    excess: Float[Array, " dim"]  # what Johnson noise adds to each variance of theta

    def __init__(
        self,
        prior_mean: Numbers,
        prior_covariance: Numbers,
        likelihood_covariance: Numbers,
        data: Numbers,
        *,
        inductance: Positive = 1e-6,
        resistance: Positive = 1e3,
        unit: Positive = 1e-3,
        temperature: Positive = 300.0,
    ):
        given = {"prior_mean": prior_mean, "prior_covariance": prior_covariance,
                 "likelihood_covariance": likelihood_covariance, "data": data}  # fmt: skip
        require_untraced("tj.circuits.GaussianPosterior", **given)
        mean = finite("prior_mean", prior_mean)
        if mean.ndim != 1 or mean.size == 0:
            raise ValueError(f"prior_mean has shape {mean.shape}: expected (dim,)")
        dim = len(mean)
        covariances = [
            np.asarray(as_matrix(name, given[name], dim), np.float64)
            for name in ("prior_covariance", "likelihood_covariance")
        ]
        data = each_node("data", data, dim, signed=True)
        henry, ohm, ampere, kelvin = (
            known_number("tj.circuits.GaussianPosterior", name, value, f"a positive {name}")
            for name, value in (("inductance", inductance), ("resistance", resistance),
                                ("unit", unit), ("temperature", temperature))
        )  # fmt: skip

        scaling = dominant_scaling(*covariances)
        scaled = [scaling[:, None] * (c + c.T) / 2 * scaling for c in covariances]
        pairs = any(np.any(np.triu(c, 1) > 0) for c in scaled)
        readout = np.hstack([np.eye(dim), -np.eye(dim)]) / 2 if pairs else np.eye(dim)
        networks = [in_pairs(c) if pairs else c for c in scaled]
        found = [branches(c, "covariance", "conductance") for c in networks]
        rho = ohm * max(x.value for elements in found for x in elements)
        prior, likelihood = (matrix_of(elements, len(networks[0])) / rho for elements in found)
        with np.errstate(over="ignore"):
            density = (4 if pairs else 2) * henry * rho * np.square(ampere)
        if not np.isfinite(density):
            raise ValueError(f"unit = {ampere:g} is out of the range of numbers: expected amperes")
        carried = np.sign(readout.T) * scaling * ampere  # currents for theta
        self.prior_conductance, self.likelihood_conductance = map(jnp.asarray, (prior, likelihood))
        self.prior_current, self.data_current = (jnp.asarray(carried @ x) for x in (mean, data))
        r, r_data = np.linalg.inv(prior), np.linalg.inv(likelihood)
        source = r @ self.prior_current + r_data @ self.data_current
        total = (r + r_data + (r + r_data).T) / 2
        self.circuit = RL(henry, total, noise=density, source=source, temperature=kelvin)
        self.readout, self.gains = jnp.asarray(readout), jnp.asarray(1 / (scaling * ampere))
        johnson = BOLTZMANN * kelvin / henry / (2 if pairs else 1)
        self.excess = johnson * self.gains**2

    def decode(self, currents: Numbers) -> Float[Array, "... dim"]:
        """The parameters theta that currents stand for.

        **Arguments:** `currents`, `(..., loops)`, A. **Returns:** `(..., dim)`.
        """
        i = self.circuit.rows("currents", currents)
        return self.gains * (i @ self.readout.T)

    def law(self) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]]:
        """The mean and the covariance of theta at rest, Johnson noise included.

        **Returns:** `(dim,)` and `(dim, dim)`; the posterior's is this less `excess` on the
        diagonal.
        """
        mean, covariance = self.circuit.stationary()
        read = self.gains[:, None] * self.readout
        return read @ mean, read @ covariance @ read.T

    def power(self) -> Power:
        """The power at rest: of the current sources, of the noise, and the heat in all resistors.

        **Returns:** a `Power`, W; heat is source + injected.
        """
        mean, covariance = self.circuit.stationary()
        injected = self.circuit.power().injected
        r, r_data = (jnp.linalg.inv(g) for g in self.networks())
        at_prior, at_data = mean - self.prior_current, mean - self.data_current
        johnson = (
            self.circuit.thermal_energy * jnp.trace(r + r_data) / self.circuit.inductance[0, 0]
        )
        heat = jnp.sum((r + r_data) * covariance) - johnson
        heat = heat + at_prior @ r @ at_prior + at_data @ r_data @ at_data
        source = -self.prior_current @ r @ at_prior - self.data_current @ r_data @ at_data
        return Power(source, injected, heat)

    def networks(self):
        """Both matrices of conductances, S, of the prior and of the likelihood."""
        return self.prior_conductance, self.likelihood_conductance

    def netlist(self, *commands: str, noise_step: float | None = None) -> str:
        """The circuit as a SPICE deck, as `tj.circuits.RL.netlist` without arguments for its loops.

        **Arguments:** `commands`, lines; `noise_step`, s, of `trnoise` sources.

        **Returns:** a text. The first nodes `n1`, ... are of the prior's network, the rest of the
        likelihood's; inductors are `L1`, `L2`, ...
        """
        require_untraced("a netlist", posterior=self)
        loops, circuit = self.circuit.dim, self.circuit
        zero = np.zeros((loops, loops))
        prior, likelihood = (np.asarray(g, np.float64) for g in self.networks())
        network = np.block([[prior, zero], [zero, likelihood]])
        lines = resistors(network, circuit.temperature, noise_step)
        for k in range(loops):
            size = 0.0 if noise_step is None else math.sqrt(float(circuit.noise[k]) / noise_step)
            far = f"n{loops + k + 1}"
            lines += [
                f"L{k + 1} n{k + 1} m{k + 1} {float(circuit.inductance[k, k]):.9g} ic=0",
                f"V{k + 1} m{k + 1} {far} DC 0{drawn_anew(size, noise_step)}",
                f"I{k + 1} 0 n{k + 1} {source_of(self.prior_current[k], 0.0, None, False)}",
                f"I{loops + k + 1} {far} 0 {source_of(self.data_current[k], 0.0, None, False)}",
            ]
        title = "Gaussian posterior circuit of thermojax"
        return written(title, circuit.temperature, [*lines, *commands])
