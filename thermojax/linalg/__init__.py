"""Linear algebra by a simulated device that comes to equilibrium, and what that takes."""

from .answer import Answer as Answer
from .answer import Ramps as Ramps
from .determinant import logdet as logdet
from .inverse import inv as inv
from .runtime import Runtime as Runtime
from .runtime import runtime as runtime
from .solve import solve as solve
