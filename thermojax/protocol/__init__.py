"""t -> control: fixed schedules, and schedules that learn."""

from .base import AbstractProtocol as AbstractProtocol
from .base import require_no_jumps as require_no_jumps
from .base import value_at as value_at
from .base import value_outside as value_outside
from .base import values_at as values_at
from .chebyshev import Chebyshev as Chebyshev
from .curve import dense_curve as dense_curve
from .fixed import Constant as Constant
from .fixed import Linear as Linear
from .knots import AbstractKnots as AbstractKnots
from .monotone import Monotone as Monotone
from .neural import Neural as Neural
from .piecewise import PiecewiseConstant as PiecewiseConstant
from .piecewise import PiecewiseLinear as PiecewiseLinear
from .reversed import Reversed as Reversed
from .reversed import reversed_in_time as reversed_in_time
from .spline import CubicSpline as CubicSpline
