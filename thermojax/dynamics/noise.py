"""The Brownian path on a fixed grid: the noise of step i is a pure function of (key, i).

diffrax's VirtualBrownianTree answers any interval and costs 15-33 times a step; its
UnsafeBrownianPath refuses reverse mode. On a fixed grid neither is needed.
"""

from __future__ import annotations

from typing import ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from .random import normal


class GridBrownianPath(dfx.AbstractBrownianPath):
    """Standard normals for every (absolute step, particle, coordinate), and their sums.

    Counters are absolute, so the noise knows nothing of blocks, batches or devices. Time is counted
    in steps: `evaluate(2., 5.)` is the increment W over steps 2, 3 and 4, each of variance `h`.
    """

    words: tuple[Array, Array]
    shape: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)  # of a whole batch
    h: Array
    first_step: int | Array = 0  # the absolute step of local step 0
    first_particle: int | Array = 0
    draws: int = eqx.field(static=True, default=1)  # normals per step and coordinate
    noise_dtype: type = eqx.field(static=True, default=jnp.float32)
    sharding: NamedSharding | None = eqx.field(static=True, default=None)  # of the batch axis
    antithetic: bool = eqx.field(static=True, default=False)  # whether neighbors are opposite
    levy_area: ClassVar[type] = dfx.BrownianIncrement

    @property
    def t0(self):
        return -jnp.inf

    @property
    def t1(self):
        return jnp.inf

    def normals(self, first, count: int):
        """A tuple of `draws` pytrees: normals of `count` steps from local step `first`.

        Each leaf has a leading axis of `count`. Drawn for many steps at once, because a loop is the
        only place where XLA's CPU backend is sure to keep them instead of computing them again for
        everything that a step returns.
        """
        steps = jnp.asarray(first + self.first_step).astype(jnp.uint32)
        steps = steps + jax.lax.iota(jnp.uint32, count)
        return tuple(
            self.counted(steps * np.uint32(self.draws) + np.uint32(i)) for i in range(self.draws)
        )

    def counted(self, counters):
        """Normals of the absolute counters `(count,)`, for every particle and coordinate."""
        leaves, structure = jax.tree.flatten(self.shape)
        drawn = []
        for place, leaf in enumerate(leaves):
            size = int(np.prod(leaf.shape[1:], dtype=np.int64))
            start = jnp.asarray(self.first_particle, jnp.uint32) * np.uint32(size)
            index = start + jax.lax.iota(jnp.uint32, leaf.shape[0] * size).reshape(leaf.shape)
            if self.antithetic:  # the paths 2j and 2j + 1 take the normals of path j
                row = index // np.uint32(size)
                index = (row >> np.uint32(1)) * np.uint32(size) + index % np.uint32(size)
            # Leaves get streams of their own through the key, which leaves the counters whole.
            words = (self.words[0], self.words[1] + np.uint32(place))
            step = counters.reshape(counters.shape + (1,) * index.ndim)
            values = normal(words, index, step, self.noise_dtype).astype(leaf.dtype)
            if self.antithetic:
                values = jnp.where(row & np.uint32(1), -values, values)
            if self.sharding is not None:  # each device draws what its own paths take
                along = NamedSharding(self.sharding.mesh, PartitionSpec(None, *self.sharding.spec))
                values = jax.lax.with_sharding_constraint(values, along)
            drawn.append(values)
        return structure.unflatten(drawn)

    def evaluate(self, t0, t1=None, left=True, use_levy=False):
        del left
        if t1 is None:
            t0, t1 = jnp.zeros_like(t0), t0
        first = jnp.round(t0).astype(int)
        last = jnp.round(t1).astype(int)
        zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.shape)

        def add(i, total):
            return jax.tree.map(lambda a, z: a + z[0], total, self.normals(i, 1)[0])

        total = jax.lax.fori_loop(first, last, add, zero)
        total = jax.tree.map(lambda leaf: jnp.sqrt(self.h).astype(leaf.dtype) * leaf, total)
        if use_levy:
            span = jax.tree.map(lambda leaf: ((t1 - t0) * self.h).astype(leaf.dtype), total)
            return dfx.BrownianIncrement(dt=span, W=total)
        return total
