"""t -> control: fixed schedules, and schedules that learn."""

from .base import AbstractProtocol as AbstractProtocol
from .base import value_at as value_at
from .base import values_at as values_at
from .fixed import Constant as Constant
from .fixed import Linear as Linear
from .piecewise import PiecewiseLinear as PiecewiseLinear
from .reversed import Reversed as Reversed
from .reversed import reversed_in_time as reversed_in_time
