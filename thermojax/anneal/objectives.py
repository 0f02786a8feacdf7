"""The losses of an annealer: what is minimized, and how it is differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .path_law import Path, densities
from .process import AbstractAnnealer, forward_paths, log_weights

Weighted: TypeAlias = tuple[Float[Array, ""], tuple[Float[Array, " batch"], Float[Array, " batch"]]]


def elbo(annealer: AbstractAnnealer, key: PRNGKeyArray, batch: int) -> Weighted:
    """-<log w> along the paths, reparametrized."""
    start, out = forward_paths(annealer, key, batch)
    alive = out.ledger.alive
    weights = log_weights(annealer, start, out)
    return mean_of_alive(-weights, alive), seen(weights, alive)


def detached(annealer: AbstractAnnealer, key: PRNGKeyArray, batch: int) -> Weighted:
    """-<log w>, the parameters of the forward density held fixed but for the path itself."""
    path, alive = recorded(annealer, key, batch)
    there = densities(held(annealer), path).forward
    weights = densities(annealer, path).backward - there
    return mean_of_alive(-weights, alive), seen(weights, alive)


def log_variance(annealer: AbstractAnnealer, key: PRNGKeyArray, batch: int) -> Weighted:
    """The variance of log w on paths held fixed."""
    path, alive = recorded(held(annealer), key, batch)
    there, back = densities(annealer, jax.lax.stop_gradient(path))
    weights = back - there
    off = weights - mean_of_alive(weights, alive)
    count = jnp.sum(alive > 0)
    bessel = count / jnp.maximum(count - 1, 1)
    return bessel * mean_of_alive(off**2, alive), seen(weights, alive)


LOSSES: dict[str, Callable[[AbstractAnnealer, PRNGKeyArray, int], Weighted]] = dict(
    elbo=elbo, log_variance=log_variance, detached=detached
)


def recorded(annealer: AbstractAnnealer, key, batch: int) -> tuple[Path, Float[Array, " batch"]]:
    """The paths at every grid point, of those that diverged that of another; and who is alive."""
    _, out = forward_paths(
        annealer, key, batch, save=annealer.steps + 1, observe=position_and_momentum
    )
    assert out.saved is not None
    alive = out.ledger.alive
    survivor = jnp.argmax(alive > 0)
    own = lambda x: jnp.where((alive > 0)[None, :, None], x, x[:, survivor][:, None])
    return Path(*map(own, out.saved.values)), alive


def held(annealer: AbstractAnnealer) -> AbstractAnnealer:
    """The same annealer, without a derivative."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, annealer)


def position_and_momentum(time, state, ledger):
    return state.position, state.momentum


def mean_of_alive(values, alive):
    """The mean over the paths that did not diverge."""
    kept = alive > 0
    return jnp.sum(jnp.where(kept, values, 0)) / jnp.sum(kept)


def seen(weights, alive):
    """(log weights, -inf where a path diverged; alive), without a derivative."""
    return jax.lax.stop_gradient((jnp.where(alive > 0, weights, -jnp.inf), alive))
