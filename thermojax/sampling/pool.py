"""Positions from a burn-in that many runs start from, moved on for each of them."""

from __future__ import annotations

from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .burn_in import LOWEST_POPULATION, SETTLE, BurnInReport, burn_in, finite, hmc

MOVES = 2  # HMC moves between the pool and a start


class Pool(eqx.Module):
    """Draws of one equilibrium, `(size, ...)`, and the step of the moves that leave it as it is.

    A burn-in costs as much as many runs. A run that draws from the pool instead takes some of its
    positions, each after two moves of its own: of the same law, near or far from where it was, and
    of other paths than those of the last run. The shares of modes that do not mix stay those of the
    pool.
    """

    positions: PyTree[Array]
    step: Float[Array, ""]

    @classmethod
    def filled(
        cls, key: PRNGKeyArray, reduced_energy, template: PyTree[Array], batch: int
    ) -> tuple[Self, BurnInReport]:
        """Enough for runs of `batch` paths, and how the burn-in went."""
        of_draws, of_moves = jax.random.split(key)
        size = max(batch, LOWEST_POPULATION)
        positions, report = burn_in(of_draws, reduced_energy, template, size)
        vectors, energy, unravel = flattened(positions, reduced_energy)
        first = jnp.full((), 0.3, vectors.dtype)
        vectors, step, _ = hmc(of_moves, energy, vectors, first, SETTLE)
        return jax.lax.stop_gradient(cls(jax.vmap(unravel)(vectors), step)), report

    def drawn(self, key: PRNGKeyArray, reduced_energy, batch: int) -> PyTree[Array]:
        """`batch` positions; no gradient flows through."""
        of_moves, of_choice = jax.random.split(key)
        vectors, energy, unravel = flattened(self.positions, reduced_energy)
        vectors, _, _ = hmc(of_moves, energy, vectors, self.step, MOVES)
        vectors = jax.random.permutation(of_choice, vectors)[:batch]
        return jax.lax.stop_gradient(jax.vmap(unravel)(vectors))


def flattened(positions: PyTree[Array], reduced_energy) -> tuple[Array, Any, Any]:
    """The positions as vectors, the energy of vectors, and the way back."""
    _, unravel = ravel_pytree(jax.tree.map(lambda x: x[0], positions))
    vectors = jax.vmap(lambda x: ravel_pytree(x)[0])(positions)
    return vectors, jax.vmap(lambda v: finite(reduced_energy(unravel(v)))), unravel
