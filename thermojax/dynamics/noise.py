"""The Brownian path on a fixed grid: the noise of step i is a pure function of (key, i).

diffrax's VirtualBrownianTree answers any interval and costs 15-33 times a step; its
UnsafeBrownianPath refuses reverse mode. On a fixed grid neither is needed.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, PyTree

from .order import Order
from .random import both_normals, normal_pair


class Rows(eqx.Module):
    """Numbers drawn for some steps, step by step on the leading axis of every leaf."""

    values: PyTree[Array]

    def at(self, i):
        """Those of step i."""
        return jax.tree.map(lambda leaf: leaf[i], self.values)


class Pairs(eqx.Module):
    """Normals of some steps, two by two as complex numbers, each leaf `(pairs, ...)` in an order.

    Drawn for many steps at once and picked inside of the loop over them, because a loop is the only
    place where XLA's CPU backend is sure to keep them instead of computing them again for
    everything that a step returns.
    """

    values: PyTree[Array]
    odd: Array  # 1 where the first number is the second of its pair
    draws: int = eqx.field(static=True)
    shape: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)
    order: Order = eqx.field(static=True, default=Order.FREE)

    def at(self, i):
        """The `draws` normals of step i, as many pytrees."""
        return tuple(self.number(self.odd + self.draws * i + n) for n in range(self.draws))

    def number(self, counter):
        def one(values, leaf):
            pair = jax.lax.dynamic_index_in_dim(
                values, counter >> 1, keepdims=False, allow_negative_indices=False
            )
            half = jnp.where(counter & 1, pair.imag, pair.real).astype(leaf.dtype)
            batch, *sample = leaf.shape
            shape = (*sample, batch) if self.order is Order.COLUMNS else leaf.shape
            return self.order.restored(half.reshape(shape))

        return self.order.placed(jax.tree.map(one, self.values, self.shape))


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
    even: bool = eqx.field(static=True, default=False)  # whether blocks start at even steps
    particles: Array | None = None  # (batch,), whose noise each path takes; None for its own
    order: Order = eqx.field(static=True, default=Order.FREE)  # of what is drawn for a loop
    shares: int = eqx.field(static=True, default=1)  # into how many the batch was, one a device
    levy_area: ClassVar[type] = dfx.BrownianIncrement

    @property
    def t0(self):
        return -jnp.inf

    @property
    def t1(self):
        return jnp.inf

    def counter(self, first):
        """The number of the first normal of local step `first`."""
        return jnp.asarray(first + self.first_step).astype(jnp.uint32) * np.uint32(self.draws)

    def starts_even(self, count: int) -> bool:
        """Whether pieces of `count` steps are known to begin with the first normal of a pair.

        An odd start needs one pair more; with two normals per step there is none.
        """
        return self.draws % 2 == 0 or (self.even and count % 2 == 0)

    def drawn(self, first, count: int) -> Pairs:
        """The normals of `count` steps from local step `first`, for a loop over them."""
        counter, numbers = self.counter(first), count * self.draws
        pairs = numbers // 2 if self.starts_even(count) else numbers // 2 + 1
        rows = (counter >> np.uint32(1)) + jax.lax.iota(jnp.uint32, pairs)
        leaves, structure = jax.tree.flatten(self.shape)
        values = [self.leaf(place, leaf, rows, self.order) for place, leaf in enumerate(leaves)]
        odd = (counter & np.uint32(1)).astype(jnp.int32)
        return Pairs(structure.unflatten(values), odd, self.draws, self.shape, self.order)

    def few(self, first, count: int) -> list[tuple]:
        """The normals of `count` steps from local step `first`: for each a tuple of pytrees.

        Each pair is an expression of its own, for a compiler that computes several steps in one
        kernel and need not keep any of them.
        """
        counter, even = self.counter(first), self.starts_even(count)
        pair, odd = counter >> np.uint32(1), (counter & np.uint32(1)) == 1
        leaves, structure = jax.tree.flatten(self.shape)
        halves = []
        for j in range((count * self.draws + 1) // 2 if even else count * self.draws // 2 + 1):
            values = [self.leaf(n, leaf, pair + np.uint32(j)) for n, leaf in enumerate(leaves)]
            for half in (jnp.real, jnp.imag):
                each = zip(values, leaves, strict=True)
                numbers = [half(z).astype(x.dtype).reshape(x.shape) for z, x in each]
                halves.append(structure.unflatten(numbers))
        if not even:
            later = lambda a, b: jnp.where(odd, b, a)
            halves = [jax.tree.map(later, a, b) for a, b in itertools.pairwise(halves)]
        return [tuple(halves[self.draws * i :][: self.draws]) for i in range(count)]

    def leaf(self, place: int, leaf, rows, order: Order = Order.FREE):
        """Pairs `(*rows.shape, ...)` for every particle and coordinate of one leaf.

        `(leaf.size,)`, since a CPU's vectors take what is left of a row of coordinates one by one;
        in columns `(coordinates, particles)`.
        """
        batch, size = leaf.shape[0], math.prod(leaf.shape[1:])
        columns = order is Order.COLUMNS
        coordinate = jax.lax.iota(jnp.uint32, size)
        first = jnp.asarray(self.first_particle, jnp.uint32)
        if self.particles is None and not columns:
            index = first * np.uint32(size) + jax.lax.iota(jnp.uint32, batch * size)
        else:
            own = self.particles
            particles = first + jax.lax.iota(jnp.uint32, batch) if own is None else own
            index = particles[:, None] * np.uint32(size) + coordinate
            index = index.T if columns else index.reshape(-1)
        path = None
        if self.antithetic:  # the paths 2j and 2j + 1 take the normals of path j
            path = index // np.uint32(size)
            index = (path >> np.uint32(1)) * np.uint32(size) + index % np.uint32(size)
        # Leaves get streams of their own through the key, which leaves the counters whole.
        words = (self.words[0], self.words[1] + np.uint32(place))
        rows = rows.reshape(rows.shape + (1,) * index.ndim)
        values = normal_pair(words, index, rows, self.noise_dtype)
        if path is None:
            return values
        return jnp.where(path & np.uint32(1), -values, values)

    def lane(self, place: int, size: int, particles, coordinate, pair):
        """Both normals of a pair for one coordinate of some particles, in one leaf of this size."""
        words = (self.words[0], self.words[1] + np.uint32(place))
        own = particles >> np.uint32(1) if self.antithetic else particles
        index = own * np.uint32(size) + jnp.asarray(coordinate).astype(jnp.uint32)
        values = both_normals(words, index, pair, self.noise_dtype)
        if not self.antithetic:
            return values
        second = (particles & np.uint32(1)) == 1
        return tuple(jnp.where(second, -value, value) for value in values)

    def share(self, part, parts: int) -> GridBrownianPath:
        """The noise of one of so many equal shares of the batch."""
        least = lambda leaf: jax.ShapeDtypeStruct(
            (leaf.shape[0] // parts, *leaf.shape[1:]), leaf.dtype
        )
        shape = jax.tree.map(least, self.shape)
        count = jax.tree.leaves(shape)[0].shape[0]
        if self.particles is not None:
            own = jax.lax.dynamic_slice_in_dim(self.particles, part * count, count)
            return dataclasses.replace(self, shape=shape, particles=own)
        return dataclasses.replace(
            self, shape=shape, first_particle=self.first_particle + part * count
        )

    def normals(self, first, count: int):
        """A tuple of `draws` pytrees, each leaf with a leading axis of `count` steps."""
        return jax.vmap(self.drawn(first, count).at)(jnp.arange(count))

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
