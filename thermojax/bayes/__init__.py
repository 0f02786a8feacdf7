"""Bayesian inference by a driven Langevin system: posterior, evidence, and what both cost."""

from .account import Account as Account
from .doubts import doubts as doubts
from .infer import infer as infer
from .model import Model as Model
from .modes import Modes as Modes
from .modes import modes as modes
from .posterior import Posterior as Posterior
