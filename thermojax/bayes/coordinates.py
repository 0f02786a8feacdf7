"""Coordinates in which a law is about standard normal: one step and one friction fit all."""

from __future__ import annotations

from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._tree import product
from ..potential import AbstractPotential

DENSE = 256  # dimensions up to which a whole covariance is worth its products
PRIOR_WALKERS = 5  # of a covariance without correlations, which few walkers are mixed with


class Coordinates(eqx.Module):
    """x = center + factor z: `center` `(dim,)`; `factor` `(dim,)`, or `(dim, dim)` triangular."""

    center: Float[Array, " dim"]
    factor: Float[Array, "..."]

    @classmethod
    def of(cls, x: Float[Array, "n dim"], weights: Float[Array, " n"], dense: bool) -> Self:
        """The coordinates of weighted walkers; correlations are shrunk where walkers are few."""
        share = weights / jnp.sum(weights)
        center = share @ x
        away = x - center
        variance = share @ away**2
        # Of walkers that stand in one place nothing can be learned.
        variance = jnp.maximum(variance, jnp.finfo(x.dtype).eps * (1 + center**2))
        if not dense:
            return cls(center, jnp.sqrt(variance))
        count = 1 / jnp.sum(share**2)
        keep = count / (count + PRIOR_WALKERS + x.shape[1] / 4)
        scale = jnp.sqrt(variance)
        correlation = (share[:, None] * (away / scale)).T @ (away / scale)
        shrunk = keep * correlation + (1 - keep) * jnp.eye(x.shape[1], dtype=x.dtype)
        return cls(center, scale[:, None] * jnp.linalg.cholesky(shrunk))

    def outward(self, z: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
        """x of z."""
        return self.center + (z * self.factor if self.factor.ndim == 1 else z @ self.factor.T)

    def inward(self, x: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
        """z of x."""
        away = x - self.center
        if self.factor.ndim == 1:
            return away / self.factor
        return jax.scipy.linalg.solve_triangular(self.factor, away.T, lower=True).T


class InCoordinates(AbstractPotential):
    """U(center + factor z) as an energy of z, flat; the control is that of U.

    The constant ln det(factor) is left out: it is the same at both ends of a ramp.
    """

    potential: AbstractPotential
    coordinates: Coordinates
    like: PyTree[Array]  # one position, whose shape a flat one takes

    def energy(self, x, control):
        _, unravel = ravel_pytree(self.like)
        factor = self.coordinates.factor
        moved = factor * x if factor.ndim == 1 else product(factor, x)
        return self.potential.energy(unravel(self.coordinates.center + moved), control)
