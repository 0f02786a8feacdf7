"""The distribution picture: laws instead of paths, with the same ledger."""

from .distances import kl_gaussian as kl_gaussian
from .distances import sinkhorn as sinkhorn
from .distances import wasserstein as wasserstein
from .distances import wasserstein2_gaussian as wasserstein2_gaussian
from .distances import wasserstein_density as wasserstein_density
from .fokker_planck import Densities as Densities
from .fokker_planck import FokkerPlanck as FokkerPlanck
from .ledger import EnsembleLedger as EnsembleLedger
from .moments import Moments as Moments
from .moments import moments as moments
from .work_moment import log_work_moment as log_work_moment
