"""Bayesian inference by a driven Langevin system: posterior, evidence, and what both cost."""

from .doubts import doubts as doubts
from .model import Model as Model
from .posterior import Account as Account
from .posterior import Posterior as Posterior
