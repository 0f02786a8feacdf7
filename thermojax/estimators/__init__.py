"""Numbers with errors from many paths."""

from . import fluctuation as fluctuation
from . import free_energy as free_energy
from .ensemble import ensemble_ledger as ensemble_ledger
from .ensemble import power as power
from .entropy import EntropyProduction as EntropyProduction
from .entropy import entropy_production as entropy_production
from .entropy import knn_entropy as knn_entropy
from .ergodic import Ergodicity as Ergodicity
from .ergodic import autocorrelation as autocorrelation
from .ergodic import autocorrelation_time as autocorrelation_time
from .ergodic import effective_sample_size as effective_sample_size
from .ergodic import ergodicity as ergodicity
from .ergodic import r_hat as r_hat
from .free_energy import FreeEnergy as FreeEnergy
from .streaming import Streaming as Streaming
from .streaming import StreamingSummary as StreamingSummary
