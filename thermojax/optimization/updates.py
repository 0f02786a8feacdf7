"""Updates that suit schedules: an addition to optax's own transformations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from .._arguments import real
from .._component import positive


def scale_by_value(floor: float) -> optax.GradientTransformation:
    """Multiply every update by |parameter| + floor: steps in the logarithm of a value.

    For values that belong to different decades, as those of a schedule that leaves 0 slowly: one
    learning rate then means the same relative change for all. Chain it behind the optimizer,
    `optax.chain(optax.adam(0.3), tj.scale_by_value(1e-3))`.

    **Raises:** ValueError for a floor that is not positive (a value of 0 would never move).
    """
    real("floor", floor, "a positive number, or values at 0 stay there", positive)
    return optax.stateless(
        lambda updates, params: jax.tree.map(lambda u, p: u * (jnp.abs(p) + floor), updates, params)
    )
