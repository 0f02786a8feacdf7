"""Circuits in SI units: networks of capacitors, inductors, resistors and noise, their bill."""

from .bill import Bill as Bill
from .circuit import AbstractCircuit as AbstractCircuit
from .circuit import Flows as Flows
from .circuit import Power as Power
from .logistic import LogisticPosterior as LogisticPosterior
from .networks import RC as RC
from .networks import RL as RL
from .networks import RLC as RLC
from .posterior import GaussianPosterior as GaussianPosterior
from .program import Programmed as Programmed
from .program import program as program
from .transistors import TransistorPair as TransistorPair
from .units import johnson_noise as johnson_noise
from .units import thermal_voltage as thermal_voltage
