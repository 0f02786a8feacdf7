"""Linear algebra by a simulated device that comes to equilibrium, and what that takes."""

from .answer import Answer as Answer
from .floor import floor as floor
from .imperfections import Imperfections as Imperfections
from .inverse import inv as inv
from .runtime import Runtime as Runtime
from .runtime import runtime as runtime
from .solve import solve as solve
from .split import Split as Split
from .split import split as split
