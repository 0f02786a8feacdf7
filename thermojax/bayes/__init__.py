"""Bayesian inference by a driven Langevin system: posterior, evidence, and what both cost."""

from typing import TYPE_CHECKING

from .account import Account as Account
from .blackjax import as_blackjax as as_blackjax
from .calibration import Calibration as Calibration
from .calibration import calibrate as calibrate
from .calibration import ecdf_band as ecdf_band
from .calibration import ecdf_p_value as ecdf_p_value
from .calibration import pit as pit
from .calibration import scalars_needed as scalars_needed
from .compare import ScheduleCosts as ScheduleCosts
from .compare import compare_schedules as compare_schedules
from .doubts import doubts as doubts
from .exact import ExactPosterior as ExactPosterior
from .exact import exact as exact
from .infer import infer as infer
from .minibatch import MinibatchPosterior as MinibatchPosterior
from .minibatch import minibatch as minibatch
from .model import Model as Model
from .modes import Modes as Modes
from .modes import modes as modes
from .observe import attend as attend
from .observe import observe as observe
from .particles import Observed as Observed
from .particles import Particles as Particles
from .particles import particles as particles
from .posterior import Posterior as Posterior
from .snapshots import RampSnapshots as RampSnapshots

if TYPE_CHECKING:
    from .numpyro_kernel import NumPyroKernel as NumPyroKernel


def __getattr__(name: str):
    """A class of NumPyro's is made when it is asked for: NumPyro is an extra."""
    if name != "NumPyroKernel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ..interop.extras import needed

    needed("numpyro", "numpyro")
    from .numpyro_kernel import NumPyroKernel

    return NumPyroKernel
