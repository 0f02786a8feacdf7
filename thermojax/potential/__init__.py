"""U(x, control): the energies, and how they combine."""

from .base import AbstractPotential as AbstractPotential
from .base import Scaled as Scaled
from .base import Sum as Sum
from .base import at_path as at_path
from .base import batched_energy as batched_energy
from .base import batched_gradient as batched_gradient
from .base import require_position as require_position
from .base import require_potential as require_potential
from .base import sampler_path as sampler_path
from .density import LogDensity as LogDensity
from .gaussian import LOG_2PI as LOG_2PI
from .gaussian import Gaussian as Gaussian
from .gaussian import Harmonic as Harmonic
from .interpolation import Interpolation as Interpolation
from .likelihood import AbstractLikelihood as AbstractLikelihood
from .likelihood import LogisticRegression as LogisticRegression
from .mixture import GaussianMixture as GaussianMixture
from .tempering import Tempering as Tempering
from .wells import DoubleWell as DoubleWell
