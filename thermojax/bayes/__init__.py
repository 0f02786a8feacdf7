"""Bayesian inference by a driven Langevin system: posterior, evidence, and what both cost."""

from .model import Model as Model
from .modes import Modes as Modes
from .modes import modes as modes
from .posterior import Account as Account
from .posterior import Posterior as Posterior
