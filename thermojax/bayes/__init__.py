"""Bayesian inference by a driven Langevin system: posterior, evidence, and what both cost."""

from .model import Model as Model
from .posterior import Account as Account
from .posterior import Posterior as Posterior
