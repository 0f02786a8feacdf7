"""The metric in which transport costs: friction over time, coordinate by coordinate."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpy.polynomial.legendre import leggauss

from .._tree import like_position
from ..protocol import AbstractProtocol
from ..sampling import template_of
from ..system import AbstractSystem, check_system

NODES, WEIGHTS = (x.tolist() for x in leggauss(16))


def transport_metric(system: AbstractSystem, dim: int) -> Float[Array, " dim"]:
    r"""1 / int_0^tau dt / gamma_i for each coordinate: gamma/tau where the friction is constant.

    For one path, by the Cauchy-Schwarz inequality, int gamma_i v_i^2 dt >= metric_i (dx_i)^2.

    **Raises:** ValueError for a temperature that changes in time, or a friction of another shape.
    """
    require_one_temperature(system)
    friction, duration = system.bath.friction, system.protocol.duration
    if isinstance(friction, AbstractProtocol):
        breaks = friction.events()
        edges = [jnp.zeros(1), jnp.zeros(0) if breaks is None else breaks, duration[None]]
        edges = jnp.concatenate(edges)
        half, middle = 0.5 * jnp.diff(edges), 0.5 * (edges[1:] + edges[:-1])
        times = middle[:, None] + half[:, None] * jnp.asarray(NODES)
        weights = half[:, None] * jnp.asarray(WEIGHTS)
        values = jax.vmap(friction)(times.ravel())
        time = jnp.tensordot(weights.ravel(), 1 / values, axes=1)
    else:
        time = duration / friction_along(system, dim)
    if jnp.shape(time) not in ((), (1,), (dim,)):
        raise ValueError(
            f"friction has shape {jnp.shape(time)}: expected a number or ({dim},), as the laws have"
        )
    return jnp.broadcast_to(1 / time, (dim,))


def friction_along(system: AbstractSystem, dim: int):
    """A friction that is constant in time, one number for each flat coordinate."""
    friction = system.bath.friction
    if eqx.is_array(friction):
        return friction
    position = template_of(system, None)
    spread = lambda v, x: jnp.broadcast_to(v, x.shape).ravel()
    leaves = jax.tree.leaves(jax.tree.map(spread, like_position(friction, position), position))
    return jnp.concatenate(leaves)


def require_one_temperature(system: AbstractSystem) -> None:
    check_system(system)
    if isinstance(system.bath.temperature, AbstractProtocol):
        raise ValueError(
            "the temperature changes in time: bounds on energies hold at one temperature only; "
            "give the bath a constant one"
        )
