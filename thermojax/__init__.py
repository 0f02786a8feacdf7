"""Driven Langevin systems in JAX: energies, protocols, an exact ledger of work and heat."""

from .dynamics import BAOAB as BAOAB
from .dynamics import OBABO as OBABO
from .estimate import Estimate as Estimate
from .ledger import Ledger as Ledger
from .optimize import AbstractObjective as AbstractObjective
from .optimize import Fit as Fit
from .optimize import MeanWork as MeanWork
from .optimize import optimize as optimize
from .optimize import Progress as Progress
from .potential import AbstractPotential as AbstractPotential
from .potential import DoubleWell as DoubleWell
from .potential import Gaussian as Gaussian
from .potential import GaussianMixture as GaussianMixture
from .potential import Harmonic as Harmonic
from .potential import Interpolation as Interpolation
from .potential import LogDensity as LogDensity
from .potential import LogisticRegression as LogisticRegression
from .protocol import AbstractProtocol as AbstractProtocol
from .protocol import Constant as Constant
from .protocol import Linear as Linear
from .protocol import PiecewiseLinear as PiecewiseLinear
from .sampling import advance as advance
from .sampling import BurnInReport as BurnInReport
from .sampling import Chain as Chain
from .sampling import Equilibrium as Equilibrium
from .sampling import Result as Result
from .sampling import simulate as simulate
from .sampling import Snapshots as Snapshots
from .sampling import start as start
from .sampling import State as State
from .sampling import switch as switch
from .system import Bath as Bath
from .system import Overdamped as Overdamped
from .system import Underdamped as Underdamped

from .version import __version__ as __version__
