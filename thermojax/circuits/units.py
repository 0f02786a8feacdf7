"""Physical constants in SI units, and the noise of a resistor."""

from __future__ import annotations

import math

from .._arguments import real
from .._component import Positive, positive

BOLTZMANN = 1.380649e-23  # J / K, exact since 2019
CHARGE = 1.602176634e-19  # C, exact since 2019
ZERO_CELSIUS = 273.15  # K


def kelvin(temperature: Positive) -> float:
    """A temperature in kelvin, known. **Raises:** ValueError unless it is positive."""
    cure = "a positive temperature in kelvin, outside of jit"
    real("temperature", temperature, cure, positive)
    return untraced("temperature", temperature, cure)


def untraced(name: str, value, cure: str) -> float:
    """A number that is known. **Raises:** ValueError for one that is being traced."""
    try:
        return float(value)
    except TypeError as error:  # of jax, for a tracer
        raise ValueError(f"{name} is traced: expected {cure}") from error


def johnson_noise(resistance: Positive, temperature: Positive = 300.0) -> float:
    r"""The voltage noise of a resistor at rest, sqrt(4 k_B T R): one-sided, as data sheets have it.

    **Arguments:** `resistance` R, ohm, and `temperature` T, kelvin: numbers.

    **Returns:** a number, V / sqrt(Hz); 4.07 nV / sqrt(Hz) for 1 kOhm at 300 K.

    **Raises:** ValueError unless both are positive.
    """
    real("resistance", resistance, "a positive resistance in ohm", positive)
    ohm = untraced("resistance", resistance, "a positive resistance in ohm, outside of jit")
    return math.sqrt(4 * BOLTZMANN * kelvin(temperature) * ohm)


def thermal_voltage(temperature: Positive = 300.0) -> float:
    r"""The thermal voltage k_B T / q of a junction: 25.85 mV at 300 K.

    **Arguments:** `temperature` T, kelvin, a number.

    **Returns:** a number, V. **Raises:** ValueError unless the temperature is positive.
    """
    return BOLTZMANN * kelvin(temperature) / CHARGE
