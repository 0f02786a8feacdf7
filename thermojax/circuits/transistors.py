"""A differential pair of bipolar transistors: tanh from physics, and what it draws."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import Numbers, Positive, finite
from .arguments import known_number
from .spice import written
from .units import CHARGE, kelvin, thermal_voltage


class TransistorPair(eqx.Module):
    r"""Two transistors that share a current: i_1 - i_2 = alpha I tanh(v / 2 V_T), V_T = k_B T / q.

    alpha = beta / (beta + 1). The pair draws I times the supply, whatever v is, and its currents
    are noisy: shot noise of the difference, q I / cosh^2(v / 2 V_T), two-sided, for a quiet I.

    **Arguments:** `bias` I, A; `supply`, V, from rail to rail; `temperature`, K; `gain` beta.

    **Raises:** ValueError unless all are positive.
    """

    bias: float = eqx.field(static=True)
    supply: float = eqx.field(static=True)
    temperature: float = eqx.field(static=True)
    gain: float = eqx.field(static=True)

    def __init__(
        self,
        bias: Positive = 1e-6,
        supply: Positive = 3.0,
        temperature: Positive = 300.0,
        gain: Positive = math.inf,
    ):
        caller = "tj.circuits.TransistorPair"
        self.bias = known_number(caller, "bias", bias, "a positive current in amperes")
        self.supply = known_number(caller, "supply", supply, "a positive voltage")
        self.temperature = kelvin(temperature)
        endless = lambda x: x > 0  # or infinite
        self.gain = known_number(caller, "gain", gain, "a positive current gain", endless)

    @property
    def largest(self) -> float:
        """alpha I, A."""
        return self.bias / (1 + 1 / self.gain)

    @property
    def power(self) -> float:
        """The power that the pair draws, W."""
        return self.bias * self.supply

    def current(self, voltage: Numbers) -> Float[Array, "..."]:
        """The difference of the collector currents.

        **Arguments:** `voltage`, of one base less the other, V, `(...)`. **Returns:** A, `(...)`.
        """
        v = finite("voltage", voltage)
        return self.largest * jnp.tanh(v / (2 * thermal_voltage(self.temperature)))

    def content(self, voltage: Numbers) -> Float[Array, "..."]:
        """The integral of `current`, 2 alpha I V_T ln cosh(v / 2 V_T): W, `(...)`."""
        thermal = thermal_voltage(self.temperature)
        z = jnp.abs(finite("voltage", voltage)) / thermal
        # ln cosh(z / 2) without overflow
        return 2 * self.largest * thermal * (z / 2 + jax.nn.softplus(-z) - math.log(2))

    def shot_noise(self, voltage: Numbers) -> Float[Array, "..."]:
        """The two-sided density of the difference, without base currents: A^2 / Hz, `(...)`."""
        v = finite("voltage", voltage)
        slope = 1 / jnp.cosh(v / (2 * thermal_voltage(self.temperature)))
        return CHARGE * self.bias * slope**2

    def netlist(self, *commands: str) -> str:
        """The pair as a SPICE deck: source `VIN` between the bases, meters `VC1` and `VC2`.

        **Arguments:** `commands`, lines such as `".dc VIN -0.1 0.1 1m"`. **Returns:** a text, for
        the transistor model of Gummel and Poon with this gain and a saturation current of 1e-16 A.
        """
        gain = min(self.gain, 1e9)
        return written(
            "differential pair of thermojax",
            self.temperature,
            [
                f"VP p 0 DC {self.supply / 2:.9g}",
                f"VM m 0 DC {-self.supply / 2:.9g}",
                "VIN in 0 DC 0 AC 1",
                "E1 b1 0 in 0 0.5",
                "E2 b2 0 in 0 -0.5",
                "VC1 p c1 DC 0",
                "VC2 p c2 DC 0",
                "Q1 c1 b1 e PAIR",
                "Q2 c2 b2 e PAIR",
                f"IT e m DC {self.bias:.9g}",
                f".model PAIR NPN(IS=1e-16 BF={gain:.9g})",
                *commands,
            ],
        )
