"""Finding the protocol that wastes least."""

from . import bounds as bounds
from .fit import Fit as Fit
from .fit import Progress as Progress
from .fit import optimize as optimize
from .frontier import Frontier as Frontier
from .frontier import frontier as frontier
from .objectives import AbstractObjective as AbstractObjective
from .objectives import MeanWork as MeanWork
from .pareto import Pareto as Pareto
from .pareto import pareto as pareto
from .updates import scale_by_value as scale_by_value
