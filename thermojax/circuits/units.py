"""Physical constants in SI units, and the noise of a resistor."""

from __future__ import annotations

import math

from .._component import Positive
from .arguments import known_number

BOLTZMANN = 1.380649e-23  # J / K, exact since 2019
CHARGE = 1.602176634e-19  # C, exact since 2019
ZERO_CELSIUS = 273.15  # K


def kelvin(temperature: Positive) -> float:
    """A temperature in kelvin, known. **Raises:** ValueError unless it is positive."""
    expected = "a positive temperature in kelvin"
    return known_number("tj.circuits", "temperature", temperature, expected)


def johnson_noise(resistance: Positive, temperature: Positive = 300.0) -> float:
    r"""The voltage noise of a resistor at rest, sqrt(4 k_B T R): one-sided, as data sheets have it.

    **Arguments:** `resistance` R, ohm, and `temperature` T, kelvin: numbers.

    **Returns:** a number, V / sqrt(Hz); 4.07 nV / sqrt(Hz) for 1 kOhm at 300 K.

    **Raises:** ValueError unless both are positive.
    """
    expected = "a positive resistance in ohm"
    ohm = known_number("tj.circuits.johnson_noise", "resistance", resistance, expected)
    return math.sqrt(4 * BOLTZMANN * kelvin(temperature) * ohm)


def thermal_voltage(temperature: Positive = 300.0) -> float:
    r"""The thermal voltage k_B T / q of a junction: 25.85 mV at 300 K.

    **Arguments:** `temperature` T, kelvin, a number.

    **Returns:** a number, V. **Raises:** ValueError unless the temperature is positive.
    """
    return BOLTZMANN * kelvin(temperature) / CHARGE
