"""The least that a change can cost: transport bounds, thermodynamic length, the price of a bit.

A namespace: `tj.bounds.free_end(system)`. Energies are in the units of the temperature.
"""

from .equilibrium import equilibrium as equilibrium
from .erasure import erasure as erasure
from .erasure import landauer as landauer
from .friction import friction_tensor as friction_tensor
from .friction import measured_friction as measured_friction
from .geometry import geodesic as geodesic
from .geometry import thermodynamic_length as thermodynamic_length
from .laws import Density as Density
from .laws import Normal as Normal
from .laws import Samples as Samples
from .work import WorkBound as WorkBound
from .work import dissipation as dissipation
from .work import fixed_end as fixed_end
from .work import free_end as free_end
