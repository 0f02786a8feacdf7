"""The distribution picture: laws instead of paths, with the same ledger."""

from .ledger import EnsembleLedger as EnsembleLedger
from .moments import Moments as Moments
from .moments import moments as moments
from .work_moment import log_work_moment as log_work_moment
