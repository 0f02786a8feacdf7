"""The Brownian path on a fixed grid: the noise of step i is a pure function of (key, i).

diffrax's VirtualBrownianTree answers any interval and costs 15-33 times a step; its
UnsafeBrownianPath refuses reverse mode. On a fixed grid neither is needed.
"""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .random import both_normals, normal

TREE_DEPTH = 15


class AbstractStepNoise(eqx.Module):
    """Standard normals of the steps of a run."""

    words: eqx.AbstractVar[tuple[Array, Array]]
    shape: eqx.AbstractVar[PyTree[jax.ShapeDtypeStruct]]

    @abc.abstractmethod
    def normals(self, first, count: int) -> tuple[PyTree[Array], ...]:
        """The normals of `count` steps from local step `first`.

        **Returns:** for each draw of a step a pytree like the position, with a leading axis of
        `count` steps on every leaf.
        """

    def increment(self, t0, t1, h):
        """W(t1) - W(t0) of steps of size h, t0 and t1 in steps: a pytree like the position."""
        first, last = jnp.round(t0).astype(int), jnp.round(t1).astype(int)
        zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.shape)

        def add(i, total):
            return jax.tree.map(lambda a, z: a + z[0], total, self.normals(i, 1)[0])

        total = jax.lax.fori_loop(first, last, add, zero)
        return jax.tree.map(lambda leaf: jnp.sqrt(h).astype(leaf.dtype) * leaf, total)


class GridBrownianPath(dfx.AbstractBrownianPath, AbstractStepNoise):
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
    antithetic: bool = eqx.field(static=True, default=False)  # whether neighbors are opposite
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

    def words_of(self, place: int) -> tuple[Array, Array]:
        """The key of leaf number `place`: leaves get streams of their own, counters stay whole."""
        return self.words[0], self.words[1] + np.uint32(place)

    def pair(self, place: int, size: int, particles, coordinate, pair):
        """Both normals of a pair for one coordinate of some particles, in a leaf of this size."""
        own = particles >> np.uint32(1) if self.antithetic else particles
        index = own * np.uint32(size) + jnp.asarray(coordinate).astype(jnp.uint32)
        values = both_normals(self.words_of(place), index, pair, self.noise_dtype)
        if not self.antithetic:
            return values
        second = (particles & np.uint32(1)) == 1
        return tuple(jnp.where(second, -value, value) for value in values)

    def normals(self, first, count):
        leaves, structure = jax.tree.flatten(self.shape)
        steps = jax.lax.iota(jnp.uint32, count) * np.uint32(self.draws) + self.counter(first)

        def of_leaf(place, leaf, draw):
            size = math.prod(leaf.shape[1:])
            first_particle = jnp.asarray(self.first_particle, jnp.uint32)
            particle = first_particle + jax.lax.iota(jnp.uint32, leaf.shape[0])
            own = particle >> np.uint32(1) if self.antithetic else particle
            index = own[:, None] * np.uint32(size) + jax.lax.iota(jnp.uint32, size)
            counters = (steps + np.uint32(draw))[:, None, None]
            values = normal(self.words_of(place), index, counters, self.noise_dtype)
            if self.antithetic:
                values = jnp.where((particle & np.uint32(1))[:, None] == 1, -values, values)
            return values.reshape(count, *leaf.shape).astype(leaf.dtype)

        draws = [
            [of_leaf(place, leaf, draw) for place, leaf in enumerate(leaves)]
            for draw in range(self.draws)
        ]
        return tuple(map(structure.unflatten, draws))

    def evaluate(self, t0, t1=None, left=True, use_levy=False):
        del left
        if t1 is None:
            t0, t1 = jnp.zeros_like(t0), t0
        total = self.increment(t0, t1, self.h)
        if use_levy:
            span = jax.tree.map(lambda leaf: ((t1 - t0) * self.h).astype(leaf.dtype), total)
            return dfx.BrownianIncrement(dt=span, W=total)
        return total


class TreeNoise(AbstractStepNoise):
    """Normals of the steps of a whole run, taken from one Brownian path at any number of steps.

    The tree lives on [0, 1], because its times take no derivative and the duration may.
    """

    words: tuple[Array, Array]
    shape: PyTree[jax.ShapeDtypeStruct] = eqx.field(static=True)  # of a whole batch
    steps: int = eqx.field(static=True)

    def normals(self, first, count):
        """Increment and Levy areas of each step, scaled to variance 1."""
        key = jax.random.wrap_key_data(jnp.stack(self.words), impl="threefry2x32")
        tree = dfx.VirtualBrownianTree(
            0.0, 1.0, 2.0**-TREE_DEPTH, self.shape, key, dfx.SpaceTimeTimeLevyArea
        )

        def of_step(step):
            levy = tree.evaluate(step / self.steps, (step + 1) / self.steps, use_levy=True)
            assert isinstance(levy, dfx.SpaceTimeTimeLevyArea)
            scales = (math.sqrt(self.steps * n) for n in (1.0, 12.0, 720.0))
            return tuple(
                jax.tree.map(lambda leaf, scale=scale: scale * leaf, integral)
                for integral, scale in zip((levy.W, levy.H, levy.K), scales, strict=True)
            )

        return jax.lax.map(of_step, first + jnp.arange(count))
