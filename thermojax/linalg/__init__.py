"""Linear algebra by a simulated device that comes to equilibrium, and what that takes."""

import types as _types

from .determinant import logdet as logdet
from .device.answer import Answer as Answer
from .device.answer import Ramps as Ramps
from .device.runtime import Runtime as Runtime
from .device.runtime import runtime as runtime
from .exponential import expm as expm
from .exponential import expnegm as expnegm
from .imperfect.floor import floor as floor
from .imperfect.imperfections import Imperfections as Imperfections
from .inverse import inv as inv
from .lyapunov import lyapunov as lyapunov
from .solve import solve as solve
from .split import Split as Split
from .split import split as split
from .steered.driven import Driven as Driven
from .steered.driven import driven as driven
from .steered.energy_delay import energy_delay as energy_delay
from .steered.slow_modes import SlowModes as SlowModes
from .steered.slow_modes import slow_modes as slow_modes
from .steered.trained import trained_steering as trained_steering
from .users.box_qp import BoxAnswer as BoxAnswer
from .users.box_qp import box_qp as box_qp
from .users.gauss_newton import gauss_newton as gauss_newton
from .users.natural_gradient import NaturalGradientState as NaturalGradientState
from .users.natural_gradient import natural_gradient as natural_gradient


def __dir__():
    """The public names, without the modules in which they stand."""
    return sorted(name for name, x in globals().items() if not isinstance(x, _types.ModuleType))
