"""Distances that are computed in units of their own size, and what they are in those of the user.

A square of lengths of 1e-20 is zero in float32, where the square in units of 1e-20 is not.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._component import known


def require_in_range(name: str, scaled, value):
    """Return `value` after a check that its dtype holds it.

    **Raises:** ValueError where `scaled`, the number in units of its own size, is finite and not
    zero, and `value` is zero or infinite.
    """
    both = known(scaled), known(value)
    if both[0] is None or both[1] is None:
        return value
    tiny = np.finfo(both[1].dtype).tiny
    lost = (both[0] > tiny) & (both[1] < tiny)
    if not np.all(np.isfinite(both[1])) or np.any(lost):
        raise ValueError(
            f"{name} is {both[1]}, out of the range of {both[1].dtype.name}: take other units of "
            "length, or float64"
        )
    return value


def root_of_cost(cost, p: float):
    """cost^(1/p), with the derivative zero where the cost is zero and the true one infinite."""
    if p == 1:
        return cost
    some = cost > 0
    return jnp.where(some, jnp.where(some, cost, 1) ** (1 / p), 0)
