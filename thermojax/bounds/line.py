"""A potential of one dimension, as a function of a number."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, Float

from ..distribution.grid import sample_shape
from ..potential import AbstractPotential


class LineEnergy(eqx.Module):
    """U of a number at a control, whether the potential takes `()` or `(1,)`."""

    potential: AbstractPotential
    control: Float[Array, "*control"]
    sample: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, potential: AbstractPotential, control: Float[Array, "*control"]):
        self.potential, self.control = potential, control
        self.sample = sample_shape(potential, control, potential.template(control), 1)

    def __call__(self, x: Float[Array, ""]) -> Float[Array, ""]:
        return self.potential.energy(x.reshape(self.sample), self.control)
