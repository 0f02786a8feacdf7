"""A block of steps as one kernel of a GPU, a path a thread.

XLA computes a step in several kernels, which hand its numbers from one to the next through
memory. Here a path stays in registers for the whole block, noise and ledger included.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array

from ..._tuning import ON_GPU
from ..drawing import Drawing
from .kernel import kernel
from .numbers import Numbers, Unknown, alike, entries
from .program import Program


def sample(leaf) -> tuple[int, ...]:
    """The shape of a batch of one."""
    return (1, *leaf.shape[1:])


def shapes_of(arrays) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]


def size_of(leaf) -> int:
    """Numbers of one path, or of one row of a table."""
    return math.prod(leaf.shape[1:])


def row_length(drawing: Drawing) -> int | None:
    """The length of rows that stay whole and lie across the threads: a power of two."""
    lengths = [leaf.shape[-1] for leaf in jax.tree.leaves(drawing.counted.shape) if leaf.ndim > 1]
    return max((n for n in lengths if n >= ON_GPU.row and n & (n - 1) == 0), default=None)


def steps_per_iteration(drawing: Drawing, steps: int) -> int:
    """Steps of one iteration of a kernel's loop: two where they share the normals of a pair."""
    odd = drawing.counted.draws % 2
    return 2 if odd and steps % 2 == 0 and drawing.starts_even(steps) else 1


def of_one_path(step: Callable, drawing: Drawing, state, coefficients) -> ClosedJaxpr:
    """The program of an iteration for a batch of one: (state, coefficients, normals) -> state."""
    unroll = steps_per_iteration(drawing, jax.tree.leaves(coefficients)[0].shape[0])
    path = drawing.counted

    def iteration(state, coefficients, normals):
        for own, drawn in zip(coefficients, normals, strict=True):
            state = step(state, own, drawn)
        return state

    one = lambda leaf: jax.ShapeDtypeStruct(sample(leaf), leaf.dtype)
    row = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
    normals = ((jax.tree.map(one, path.shape),) * path.draws,) * unroll
    return jax.make_jaxpr(iteration)(
        jax.tree.map(one, state), (jax.tree.map(row, coefficients),) * unroll, normals
    )


class Threads(eqx.Module):
    """A batch of paths, what moves them, and how it is laid out in kernels.

    **Arguments:** `program`: of an iteration of one path; `leaves`: of the state, `(batch, ...)`;
    `table`: of which each substep reads a row, `(steps, ...)`; `row`: the length of rows of numbers
    that stay whole.
    """

    drawing: Drawing
    first: Array  # the number of the first normal
    program: Program = eqx.field(static=True)
    leaves: tuple[jax.ShapeDtypeStruct, ...] = eqx.field(static=True)
    table: tuple[jax.ShapeDtypeStruct, ...] = eqx.field(static=True)
    row: int | None = eqx.field(static=True)

    @property
    def batch(self) -> int:
        return self.leaves[0].shape[0]

    @property
    def paths(self) -> int:
        """The paths of one program of the grid."""
        if self.row is None:
            return ON_GPU.threads
        return max(ON_GPU.row_numbers * ON_GPU.threads // self.row, 1)

    @property
    def grid(self) -> int:
        return math.ceil(self.batch / self.paths)

    @property
    def unroll(self) -> int:
        """Steps of one iteration of the loop."""
        return steps_per_iteration(self.drawing, self.steps)

    @property
    def steps(self) -> int:
        return self.table[0].shape[0]

    @property
    def layout(self) -> Threads:
        """The threads without their arrays, for a kernel, which is written when these are gone."""
        return eqx.filter(self, eqx.is_array, inverse=True)

    def is_whole(self, shape) -> bool:
        return is_whole(shape, self.row)

    def check(self, read: list) -> None:
        """**Raises:** Unknown, where there is too much of it."""
        count = lambda shape: math.prod(shape[:-1] if self.is_whole(shape) else shape)
        of_path = sum(count(sample(leaf)) for leaf in self.leaves)
        coordinates = sum(
            count(sample(leaf)) for leaf in jax.tree.leaves(self.drawing.counted.shape)
        )
        if max(of_path, sum(count(x.shape) for x in read)) > ON_GPU.registers or (
            coordinates > ON_GPU.coordinates
        ):
            raise Unknown("too many numbers")
        if not all(jnp.issubdtype(x.dtype, jnp.number) for x in read):
            raise Unknown("keys, or flags")
        if max(leaf.size for leaf in self.leaves) >= 2**31:
            raise Unknown("more numbers than places")

    def called(self, body: Callable, inputs: list, outputs: list) -> list[Array]:
        """A kernel of so many programs: `body` of its context, and of references to all."""
        path, particles = self.drawing.counted, self.drawing.particles
        particle = jnp.asarray(path.first_particle).astype(jnp.uint32)
        counters = [jnp.stack([*path.words, particle, self.first])]
        if particles is not None:
            counters.append(particles)
        count, layout = len(counters), self.layout

        def block(program, *refs):
            number = program * layout.paths + jnp.arange(layout.paths, dtype=jnp.int32)
            body(KernelContext(layout, program, number, refs[:count]), list(refs[count:]))

        shapes = tuple(jax.ShapeDtypeStruct((x.size,), x.dtype) for x in outputs)
        inputs = [x.reshape(-1) for x in (*counters, *inputs)]
        return kernel(block, self.grid, shapes, inputs)

    def places(self, shape, start: Any = 0) -> np.ndarray:
        """Where the objects of an array are that lies in memory from `start` on."""
        if not self.is_whole(shape):
            return entries(shape, lambda at: start + np.int32(at))
        row, start = self.row, start[:, None] if np.ndim(start) else start
        along = jax.lax.broadcasted_iota(jnp.int32, (1, row), 1)
        return entries(shape[:-1], lambda at: start + np.int32(at * row) + along)

    def arrays(self, values: list, shapes: list) -> list[np.ndarray]:
        """Arrays of these shapes, from a list of all objects."""
        rest = iter(values)
        shapes = [shape[:-1] if self.is_whole(shape) else shape for shape in shapes]
        return [entries(shape, lambda _: next(rest)) for shape in shapes]


class KernelContext:
    """One program of the grid: the numbers of its paths, and how they come and go."""

    def __init__(self, threads: Threads, program, number, counters):
        counted, *particles = counters
        self.threads, self.program, self.number = threads, program, number
        self.real = number < threads.batch
        self.path = dataclasses.replace(threads.drawing.counted, words=(counted[0], counted[1]))
        self.first = counted[3]
        self.particles = counted[2] + number.astype(jnp.uint32)
        if particles:
            self.particles = self.loaded(particles[0], number)

    def mask(self, at):
        return alike(self.real, at)[0]

    def loaded(self, ref, at):
        from jax.experimental.pallas import triton

        return triton.load(ref.at[at], mask=self.mask(at), other=0)

    def of_paths(self, ref, leaf, start: Any = 0) -> np.ndarray:
        """The numbers of a leaf of all paths."""
        places = self.threads.places(sample(leaf), start + self.number * size_of(leaf))
        return entries(places.shape, lambda n: self.loaded(ref, places.flat[n]))

    def left(self, ref, leaf, values: np.ndarray, start: Any = 0) -> None:
        """Stores the values of a leaf for all paths."""
        from jax.experimental.pallas import triton

        places = self.threads.places(sample(leaf), start + self.number * size_of(leaf))
        for at, value in zip(places.flat, values.flat, strict=True):
            triton.store(ref.at[at], alike(value, at)[0], mask=self.mask(at))

    def of_all(self, ref, shape, start: Any = 0) -> np.ndarray:
        """An array that all paths read."""
        places = self.threads.places(shape, start)
        return entries(places.shape, lambda n: ref[places.flat[n]])

    def sums(self, ref, shape, values: np.ndarray, at) -> None:
        """The sums over paths of such an array are stored, in place `at` of a row of arrays."""
        from jax.experimental.pallas import triton

        for place, value in zip(
            self.threads.places(shape, at * math.prod(shape)).flat, values.flat, strict=True
        ):
            whole = np.ndim(place) == 2
            value = alike(value, self.number[:, None] + place if whole else self.number)[0]
            value = jnp.where(self.mask(value), value, 0)
            triton.store(ref.at[place], jnp.sum(value, axis=0, keepdims=whole))

    def nothing(self, shape, dtype) -> np.ndarray:
        """An array of zeros for each path."""
        paths, row = self.threads.paths, self.threads.row
        zero = jnp.zeros((paths, row) if self.threads.is_whole(shape) else paths, dtype)
        return entries(self.threads.places(shape).shape, lambda _: zero)

    def coefficients(self, refs: list, iteration) -> list[np.ndarray]:
        """The coefficients of the steps of one iteration."""
        return [
            self.of_all(ref, x.shape[1:], (iteration * self.threads.unroll + n) * size_of(x))
            for n in range(self.threads.unroll)
            for ref, x in zip(refs, self.threads.table, strict=True)
        ]

    def normals(self, iteration) -> list[np.ndarray]:
        """The normals of the steps of one iteration, for each `draws` times all leaves."""
        leaves, count = jax.tree.leaves(self.path.shape), self.threads.unroll * self.path.draws
        first = self.first + jnp.asarray(iteration).astype(jnp.uint32) * np.uint32(count)

        def both(number):
            """The arrays of all leaves, of this number, which is even, and of the next."""
            pair = (first + np.uint32(number)) >> np.uint32(1)
            halves: tuple[list, list] = [], []
            for place, leaf in enumerate(leaves):
                places, values = self.threads.places(sample(leaf)), []
                for at in places.flat:
                    own = self.particles.reshape(-1, *[1] * (np.ndim(at) - 1))
                    values.append(self.path.pair(place, size_of(leaf), own, at, pair))
                for half, found in zip(halves, zip(*values, strict=True), strict=True):
                    one = lambda n, found=found, leaf=leaf: found[n].astype(leaf.dtype)
                    half.append(entries(places.shape, one))
            return halves

        arrays = [half for number in range(0, count, 2) for half in both(number)]
        if count == 1:  # whichever of the two it is
            odd = (first & np.uint32(1)) == 1
            either = lambda a, b: entries(a.shape, lambda n: jnp.where(odd, b.flat[n], a.flat[n]))
            arrays = [list(map(either, *arrays))]
        return list(itertools.chain(*arrays))


def is_whole(shape, row: int | None) -> bool:
    return row is not None and shape[-1:] == (row,)


def flat(arrays: list[np.ndarray]) -> list:
    return [x for array in arrays for x in array.flat]


def split(refs: list, *counts: int) -> list[list]:
    rest = iter(refs)
    return [[next(rest) for _ in range(count)] for count in counts]


def looped(iterations: int, step: Callable, values: Any) -> Any:
    return jax.lax.fori_loop(np.int32(0), np.int32(iterations), step, values)


def run_threads(given: tuple, threads: Threads) -> list[Array]:
    """The leaves of the state after all rows of the table.

    **Arguments:** `given`: constants, leaves, table.
    """
    constants, leaves, table = map(shapes_of, given)
    shapes, layout = [sample(leaf) for leaf in leaves], threads.layout

    def block(context: KernelContext, refs):
        read, begin, coefficients, end = split(
            refs, len(constants), len(leaves), len(table), len(leaves)
        )
        known = [context.of_all(ref, x.shape) for ref, x in zip(read, constants, strict=True)]

        def iterate(i, values):
            arguments = [
                *layout.arrays(values, shapes),
                *context.coefficients(coefficients, i),
                *context.normals(i),
            ]
            numbers = Numbers(ON_GPU.operations, layout.row)
            state = numbers.evaluated(layout.program, known, arguments)
            return [alike(x, old)[0] for x, old in zip(flat(state), values, strict=True)]

        state = flat([context.of_paths(ref, x) for ref, x in zip(begin, leaves, strict=True)])
        state = layout.arrays(looped(layout.steps // layout.unroll, iterate, state), shapes)
        for ref, leaf, values in zip(end, leaves, state, strict=True):
            context.left(ref, leaf, values)

    done = threads.called(block, list(itertools.chain(*given)), leaves)
    return [x.reshape(leaf.shape) for x, leaf in zip(done, leaves, strict=True)]
