"""Laplace's coordinates: around a mode of the posterior, by the second derivatives there."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from .coordinates import DENSE, Coordinates
from .descent import FlatEnergy, descend
from .model import Model
from .modes import modes

NEAR = 16  # starts of the search, a standard normal around the template


def around_the_mode(model: Model, otherwise: str) -> Coordinates:
    """Coordinates by the second derivatives at the mode near the template.

    **Raises:** ValueError where there is no maximum, with what to do `otherwise`.
    """
    start = ravel_pytree(model.template)[0]
    energy = FlatEnergy(model, jnp.ones_like(start))
    center = descend(energy, start[None], 500)[0]
    along = lambda v: jax.jvp(jax.grad(energy), (center,), (v,))[1]
    unit = jnp.eye(start.size, dtype=start.dtype)
    if start.size <= DENSE:
        curvature = jax.lax.map(along, unit)
        values, axes = jnp.linalg.eigh(0.5 * (curvature + curvature.T))
        factor = jnp.linalg.cholesky((axes / values) @ axes.T)
    else:
        values = jax.lax.map(lambda v: v @ along(v), unit)
        factor = 1 / jnp.sqrt(values)
    if not bool(jnp.all(jnp.isfinite(factor)) & jnp.all(values > 0)):
        raise ValueError(
            "the density has no maximum near the template where its energy is curved upwards in "
            f"every direction: {otherwise}"
        )
    return Coordinates(center, factor)


def around_heaviest_mode(model: Model, key: PRNGKeyArray) -> Coordinates:
    """Coordinates at the heaviest of the modes that descents from around the template find.

    **Raises:** ValueError where there is none.
    """
    start_key, mode_key = jax.random.split(key)
    template, unravel = ravel_pytree(model.template)
    starts = template + jax.random.normal(start_key, (NEAR, template.size), template.dtype)
    seen = modes(model, mode_key, starts=jax.vmap(unravel)(starts))
    if seen.count == 0:
        raise ValueError(
            "the posterior of this flat prior has no maximum near the template: it may not be "
            "normalizable; pass a proper prior, or another template"
        )
    center = ravel_pytree(jax.tree.map(lambda x: x[0], seen.position))[0]
    if seen.root is None:
        return Coordinates(center, jnp.ones_like(center))
    covariance = jnp.linalg.inv(seen.root[0] @ seen.root[0].T)
    if center.size <= DENSE:
        return Coordinates(center, jnp.linalg.cholesky(covariance))
    return Coordinates(center, jnp.sqrt(jnp.diagonal(covariance)))
