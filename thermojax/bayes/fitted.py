"""The Gaussian that has been fitted to samples: where a ramp to the posterior is short."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._tree import product, total
from ..potential import AbstractPotential
from .coordinates import Coordinates


class Fitted(AbstractPotential):
    """The normalized Gaussian N(center, factor factor^T) of a flat position, as an energy."""

    center: Float[Array, " dim"]
    root: Float[Array, "..."]  # the inverse of the factor: a product is faster than to solve
    log_scale: Float[Array, ""]

    def __init__(self, coordinates: Coordinates):
        self.center, factor = coordinates.center, coordinates.factor
        scale = factor if factor.ndim == 1 else jnp.diagonal(factor)
        self.log_scale = jnp.sum(jnp.log(scale)) + 0.5 * len(scale) * jnp.log(2 * jnp.pi)
        if factor.ndim == 1:
            self.root = 1 / factor
        else:
            identity = jnp.eye(len(scale), dtype=factor.dtype)
            self.root = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)

    def energy(self, x, control):
        away = ravel_pytree(x)[0] - self.center
        z = self.root * away if self.root.ndim == 1 else product(self.root, away)
        return 0.5 * total(z**2) + self.log_scale
