"""Walls: a coordinate that is reflected at its bounds, as the mirror image of one that is not."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._component import floating
from ...potential import AbstractPotential
from ..device.operator import Springs


class Box(eqx.Module):
    """The bounds of every coordinate, infinite where there is none.

    Calling it folds a coordinate y of the line into the box: what is behind a wall is the image of
    what is before it, again and again where there are two walls. A motion of y in the energy
    U(box(y)), which is continuous, is the motion of x = box(y) reflected at the walls.
    """

    lower: Float[Array, " dim"]
    upper: Float[Array, " dim"]

    def __call__(self, y: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
        below, above = jnp.isfinite(self.lower), jnp.isfinite(self.upper)
        low, high = jnp.where(below, self.lower, 0), jnp.where(above, self.upper, 0)
        width = jnp.where(below & above, high - low, 1)
        along = jnp.mod(y - low, 2 * width)
        between = low + jnp.where(along < width, along, 2 * width - along)
        one = jnp.where(below, low + jnp.abs(y - low), high - jnp.abs(high - y))
        return jnp.where(below & above, between, jnp.where(below | above, one, y))

    def nearest(self, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """The point of the box that is nearest to x."""
        return jnp.clip(x, self.lower, self.upper)


def box_of(lower: Any, upper: Any, b: Float[Array, " dim"]) -> Box:
    """The bounds, of b's shape. **Raises:** ValueError, which names them, for what bounds nothing.

    NaN, a shape that does not fit, a lower bound that is not below the upper one.
    """
    sides = []
    for name, value in ("lower", lower), ("upper", upper):
        bound = floating(value, name).astype(b.dtype)
        if bound.shape not in ((), b.shape):
            raise ValueError(f"{name} has shape {bound.shape}: expected one number, or {b.shape}")
        if np.any(np.isnan(np.asarray(bound))):
            raise ValueError(f"{name} holds NaN: expected numbers, infinite where there is no wall")
        sides.append(jnp.broadcast_to(bound, b.shape))
    low, high = map(np.asarray, sides)
    if wrong := np.flatnonzero(low >= high).tolist():
        i = wrong[0]
        raise ValueError(
            f"lower = {low[i]:.6g} and upper = {high[i]:.6g} at coordinate {i}: expected lower < "
            "upper; put a coordinate that cannot move into b"
        )
    return Box(*sides)


class Walled(AbstractPotential):
    """U(x) = x . A x / 2 - b . x at x = box(y): springs between walls, on the unfolded line."""

    springs: Springs
    box: Box

    def energy(self, x, control):
        return self.springs.energy(self.box(x), control)

    def template(self, control):
        return self.springs.template(control)
