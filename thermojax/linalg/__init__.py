"""Linear algebra by a simulated device that comes to equilibrium, and what that takes."""

from .answer import Answer as Answer
from .answer import Ramps as Ramps
from .box_qp import BoxAnswer as BoxAnswer
from .box_qp import box_qp as box_qp
from .determinant import logdet as logdet
from .driven import Driven as Driven
from .driven import driven as driven
from .energy_delay import energy_delay as energy_delay
from .exponential import expm as expm
from .exponential import expnegm as expnegm
from .floor import floor as floor
from .gauss_newton import gauss_newton as gauss_newton
from .imperfections import Imperfections as Imperfections
from .inverse import inv as inv
from .lyapunov import lyapunov as lyapunov
from .natural_gradient import NaturalGradientState as NaturalGradientState
from .natural_gradient import natural_gradient as natural_gradient
from .runtime import Runtime as Runtime
from .runtime import runtime as runtime
from .slow_modes import SlowModes as SlowModes
from .slow_modes import slow_modes as slow_modes
from .solve import solve as solve
from .split import Split as Split
from .split import split as split
from .trained import trained_steering as trained_steering
