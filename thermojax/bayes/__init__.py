"""Bayesian inference by a driven Langevin system: posterior, evidence, and what both cost."""

from .exact import ExactPosterior as ExactPosterior
from .exact import exact as exact
from .model import Model as Model
from .observe import attend as attend
from .observe import observe as observe
from .particles import Observed as Observed
from .particles import Particles as Particles
from .particles import particles as particles
from .posterior import Account as Account
from .posterior import Posterior as Posterior
