"""Walkers of a model: where they begin, how many there is room for, and how many are lost."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import instance
from .._tree import dtype_of
from ..potential import AbstractPotential, DiagonalGaussian, Interpolation
from ..protocol import Linear
from ..sampling import Chain, Equilibrium, advance, switch
from .model import Model, potential_of
from .moves import Moves
from .neural import NeuralEnergy
from .spins import SpinField


def check_moves(moves: Any) -> None:
    """**Raises:** ValueError for anything else."""
    instance("moves", moves, Moves, "a tj.ebm.Moves(dt=..., steps=...)")


def base_of(model: Model, data) -> tuple[AbstractPotential, Any]:
    """(the Gaussian in which walkers begin, ONE position): known exactly, and as wide as data."""
    potential = potential_of(model)
    if isinstance(potential, SpinField):
        template = potential.template(None)
        return DiagonalGaussian(jnp.zeros_like(template)), template
    template = jax.tree.map(lambda x: x[0], data)
    if isinstance(potential, NeuralEnergy):
        return potential.base(template), template
    mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), data)
    return DiagonalGaussian(mean, jax.tree.map(variances, data)), template


def variances(x: Float[Array, "data ..."]) -> Float[Array, "..."]:
    """The variance of each coordinate, in any unit; 1 where nothing varies at all."""
    least = 1e-6 * jnp.var(x)
    found = jnp.maximum(jnp.var(x, axis=0), least)
    return jnp.where(found > 0, found, 1)


def begun(moves: Moves, potential: AbstractPotential, key, positions) -> Chain:
    """A chain that starts at positions."""
    return moves.begin(moves.system(potential), key, positions)


def from_base(
    moves: Moves,
    base: AbstractPotential,
    potential: AbstractPotential,
    template,
    count: int,
    ramp: int,
    key: PRNGKeyArray,
) -> Chain:
    """A chain that began in the base and has come to the potential, in so many moves or at once."""
    where, rest = Equilibrium(template), moves.system(potential)
    if not ramp:
        first = moves.system(base)
        return switch(moves.begin(first, key, where, count), first, rest)
    steps = ramp * moves.steps
    protocol = Linear(0.0, 1.0, duration=moves.dt * steps)
    way = moves.system(Interpolation(base, potential), protocol)
    chain = moves.begin(way, key, where, count)
    chain = advance(way, chain, dt=moves.dt, steps=steps, sharding=moves.sharding)
    return switch(chain, way, rest)


def lost_share(chain: Chain) -> Float[Array, ""]:
    """The share of walkers that diverged."""
    return 1 - jnp.mean(chain.ledger.alive)


def free_bytes() -> float | None:
    """Memory of the device, or of the machine where the device is the CPU; None if unknown."""
    stats = jax.devices()[0].memory_stats()
    if stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not Linux
        return None


def check_memory(walkers: int, template) -> None:
    """**Raises:** ValueError for more walkers than there is memory for."""
    size = sum(leaf.size for leaf in jax.tree.leaves(template))
    # Position and momentum, and as much again while they are moved.
    asked, room = 4 * walkers * size * dtype_of(template).itemsize, free_bytes()
    if room is not None and asked > room:
        raise ValueError(
            f"{walkers:,} walkers of {size:,} coordinates take {asked / 2**30:.1f} GiB, and "
            f"{room / 2**30:.1f} GiB are there: take fewer"
        )
