"""Noise as loops take it: drawn for many steps at once, two normals from one counter."""

from __future__ import annotations

import dataclasses
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..dynamics import AbstractStepNoise, GridBrownianPath
from ..dynamics.random import normal_pair
from .cpu.memory_order import MemoryOrder


class StepNormals(eqx.Module):
    """Normals drawn for some steps, each leaf with the steps on its leading axis."""

    values: tuple[PyTree[Array], ...]

    def at(self, i):
        """The normals of step i."""
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
    order: MemoryOrder = eqx.field(static=True, default=MemoryOrder.FREE)

    def at(self, i):
        """The `draws` normals of step i, as many pytrees."""
        return tuple(self.number(self.odd + self.draws * i + n) for n in range(self.draws))

    def number(self, counter):
        """The normals with this number, counted from the first pair."""

        def pick(values, leaf):
            pair = jax.lax.dynamic_index_in_dim(
                values, counter >> 1, keepdims=False, allow_negative_indices=False
            )
            half = jnp.where(counter & 1, pair.imag, pair.real).astype(leaf.dtype)
            batch, *sample = leaf.shape
            shape = (*sample, batch) if self.order is MemoryOrder.COLUMN_MAJOR else leaf.shape
            return self.order.restored(half.reshape(shape))

        return self.order.in_memory_order(jax.tree.map(pick, self.values, self.shape))


class Drawing(eqx.Module):
    """The noise of a path, drawn for a loop over its steps.

    `even`: whether blocks are known to start at even steps. `particles`: `(batch,)`, whose noise
    each path takes; None for its own.
    """

    path: AbstractStepNoise
    order: MemoryOrder = eqx.field(static=True, default=MemoryOrder.FREE)
    even: bool = eqx.field(static=True, default=False)
    particles: Array | None = None

    @property
    def counted(self) -> GridBrownianPath:
        """The path whose normals can each be drawn by itself."""
        assert isinstance(self.path, GridBrownianPath)
        return self.path

    def starts_even(self, count: int) -> bool:
        """Whether runs of `count` steps are known to begin with the first normal of a pair.

        An odd start needs one pair more; with two normals per step there is none.
        """
        return self.counted.draws % 2 == 0 or (self.even and count % 2 == 0)

    def drawn(self, first, count: int) -> Pairs | StepNormals:
        """The normals of `count` steps from local step `first`, for a loop over them."""
        if not isinstance(self.path, GridBrownianPath):
            return StepNormals(self.path.normals(first, count))
        draws, counter = self.path.draws, self.path.counter(first)
        pairs = count * draws // 2 + (0 if self.starts_even(count) else 1)
        pair = (counter >> np.uint32(1)) + jax.lax.iota(jnp.uint32, pairs)
        leaves, structure = jax.tree.flatten(self.path.shape)
        values = [self.of_leaf(place, leaf, pair, self.order) for place, leaf in enumerate(leaves)]
        odd = (counter & np.uint32(1)).astype(jnp.int32)
        return Pairs(structure.unflatten(values), odd, draws, self.path.shape, self.order)

    def few(self, first, count: int) -> list[tuple[PyTree[Array], ...]]:
        """The normals of `count` steps from local step `first`: for each a tuple of pytrees.

        Each pair is an expression of its own, for a compiler that computes several steps in one
        kernel and need not keep any of them.
        """
        draws, counter = self.counted.draws, self.counted.counter(first)
        even = self.starts_even(count)
        pair, odd = counter >> np.uint32(1), (counter & np.uint32(1)) == 1
        leaves, structure = jax.tree.flatten(self.path.shape)
        halves = []
        for j in range((count * draws + 1) // 2 if even else count * draws // 2 + 1):
            values = [self.of_leaf(n, leaf, pair + np.uint32(j)) for n, leaf in enumerate(leaves)]
            for half in (jnp.real, jnp.imag):
                each = zip(values, leaves, strict=True)
                numbers = [half(z).astype(x.dtype).reshape(x.shape) for z, x in each]
                halves.append(structure.unflatten(numbers))
        if not even:
            later = lambda a, b: jnp.where(odd, b, a)
            halves = [jax.tree.map(later, a, b) for a, b in itertools.pairwise(halves)]
        return [tuple(halves[draws * i :][:draws]) for i in range(count)]

    def of_leaf(self, place: int, leaf, pair, order: MemoryOrder = MemoryOrder.FREE):
        """The pairs of number `pair`, `(*pair.shape, ...)`, for each coordinate of one leaf.

        `(leaf.size,)`, since a CPU's vectors take what is left of a row of coordinates one by one;
        in columns `(coordinates, particles)`.
        """
        path, batch, size = self.counted, leaf.shape[0], math.prod(leaf.shape[1:])
        columns = order is MemoryOrder.COLUMN_MAJOR
        coordinate = jax.lax.iota(jnp.uint32, size)
        first = jnp.asarray(path.first_particle, jnp.uint32)
        if self.particles is None and not columns:
            index = first * np.uint32(size) + jax.lax.iota(jnp.uint32, batch * size)
        else:
            own = self.particles
            particles = first + jax.lax.iota(jnp.uint32, batch) if own is None else own
            index = particles[:, None] * np.uint32(size) + coordinate
            index = index.T if columns else index.reshape(-1)
        particle = None
        if path.antithetic:  # the paths 2j and 2j + 1 take the normals of path j
            particle = index // np.uint32(size)
            index = (particle >> np.uint32(1)) * np.uint32(size) + index % np.uint32(size)
        pair = pair.reshape(pair.shape + (1,) * index.ndim)
        values = normal_pair(path.words_of(place), index, pair, path.noise_dtype)
        if particle is None:
            return values
        return jnp.where(particle & np.uint32(1), -values, values)

    def tile(self, number, tiles: int) -> Drawing:
        """The noise of one of so many equal tiles of the batch."""
        path = cut_path(self.counted, number, tiles)
        if self.particles is None:
            return dataclasses.replace(self, path=path)
        count = jax.tree.leaves(path.shape)[0].shape[0]
        own = jax.lax.dynamic_slice_in_dim(self.particles, number * count, count)
        return dataclasses.replace(self, path=path, particles=own)


def cut_path(path: GridBrownianPath, number, count: int) -> GridBrownianPath:
    """The noise of slice `number` of a batch that is cut into `count` equal ones."""

    def cut(leaf):
        return jax.ShapeDtypeStruct((leaf.shape[0] // count, *leaf.shape[1:]), leaf.dtype)

    shape = jax.tree.map(cut, path.shape)
    first = path.first_particle + number * jax.tree.leaves(shape)[0].shape[0]
    return dataclasses.replace(path, shape=shape, first_particle=first)
