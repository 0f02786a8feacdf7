"""Running systems: whole protocols, persistent chains, and where they start."""

from .burn_in import BurnInReport as BurnInReport
from .burn_in import systematic as systematic
from .chain import advance as advance
from .chain import start as start
from .chain import switch as switch
from .initial import Equilibrium as Equilibrium
from .initial import equilibrium_positions as equilibrium_positions
from .initial import template_of as template_of
from .metropolis import LocalStep as LocalStep
from .resample import resample as resample
from .simulate import prepare_run as prepare_run
from .simulate import run_prepared as run_prepared
from .simulate import simulate as simulate
from .state import Chain as Chain
from .state import Result as Result
from .state import Snapshots as Snapshots
from .state import State as State
