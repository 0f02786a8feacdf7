"""The motion: diffrax terms, noise on a grid, and the integrators."""

from .carry import kinetic as kinetic
from .clock import Clock as Clock
from .layout import evened as evened
from .layout import long_block as long_block
from .layout import parts_of as parts_of
from .noise import GridBrownianPath as GridBrownianPath
from .ornstein_uhlenbeck import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from .quicsort import QUICSORT as QUICSORT
from .random import key_words as key_words
from .random import normal as normal
from .splitting import BAOAB as BAOAB
from .splitting import OBABO as OBABO
from .splitting import AbstractSplitting as AbstractSplitting
from .splitting import kicked as kicked
from .terms import DriftTerm as DriftTerm
from .terms import NoiseTerm as NoiseTerm
from .terms import bath_at as bath_at
from .timetable import Coefficients as Coefficients
from .timetable import Timetable as Timetable
from .timetable import coefficients as coefficients
from .timetable import timetable as timetable
