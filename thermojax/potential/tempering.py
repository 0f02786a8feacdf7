"""From a prior to a posterior along a path of one's own: a schedule for each likelihood term."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from .._component import known, shown
from .base import AbstractPotential, require_potential


class Tempering(AbstractPotential):
    r"""U = U_prior(x) + sum_k lambda_k U_k(x), the control `(terms,)` from zeros to ones.

    With `U_prior = -ln p(x)` and `U_k = -ln p(y_k|x)` (kT = 1, normalizers kept) the free energy
    difference between the ends is -ln p(y_1, y_2, ...), whatever way the schedules take: one after
    the other, all at once, or as training finds it.

    **Arguments:** `prior`, a potential; `likelihoods`, one or more potentials of the same x. None
    sees a control.

    **Raises:** ValueError for no likelihood at all, or a control of another shape.
    """

    prior: AbstractPotential
    likelihoods: tuple[AbstractPotential, ...]

    def __init__(self, prior: AbstractPotential, likelihoods: Sequence[AbstractPotential]):
        self.prior = require_potential("prior", prior)
        if not isinstance(likelihoods, list | tuple):
            raise ValueError(
                f"likelihoods = {shown(likelihoods)}: expected a list of potentials, [one] for one"
            )
        if not likelihoods:
            raise ValueError("likelihoods is empty: expected at least one potential")
        self.likelihoods = tuple(
            require_potential(f"likelihoods[{i}]", term) for i, term in enumerate(likelihoods)
        )

    def energy(self, x, control):
        terms = len(self.likelihoods)
        if np.shape(control) != (terms,):
            raise ValueError(
                f"the control of Tempering has shape {np.shape(control)}: expected ({terms},), one "
                "lambda for each likelihood"
            )
        energies = jnp.stack([term.energy(x, None) for term in self.likelihoods])
        return self.prior.energy(x, None) + control @ energies

    def template(self, control):
        found = (term.template(None) for term in (self.prior, *self.likelihoods))
        return next((x for x in found if x is not None), None)

    def sampled_by(self, control, temperature):
        return self.prior.sampled_by(None, temperature) if self.untouched(control) else None

    def free_energy(self, control, temperature, template):
        return (
            self.prior.free_energy(None, temperature, template) if self.untouched(control) else None
        )

    def untouched(self, control) -> bool:
        """Whether a concrete control leaves the prior alone."""
        value = known(control)
        return value is not None and bool(np.all(value == 0))
