"""Circuits in SI units: networks of capacitors, inductors, resistors and noise, their bill."""

from .networks import RC as RC
from .networks import RL as RL
from .networks import RLC as RLC
from .units import johnson_noise as johnson_noise
from .units import thermal_voltage as thermal_voltage
