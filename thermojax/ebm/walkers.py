"""Walkers of a model: where they begin, how many there is room for, and how many are lost."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import instance
from .._tree import dtype_of
from ..potential import AbstractPotential, DiagonalGaussian
from ..sampling import Chain
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
    spread = lambda x: jnp.maximum(jnp.var(x, axis=0), 1e-6 * jnp.var(x) + 1e-12)
    return DiagonalGaussian(mean, jax.tree.map(spread, data)), template


def begun(moves: Moves, potential: AbstractPotential, key, positions) -> Chain:
    """A chain that starts at positions."""
    return moves.begin(moves.system(potential), key, positions)


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
