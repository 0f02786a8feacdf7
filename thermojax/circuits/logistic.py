"""Bayesian logistic regression by a circuit: a differential pair of transistors for each datum."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import real, require_untraced
from .._component import AbstractComponent, Numbers, Positive, finite, positive, require
from ..potential import AbstractPotential, LogisticRegression
from ..protocol import AbstractProtocol, Constant
from ..system import Bath, Overdamped
from .arguments import each_node
from .bill import Bill
from .circuit import Power
from .transistors import TransistorPair
from .units import BOLTZMANN, thermal_voltage


class PairContent(AbstractPotential):
    r"""The function that pulls the voltages of the cells, Psi(v) in W; C dv = -grad Psi dt + noise.

        Psi = sum_k g_k (v_k - m_k)^2 / 2 + control sum_n 2 I V_T ln [1 + exp(-s_n a_n . v / V_T)]

    The second sum is that of ln cosh, whose slope is the tanh of a pair, and of the constant
    currents s_n I a_n, s_n = 2 y_n - 1.

    **Arguments:** `conductance` g and `rest` m, `(dim,)`, S and V; `signed_weights` s_n a_n,
    `(rows, dim)`; `bias` I, A; `thermal` V_T, V.
    """

    conductance: Float[Array, " dim"]
    rest: Float[Array, " dim"]
    signed_weights: Float[Array, "rows dim"]
    bias: Float[Array, ""]
    thermal: Float[Array, ""]

    def energy(self, x, control):
        prior = 0.5 * jnp.sum(self.conductance * (x - self.rest) ** 2)
        data = jnp.sum(jax.nn.softplus(-(self.signed_weights @ x) / self.thermal))
        return prior + control * 2 * self.bias * self.thermal * data

    def template(self, control):
        return jnp.zeros_like(self.rest)


class LogisticPosterior(AbstractComponent):
    r"""Cells whose voltages sample the posterior of a logistic regression.

    A cell is a capacitor C with a resistor of the prior, 1 / g_k, to the prior mean, and a noise
    current. Of each datum there is a pair of transistors of bias I. Its input is a_n . v, a passive
    sum of voltages (sum_k |a_nk| <= 1); its output I tanh(a_n . v / 2 V_T) is taken from the cells
    in the same proportions, and a constant current puts (2 y_n - 1) I a_nk into them. With u, the
    volts per unit, and a_n = (V_T / u) x_n the law of theta = v / u is

        exp(-Psi(v) / Theta),    Theta = 2 I V_T,
        g_k = Theta / (u^2 var_k),    S_k = 2 C Theta - 2 k_B T g_k.

    Theta, in watts, has the place of k_B T: the law is that of injected noise. A device has pairs
    of nodes for weights of both signs; one of each is described here, its noise counted once.

    **Arguments:** `features` x, `(rows, dim)`; `labels` y, `(rows,)`, 0 or 1; `prior_variance`
    var and `prior_mean`, numbers or `(dim,)`; `capacitance` C, F; `pair`, a
    `tj.circuits.TransistorPair` with its bias, supply and temperature (1 uA, 3 V, 300 K where left
    out).

    **Raises:** ValueError for shapes that disagree, and resistors whose Johnson noise alone is more
    than the law has.

    **Source:** M. Aifer et al., Thermodynamic Bayesian inference, arXiv:2410.01793 (2024), which
    leaves the energy open.
    """

    features: Float[Array, "rows dim"]
    content: PairContent
    capacitance: Float[Array, ""]
    pair: TransistorPair
    noise: Float[Array, " dim"]
    volts_per_unit: Float[Array, ""]

    def __init__(
        self,
        features: Numbers,
        labels: Numbers,
        prior_variance: Positive = 1.0,
        prior_mean: Numbers = 0.0,
        *,
        capacitance: Positive = 1e-9,
        pair: TransistorPair | None = None,
    ):
        require_untraced("tj.circuits.LogisticPosterior", features=features, labels=labels,
                         prior_variance=prior_variance, prior_mean=prior_mean,
                         capacitance=capacitance)  # fmt: skip
        pair = TransistorPair() if pair is None else pair
        if not isinstance(pair, TransistorPair):
            raise ValueError(
                f"pair is a {type(pair).__name__}: expected a tj.circuits.TransistorPair"
            )
        likelihood = LogisticRegression(features, labels)  # which checks both
        self.features = finite("features", features)
        dim, self.pair = self.features.shape[1], pair
        thermal, bias = thermal_voltage(pair.temperature), pair.largest
        largest = float(np.max(np.sum(np.abs(np.asarray(self.features)), 1)))
        if largest == 0:
            raise ValueError("features are all 0: expected data that say something")
        unit, theta = thermal * largest, 2 * bias * thermal
        variance = each_node("prior_variance", prior_variance, dim)
        require("prior_variance", variance, positive, "positive variances")
        conductance = theta / (unit**2 * variance)
        rest = unit * each_node("prior_mean", prior_mean, dim, signed=True)
        weights = thermal / unit * likelihood.signed_features
        self.content = PairContent(
            conductance, rest, weights, jnp.asarray(bias), jnp.asarray(thermal)
        )
        farad = float(real("capacitance", capacitance, "a positive capacitance in farad", positive))
        johnson = 2 * BOLTZMANN * pair.temperature * conductance
        self.capacitance, self.volts_per_unit = jnp.asarray(farad), jnp.asarray(unit)
        self.noise = 2 * farad * theta - johnson
        if np.any(np.asarray(self.noise) < 0):
            least = float(np.max(johnson)) / (2 * theta)
            raise ValueError(
                "capacitance is too small for prior_variance: the Johnson noise of the resistors "
                f"alone exceeds the noise of the law; take more than {least:.2g} F"
            )

    @property
    def temperature(self) -> Float[Array, ""]:
        """Theta = 2 I V_T, W: a number."""
        return 2 * self.content.bias * self.content.thermal

    def system(self, protocol: AbstractProtocol | None = None) -> Overdamped:
        """The circuit as a system whose positions are voltages; energies of its ledger are watts.

        The control in [0, 1] multiplies bias and data currents: 0 is the prior, 1 the posterior.

        **Returns:** a `tj.Overdamped`; `protocol` is `tj.Constant(1.0)` for one second where left
        out.
        """
        protocol = Constant(1.0) if protocol is None else protocol
        return Overdamped(self.content, protocol, Bath(self.temperature, self.capacitance))

    def decode(self, voltages: Numbers) -> Float[Array, "... dim"]:
        """The weights theta that voltages stand for, `(..., dim)` of `(..., dim)`."""
        return finite("voltages", voltages) / self.volts_per_unit

    def relaxation(self) -> Float[Array, " dim"]:
        """The time constants of the prior's cells, C / g, s, `(dim,)`: data make them shorter."""
        return self.capacitance / self.content.conductance

    def power(self) -> Power:
        """The power at rest.

        - `source`: of the supply, for the bias of all pairs and for the data and prior currents.
        - `injected`: of the noise currents, sum_k S_k / (2 C), in any state.
        - `heat`: their sum.

        **Returns:** a `Power`, W. At Theta and supply given, both go with the bias current; the
        energy for one relaxation time, I C / g, does not.
        """
        rows = self.features.shape[0]
        constant = jnp.sum(jnp.abs(self.content.bias * jnp.sum(self.content.signed_weights, 0)))
        constant = constant + jnp.sum(jnp.abs(self.content.conductance * self.content.rest))
        source = self.pair.power * rows + self.pair.supply * constant
        injected = jnp.sum(self.noise) / (2 * self.capacitance)
        return Power(source, injected, source + injected)

    def shot_noise(self) -> Float[Array, " dim"]:
        """The most that shot noise of the pairs adds to the noise of each cell, as a share of it.

        **Returns:** `(dim,)`. It is left out of the law, and must be small.
        """
        most = self.pair.shot_noise(0.0) * jnp.sum(self.content.signed_weights**2, 0)
        return most / (2 * self.capacitance * self.temperature)

    def bill(self, time: float, **more) -> Bill:
        """The bill of a time, s, at rest; `more` goes to `tj.circuits.Bill`."""
        power = self.power()
        energies = {"bias": power.source, "injected": power.injected, "heat": power.heat}
        return Bill(
            time,
            temperature=self.pair.temperature,
            **{name: float(x) * float(time) for name, x in energies.items()},
            **more,
        )
