"""Soft spins: coupled double wells, as coupled oscillators beyond their instability have them."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import Numbers, floating, positive, require
from ..potential import AbstractPotential
from .spins import one_each_spin, symmetric


class SoftSpins(AbstractPotential):
    r"""U = barrier sum_i (x_i^2 - 1)^2 - x J x / 2 - h x, bounded below for any couplings.

    **Arguments:** `coupling`, J, `(n, n)`, symmetric, without a diagonal, such as
    `tj.ebm.lattice((8, 8), 0.3)`; `barrier`, positive, the height of the wall between the two wells
    of a spin on its own; `field`, h, one number or `(n,)`. All of them train.
    **Raises:** ValueError for another shape, or numbers out of range.
    """

    coupling: Float[Array, "n n"]
    barrier: Float[Array, ""]
    field: Float[Array, " n"]

    def __init__(self, coupling: Numbers, barrier: Numbers = 2.0, field: Numbers = 0.0):
        self.coupling = symmetric("coupling", coupling)
        self.barrier = floating(barrier, "barrier")
        require("barrier", self.barrier, positive, "positive and finite")
        self.field = one_each_spin("field", field, len(self.coupling))

    def energy(self, x, control):
        wells = self.barrier * jnp.sum((x**2 - 1) ** 2)
        pairs = self.coupling - jnp.diag(jnp.diagonal(self.coupling))
        return wells - 0.5 * x @ pairs @ x - self.field @ x

    def template(self, control):
        return jnp.zeros(self.field.size, self.field.dtype)
