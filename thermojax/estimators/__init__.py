"""Numbers with errors from many paths."""

from .free_energy import FreeEnergy as FreeEnergy
from .free_energy import jarzynski as jarzynski
