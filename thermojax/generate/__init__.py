"""Generative thermodynamic computing: samples made by the motion of a machine that has learned."""

from .computer import Computer as Computer
from .fit import ComputerFit as ComputerFit
from .fit import ComputerProgress as ComputerProgress
from .fit import fit as fit
from .generated import Generated as Generated
from .least_squares import least_squares as least_squares
from .noising import NoisedPaths as NoisedPaths
from .noising import Noising as Noising
from .path_law import loss as loss
from .path_law import path_log_ratios as path_log_ratios
