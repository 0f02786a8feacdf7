"""Numbers with errors from many paths."""

from . import fluctuation as fluctuation
from . import free_energy as free_energy
from .ensemble import ensemble_ledger as ensemble_ledger
from .entropy import EntropyProduction as EntropyProduction
from .entropy import entropy_production as entropy_production
from .entropy import knn_entropy as knn_entropy
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluation as evaluation
from .free_energy import FreeEnergy as FreeEnergy
