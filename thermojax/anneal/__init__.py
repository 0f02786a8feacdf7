"""Annealed sampling as a loss: a short ramp from a base to a target, trained to waste the least."""

from .annealed import Annealed as Annealed
from .annealed import AnnealedBack as AnnealedBack
from .annealer import Annealer as Annealer
from .base import AbstractBase as AbstractBase
from .base import AbstractGaussianBase as AbstractGaussianBase
from .base import DenseBase as DenseBase
from .base import DiagonalBase as DiagonalBase
from .base import DrawnBase as DrawnBase
from .drive import AbstractDrive as AbstractDrive
from .drive import LinearDrive as LinearDrive
from .drive import NetworkDrive as NetworkDrive
from .fit import AnnealerFit as AnnealerFit
from .fit import AnnealerProgress as AnnealerProgress
from .fit import fit as fit
from .fitted_base import laplace as laplace
from .fitted_base import variational as variational
from .schedule import Schedule as Schedule
from .two_sided import TwoSided as TwoSided
from .two_sided import two_sided as two_sided
