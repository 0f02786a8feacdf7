"""The order of the arrays of a loop in memory, on a CPU."""

from __future__ import annotations

import enum

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, PyTree


class MemoryOrder(enum.Enum):
    """The order in memory of a batch, or of a tile of it, while a loop goes over its steps.

    In rows shorter than a few vectors the processor shuffles more than it computes. With the paths
    side by side its vectors hold the same coordinate of many paths, and sums over the coordinates
    are sums of vectors.
    """

    FREE = enum.auto()  # as the compiler likes
    ROW_MAJOR = enum.auto()  # path after path
    COLUMN_MAJOR = enum.auto()  # coordinate after coordinate, the paths side by side

    def in_memory_order(self, tree: PyTree[Array]) -> PyTree[Array]:
        """The arrays of a tree, batch first, in this order; their numbers and axes stay.

        An array whose order is fixed is also kept: the compiler does not compute it again for
        each of its readers. Where a path has one coordinate there is nothing to order.
        """
        return jax.tree.map(self._arranged, tree)

    def _arranged(self, leaf):
        if self is MemoryOrder.FREE or leaf.ndim < 2 or leaf.size == len(leaf):
            return leaf
        axes = tuple(range(leaf.ndim))
        return with_layout_constraint(
            leaf, Layout(axes if self is MemoryOrder.ROW_MAJOR else (*axes[1:], 0))
        )

    def stored(self, leaf: Array) -> Array:
        """A batch with its axes in the order in which they lie in memory, the slowest first."""
        return jnp.moveaxis(leaf, 0, -1) if self is MemoryOrder.COLUMN_MAJOR else leaf

    def restored(self, leaf: Array) -> Array:
        """The inverse of `stored`."""
        return jnp.moveaxis(leaf, -1, 0) if self is MemoryOrder.COLUMN_MAJOR else leaf
