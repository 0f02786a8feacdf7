"""Positions from a burn-in that many runs start from, moved on for each of them."""

from __future__ import annotations

from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .burn_in import LOWEST_POPULATION, SETTLE, BurnInReport, burn_in, hmc, reduced_energy

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
        cls, key: PRNGKeyArray, energy, template: PyTree[Array], batch: int, temperature
    ) -> tuple[Self, BurnInReport]:
        """Enough for runs of `batch` paths, and how the burn-in went."""
        of_draws, of_moves = jax.random.split(key)
        size = max(batch, LOWEST_POPULATION)
        positions, report = burn_in(of_draws, energy, template, size, temperature)
        u, target, back = standardized(positions, energy, temperature)
        u, step, _ = hmc(of_moves, target, u, jnp.full((), 0.3, u.dtype), SETTLE)
        return jax.lax.stop_gradient(cls(back(u), step)), report

    def drawn(self, key: PRNGKeyArray, energy, batch: int, temperature) -> PyTree[Array]:
        """`batch` positions; no gradient flows through."""
        of_moves, of_choice = jax.random.split(key)
        u, target, back = standardized(self.positions, energy, temperature)
        u, _, _ = hmc(of_moves, target, u, self.step, MOVES)
        return jax.lax.stop_gradient(back(jax.random.permutation(of_choice, u)[:batch]))


def standardized(positions: PyTree[Array], energy, temperature) -> tuple[Array, Any, Any]:
    """Positions as vectors about their mean, in units of their widths; U/kT of these vectors about
    that of the first; and the way back.
    """
    first = jax.tree.map(lambda x: x[0], positions)
    _, unravel = ravel_pytree(first)
    vectors = jax.vmap(lambda x: ravel_pytree(x)[0])(positions)
    center, width = jnp.mean(vectors, axis=0), jnp.std(vectors, axis=0)
    width = jnp.where(width > 0, width, 1)
    back = jax.vmap(lambda u: unravel(center + width * u))
    reduced = reduced_energy(energy, first, temperature)[0]
    return (vectors - center) / width, lambda u: reduced(back(u)), back
