"""A block tried without freezing the paths that diverge, since hardly ever does one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._tree import where_alive
from ..dynamics import PathState, StepEnergies
from .policy import DivergencePolicy


def try_optimistic(
    run: Callable[..., tuple[PathState, StepEnergies, Any]], state: PathState
) -> tuple[PathState, StepEnergies]:
    """The state after a block without freezing on the way; if a path diverged, anew with.

    In every step a choice between old and new makes all that leaves it depend on the energy at its
    end, which XLA:CPU then computes once for each of them. Without that choice a block is faster,
    and takes nearly twice as long where a path diverges in it.

    **Arguments:** `run`: the block under a `policy=`; `state`: at its start.
    """
    new, total, _ = run(policy=DivergencePolicy.FLAG)
    alive = state.alive > 0
    diverged = jnp.any(alive & (new.alive <= 0))
    again = lambda _: (False, *run(policy=DivergencePolicy.FREEZE)[:2])
    # Unlike lax.cond, a loop that nobody enters costs nothing under vmap.
    _, new, total = jax.lax.while_loop(lambda x: x[0], again, (diverged, new, total))
    return where_alive(alive, (new, total), (state, jax.tree.map(jnp.zeros_like, total)))
