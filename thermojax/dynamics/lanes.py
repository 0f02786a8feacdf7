"""A block of substeps as one kernel of a GPU, a path a lane.

XLA computes a substep in several kernels, which hand its numbers from one to the next through
memory. Here a path stays in registers for the whole block, noise and ledger included. Written for
Pallas, which compiles it through Triton.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from .noise import GridBrownianPath
from .scalars import (
    Numbers,
    Program,
    Unknown,
    alike,
    entries,
    numbers,
    prepared,
)

THREADS = 128  # of one program of the grid: four warps
ROW, FEW, MOST, OPERATIONS = 8, 8, 64, 2048
# Rows of 8, 16, 32, ... coordinates stay whole and lie across the threads. Else each coordinate is
# a number by itself, few of them, for the sake of the compiler. `MOST` numbers or rows may be those
# of a path, which are kept in registers, and those that all paths read.


@functools.cache
def are_compiled() -> bool:
    """Whether there is a compiler for such kernels: on a GPU that it knows."""
    if jax.default_backend() != "gpu":
        return False
    try:
        from jax.experimental.pallas import triton
    except ImportError:
        return False
    # Later versions of JAX look the card up in a list, and warn that Mosaic is to take over.
    warnings.filterwarnings("ignore", "The Pallas Triton backend", DeprecationWarning)
    try:
        return getattr(triton, "get_gpu_info", bool)() is not None
    except ValueError:
        return False


def advanced(
    substep: Callable, path: GridBrownianPath, first, state: PyTree[Array], rows: PyTree[Array]
) -> Any:
    """The state after a block; None where that is no kernel.

    **Arguments:** `substep`: (state, row, normals) -> state, of a batch; `path`: the noise, whose
    step `first` is that of the first row; `state`, `rows`: arrays `(batch, ...)`, `(steps, ...)`.
    """
    leaves, structure = jax.tree.flatten(state)
    program = of_one_path(substep, path, state, rows)
    for row in dict.fromkeys((row_of(path), None)):
        kernel = Kernel(program, path, leaves, jax.tree.leaves(rows), row)
        try:
            return structure.unflatten(kernel(first))
        except Unknown:
            continue
    return None


def of_one_path(substep: Callable, path: GridBrownianPath, state, rows) -> Program:
    """The program of a substep of a batch of one."""
    one = lambda leaf: jax.ShapeDtypeStruct(sample(leaf), leaf.dtype)
    row = lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
    normals = (jax.tree.map(one, path.shape),) * path.draws
    given = jax.tree.map(one, state), jax.tree.map(row, rows), normals
    return prepared(jax.make_jaxpr(substep)(*given))


def sample(leaf) -> tuple[int, ...]:
    """The shape of a batch of one."""
    return (1, *leaf.shape[1:])


def size_of(leaf) -> int:
    """Numbers of one path, or of one row of a table."""
    return math.prod(leaf.shape[1:])


def row_of(path: GridBrownianPath) -> int | None:
    """The length of rows that stay whole: a power of two, as Triton has them."""
    lengths = [leaf.shape[-1] for leaf in jax.tree.leaves(path.shape) if leaf.ndim > 1]
    return max((n for n in lengths if n >= ROW and n & (n - 1) == 0), default=None)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The program of one path, for a batch.

    `leaves`: of the state; `table`: of which each substep reads a row; `row`: the length of rows
    that stay whole.
    """

    program: Program
    path: GridBrownianPath
    leaves: list
    table: list
    row: int | None

    @property
    def paths(self) -> int:
        """Of one program of the grid: one or two numbers a thread."""
        return THREADS if self.row is None else max(2 * THREADS // self.row, 1)

    @property
    def steps(self) -> int:
        return self.table[0].shape[0]

    @property
    def turn(self) -> int:
        """Substeps of one turn of the loop: two where they share the normals of a pair."""
        whole = self.steps % 2 == 0 and self.path.starts_even(self.steps)
        return 2 if self.path.draws % 2 and whole else 1

    def is_whole(self, shape) -> bool:
        return self.row is not None and shape[-1:] == (self.row,)

    def is_read(self, constant) -> bool:
        """Whether a constant is read from memory; else it is known to the compiler."""
        return isinstance(constant, Tracer) or self.is_whole(constant.shape)

    def check(self, read: list) -> None:
        """**Raises:** Unknown, where there is too much of it."""
        count = lambda shape: math.prod(shape[:-1] if self.is_whole(shape) else shape)
        of_path = sum(count(sample(leaf)) for leaf in self.leaves)
        coordinates = sum(count(sample(leaf)) for leaf in jax.tree.leaves(self.path.shape))
        if max(of_path, sum(count(x.shape) for x in read)) > MOST or coordinates > FEW:
            raise Unknown("too many numbers")
        if not all(jnp.issubdtype(x.dtype, jnp.number) for x in read):
            raise Unknown("keys, or flags")

    def __call__(self, first) -> list[Array]:
        """The leaves of the state after all rows of the table."""
        # Imported where it is needed: it takes half a second.
        from jax.experimental import pallas as pl
        from jax.experimental.pallas import triton

        path, leaves, table = self.path, self.leaves, self.table
        read = [jnp.asarray(x) for x in self.program.constants.values() if self.is_read(x)]
        self.check(read)
        particle = jnp.asarray(path.first_particle).astype(jnp.uint32)
        counters = jnp.stack([*path.words, particle, path.counter(first)])

        def block(*refs):
            rest = iter(refs)
            take = lambda some: [next(rest) for _ in some]
            (counters,), constants, rows, begin, end = map(take, ([0], read, table, leaves, leaves))
            number = pl.program_id(0) * self.paths + jnp.arange(self.paths, dtype=jnp.int32)
            real = number < leaves[0].shape[0]
            noise = dataclasses.replace(path, words=(counters[0], counters[1]))
            particles = counters[2] + number.astype(jnp.uint32)
            mask = lambda at: alike(real, at)[0]
            load = lambda ref: lambda at: triton.load(ref.at[at], mask=mask(at), other=0)
            later = iter(constants)
            consts = [
                self.taken(x.shape, next(later).__getitem__) if self.is_read(x) else numbers(x)
                for x in self.program.constants.values()
            ]

            def turned(i, values):
                state = self.arrays(values)
                counter = counters[3] + i.astype(jnp.uint32) * np.uint32(self.turn * path.draws)
                for n, normals in enumerate(self.drawn(noise, particles, counter)):
                    at = i * self.turn + n
                    row = [
                        self.taken(x.shape[1:], ref.__getitem__, at * size_of(x))
                        for ref, x in zip(rows, table, strict=True)
                    ]
                    known = Numbers(OPERATIONS, self.row)
                    state = known.evaluated(self.program, consts, [*state, *row, *normals])
                return [alike(x, old)[0] for x, old in zip(flat(state), values, strict=True)]

            state = [
                self.taken(sample(leaf), load(ref), number * size_of(leaf))
                for ref, leaf in zip(begin, leaves, strict=True)
            ]
            turns = np.int32(self.steps // self.turn)
            state = self.arrays(jax.lax.fori_loop(np.int32(0), turns, turned, flat(state)))
            for ref, leaf, values in zip(end, leaves, state, strict=True):
                places = self.places(sample(leaf), number * size_of(leaf))
                for at, value in zip(places.flat, values.flat, strict=True):
                    triton.store(ref.at[at], value, mask=mask(at))

        inputs = [x.reshape(-1) for x in (counters, *read, *table, *leaves)]
        done = pl.pallas_call(
            block,
            out_shape=[jax.ShapeDtypeStruct((leaf.size,), leaf.dtype) for leaf in leaves],
            grid=(math.ceil(leaves[0].shape[0] / self.paths),),
            compiler_params=triton.CompilerParams(num_warps=THREADS // 32, num_stages=1),
            # By JAX's own operations, slowly: to test the kernel where there is no GPU.
            interpret=jax.devices()[0].platform == "cpu",
            name="block",
        )(*inputs)
        return [x.reshape(leaf.shape) for x, leaf in zip(done, leaves, strict=True)]

    def places(self, shape, start: Any = 0) -> np.ndarray:
        """Where in memory the objects of an array are that lies there from `start` on."""
        if not self.is_whole(shape):
            return entries(shape, lambda at: start + np.int32(at))
        row, start = self.row, start[:, None] if np.ndim(start) else start
        along = jax.lax.broadcasted_iota(jnp.int32, (1, row), 1)
        return entries(shape[:-1], lambda at: start + np.int32(at * row) + along)

    def taken(self, shape, load: Callable, start: Any = 0) -> np.ndarray:
        places = self.places(shape, start)
        return entries(places.shape, lambda at: load(places.flat[at]))

    def arrays(self, values) -> list[np.ndarray]:
        """The objects of a state, from a list of all."""
        rest = iter(values)
        shapes = [sample(leaf) for leaf in self.leaves]
        return [
            entries(shape[:-1] if self.is_whole(shape) else shape, lambda _: next(rest))
            for shape in shapes
        ]

    def drawn(self, path: GridBrownianPath, particles, counter) -> list[list]:
        """The normals of a turn, from the number `counter` on: for each step, all its arrays."""
        leaves, count = jax.tree.leaves(path.shape), self.turn * path.draws

        def both(number):
            """The arrays of all leaves, of this number, which is even, and of the next."""
            pair = (counter + np.uint32(number)) >> np.uint32(1)
            halves: tuple[list, list] = [], []
            for place, leaf in enumerate(leaves):
                places, values = self.places(sample(leaf)), []
                for at in places.flat:
                    own = particles.reshape(-1, *[1] * (np.ndim(at) - 1))
                    values.append(path.lane(place, size_of(leaf), own, at, pair))
                for half, found in zip(halves, zip(*values, strict=True), strict=True):
                    one = lambda at, found=found, leaf=leaf: found[at].astype(leaf.dtype)
                    half.append(entries(places.shape, one))
            return halves

        arrays = [half for number in range(0, count, 2) for half in both(number)]
        if count == 1:  # whichever of the two it is
            second, both_halves = (counter & np.uint32(1)) == 1, zip(*arrays, strict=True)
            later = lambda a, b: entries(
                a.shape, lambda at: jnp.where(second, b.flat[at], a.flat[at])
            )
            arrays = [[later(*halves) for halves in both_halves]]
        steps = [arrays[path.draws * n :][: path.draws] for n in range(self.turn)]
        return [list(itertools.chain(*step)) for step in steps]


def flat(state: list[np.ndarray]) -> list:
    return [x for array in state for x in array.flat]
