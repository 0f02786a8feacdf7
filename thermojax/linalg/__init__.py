"""Linear algebra by a simulated device that comes to equilibrium, and what that takes."""

from .answer import Answer as Answer
from .exponential import expm as expm
from .exponential import expnegm as expnegm
from .inverse import inv as inv
from .lyapunov import lyapunov as lyapunov
from .runtime import Runtime as Runtime
from .runtime import runtime as runtime
from .solve import solve as solve
