"""The distribution picture: laws instead of paths, with the same ledger."""

from .fokker_planck import Densities as Densities
from .fokker_planck import FokkerPlanck as FokkerPlanck
from .ledger import EnsembleLedger as EnsembleLedger
from .moments import Moments as Moments
from .moments import moments as moments
from .work_moment import log_work_moment as log_work_moment
