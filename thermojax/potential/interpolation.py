"""From a prior to a posterior: the straight line between two energies."""

from __future__ import annotations

import numpy as np

from .._component import known
from .base import AbstractPotential, require_potential


class Interpolation(AbstractPotential):
    r"""U = (1 - lambda) U_prior(x) + lambda U_target(x), the control lambda in [0, 1].

    With `U_prior = -ln p(x)` and `U_target = -ln p(x) - ln p(y|x)` (kT = 1, normalizers kept) the
    free energy difference between the ends is -ln p(y), and the path is the tempered posterior
    p(x) p(y|x)^lambda.

    **Arguments:** `prior` and `target`, two potentials of the same x; neither sees a control.
    """

    prior: AbstractPotential
    target: AbstractPotential

    def __check_init__(self):
        require_potential("prior", self.prior)
        require_potential("target", self.target)

    def energy(self, x, control):
        if np.shape(control) != ():
            raise ValueError(
                f"the control of Interpolation has shape {np.shape(control)}: expected a scalar "
                "lambda in [0, 1]"
            )
        start = self.prior.energy(x, None)
        return start + control * (self.target.energy(x, None) - start)

    def template(self, control):
        found = self.prior.template(None)
        return self.target.template(None) if found is None else found

    def sampled_by(self, control, temperature):
        end = self.end(control)
        return None if end is None else end.sampled_by(None, temperature)

    def free_energy(self, control, temperature, template):
        end = self.end(control)
        return None if end is None else end.free_energy(None, temperature, template)

    def end(self, control) -> AbstractPotential | None:
        """The prior or the target, where a concrete control is that end of the line."""
        value = known(control)
        ends = {0.0: self.prior, 1.0: self.target}
        return None if value is None or value.shape else ends.get(float(value))
