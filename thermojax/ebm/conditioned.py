"""A potential of some coordinates, the others held: inpainting, and conditional laws."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import instance
from .._component import Numbers, finite, known, shown
from ..potential import AbstractPotential


class Conditioned(AbstractPotential):
    """U(free coordinates) of a potential whose other coordinates are held at known values.

    **Arguments:** `potential`, of positions `(dim,)`; `values`, `(dim,)`, of which those that are
    free do not count; `free`, `(dim,)` booleans. Positions are `(number of free ones,)`.
    **Raises:** ValueError for other shapes, or where nothing is free.
    """

    potential: AbstractPotential
    values: Float[Array, " dim"]
    free: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, potential: AbstractPotential, values: Numbers, free):
        self.potential = instance("potential", potential, AbstractPotential, "a potential")
        self.values = finite("values", values)
        if self.values.ndim != 1:
            raise ValueError(f"values has shape {self.values.shape}: expected (dim,)")
        try:
            mask = known(free)
        except (TypeError, ValueError, OverflowError):
            mask = None
        if mask is None or mask.dtype != bool or mask.shape != self.values.shape:
            raise ValueError(
                f"free = {shown(free)}: expected {self.values.shape} booleans, one for each of "
                "values"
            )
        if not mask.any():
            raise ValueError("free is False everywhere: expected a coordinate that is free")
        self.free = tuple(np.flatnonzero(mask).tolist())

    def whole(self, x: Float[Array, " free"]) -> Float[Array, " dim"]:
        """The position of all coordinates."""
        return self.values.astype(x.dtype).at[jnp.asarray(self.free)].set(x)

    def energy(self, x, control):
        return self.potential.energy(self.whole(x), control)

    def template(self, control):
        return self.values[jnp.asarray(self.free)]
