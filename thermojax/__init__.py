"""Driven Langevin systems in JAX: energies, protocols, an exact ledger of work and heat.

The public names stand in `__init__.pyi`; each is imported when it is first used.
"""

from ._lazy import attach_stub
from .version import __version__ as __version__

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
