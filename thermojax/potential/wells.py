"""Wells with a barrier: the double well of bit storage and erasure."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import Positive, floating, positive, require
from .base import AbstractPotential


class DoubleWell(AbstractPotential):
    r"""The double well, summed over the coordinates of x in units of the half distance,

        U = sum_i  barrier (z_i^4 - 2 a z_i^2 + 1) - f z_i,     z = x / separation.

    With a = 1 it is `barrier (z^2 - 1)^2`, wells at +-separation and a barrier of that height.
    The control is the tilt f (a scalar, then a = 1), or the pair (a, f) of an erasure protocol.

    **Arguments:** `barrier`, energy; `separation`, half the distance of the wells, length.

    **Raises:** ValueError for a barrier or a separation that is not positive.
    """

    barrier: Float[Array, ""]
    separation: Float[Array, ""]

    def __init__(self, barrier: Positive = 1.0, separation: Positive = 1.0):
        self.barrier, self.separation = floating(barrier), floating(separation)
        require("barrier", self.barrier, positive, "a positive energy")
        require("separation", self.separation, positive, "a positive length")

    def energy(self, x, control):
        shape = jnp.shape(control)
        if shape not in ((), (2,)):
            raise ValueError(
                f"the control of DoubleWell has shape {shape}: expected a scalar (the tilt f) "
                "or (2,), the pair (a, f)"
            )
        a, tilt = (1.0, control) if shape == () else (control[0], control[1])
        z = x / self.separation
        return jnp.sum(self.barrier * (z**4 - 2 * a * z**2 + 1) - tilt * z)
