"""Langevin dynamics as a Markov kernel: from positions to positions, one Metropolis choice each."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..potential import AbstractPotential
from ..protocol import Constant
from ..sampling import Chain, LocalStep, advance, start
from ..system import Bath, Underdamped

STEPS = 32  # of a proposal, as `tj.tune` assumes


def propose_from(
    position: PyTree[Array],
    potential: AbstractPotential,
    key: PRNGKeyArray,
    *,
    dt: Any,
    mass: Any,
    friction: Any = None,
    steps: int,
    adjusted: bool | LocalStep,
) -> Chain:
    """Positions `(batch, ...)` with fresh momenta, moved on by one segment of `tj.advance`.

    What leaves exp(-U) invariant for positions and momenta does so for positions, momenta being
    drawn anew. Without a friction a segment forgets its momentum once: mass / (steps dt).
    """
    if friction is None:
        friction = jax.tree.map(lambda m: jnp.asarray(m) / (steps * dt), mass)
    system = Underdamped(potential, Constant(), Bath(1.0, friction, mass))
    chain = start(system, key, initial=position)
    return advance(system, chain, dt=dt, steps=steps, adjusted=adjusted)


def log_density(chain: Chain) -> Array:
    """ln p of every path, `(batch,)`, up to the constant that the potential leaves out."""
    return chain.ledger.kinetic - chain.ledger.energy
