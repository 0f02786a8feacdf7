"""Costs of running a system, and their algebra."""

from .control import ControlCost as ControlCost
from .objective import AbstractObjective as AbstractObjective
from .terminal import ErasureError as ErasureError
from .terminal import TerminalError as TerminalError
from .work import Dissipation as Dissipation
from .work import FreeEnergyVariance as FreeEnergyVariance
from .work import MeanWork as MeanWork
