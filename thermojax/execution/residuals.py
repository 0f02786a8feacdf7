"""Residuals of a step: some that reverse mode keeps, others that it computes again."""

from __future__ import annotations

import functools

import jax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, PyTree

from .cpu.memory_order import MemoryOrder

KEPT = "kept"
POLICIES = jax.checkpoint_policies


def kept(tree: PyTree[Array], order: MemoryOrder) -> PyTree[Array]:
    """The tree unchanged, marked to be kept: a step follows from it again without its noise."""

    def mark(leaf):
        # Kept as it lies in memory: a pile of arrays has an order of its own.
        return order.restored(checkpoint_name(order.stored(leaf), KEPT))

    return jax.tree.map(mark, order.in_memory_order(tree))


# Matrix products are kept as well: they cost more than the memory that they take.
recomputed_from_kept = functools.partial(
    jax.checkpoint,
    policy=POLICIES.save_from_both_policies(
        POLICIES.dots_saveable, POLICIES.save_only_these_names(KEPT)
    ),
    prevent_cse=False,
)
# Of several steps at once (on a GPU) nothing is kept but the start.
recomputed_from_start = functools.partial(
    jax.checkpoint, policy=POLICIES.dots_saveable, prevent_cse=False
)
