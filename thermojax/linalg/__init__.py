"""Linear algebra by a simulated device that comes to equilibrium, and what that takes."""

from .answer import Answer as Answer
from .driven import Driven as Driven
from .driven import driven as driven
from .energy_delay import energy_delay as energy_delay
from .inverse import inv as inv
from .runtime import Runtime as Runtime
from .runtime import runtime as runtime
from .slow_modes import SlowModes as SlowModes
from .slow_modes import slow_modes as slow_modes
from .solve import solve as solve
from .trained import trained_steering as trained_steering
