"""Linear systems exactly: Ornstein-Uhlenbeck processes and their matrix equations."""

from .matrix_equations import lyapunov as lyapunov
from .ornstein_uhlenbeck import OrnsteinUhlenbeck as OrnsteinUhlenbeck
