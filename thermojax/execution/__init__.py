"""The computation of a run: diffrax's solver of blocks, their derivative, memory, devices."""

from .devices import batch_sharding as batch_sharding
from .devices import check_layout as check_layout
from .devices import check_sharding as check_sharding
from .devices import spread as spread
from .solver import BlockSolver as BlockSolver
from .solving import Execution as Execution
from .solving import check_adjoint as check_adjoint
from .solving import check_how as check_how
from .solving import forward_mode_in_words as forward_mode_in_words
from .solving import require_splitting as require_splitting
from .solving import solve as solve
from .time_grid import count_steps as count_steps
from .time_grid import require_within as require_within
from .time_grid import snap as snap
from .time_grid import step_sizes as step_sizes
