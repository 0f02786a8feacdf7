"""Driven Langevin systems in JAX: energies, protocols, an exact ledger of work and heat.

The public names stand in `__init__.pyi`; each is imported when it is first used.
"""

from ._lazy import attach
from .version import __version__ as __version__

attach(__name__)
