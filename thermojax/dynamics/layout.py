"""How a batch is laid out for the compiler: what is computed together, and what one by one.

Nothing here changes a number by more than rounding. All of it was measured, most of it on a CPU.
"""

from __future__ import annotations

import dataclasses
import math
import os

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._platform import platform
from .._tree import HALVED, batch_of
from ..cpu import small_loops_are_compiled
from .noise import GridBrownianPath
from .order import Order
from .terms import NoiseTerm

NARROW = 4096


def is_narrow(batch: int) -> bool:
    return batch <= NARROW


def is_summed(position: PyTree[Array], noise: NoiseTerm) -> bool:
    """Whether the entries are summed on the way through a loop; else they leave it, for one sum.

    With XLA's own flags XLA:CPU shares every carried number of a substep out to all threads, which
    costs a few microseconds each, and writes what leaves a loop with one. Measured on two cores,
    leaving takes 0.7 of the time at 1024 x 1 (and 0.75 in reverse mode), 2.5 times as long at
    65536 x 1. In a function summing takes 0.7 of the time at 1024 x 1, 0.6 at 128 x 1, 0.95 to 1 at
    8 coordinates and more.
    """
    return not is_narrow(batch_of(position)) or runs_in_functions(noise)


NOISE_BYTES, NOISE_IN_FUNCTIONS = 2**24, 2**17  # drawn at once


def chunk_size(block: int, path: GridBrownianPath, short: bool = False) -> int:
    """Steps whose noise is drawn at once: a divisor of the block, even where the block is.

    The largest within a budget of memory. `short`: the nearest to what leaves the drawing to the
    function that the loop is (`cpu.py`); XLA shares more out to threads. Measured forward at
    1024 x 1 in blocks of 100 steps, the time with 50 of them at once as a share of that with all:
    0.85, of processor time 0.75. In reverse mode, which draws all at once, it would be 1.3.
    """
    normals = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(path.shape))
    most = (NOISE_IN_FUNCTIONS if short else NOISE_BYTES) / (normals * path.draws)
    if block <= most:
        return block
    # A loop of one step is no loop to XLA, and the noise would be computed again per output.
    pieces = [k for k in range(2, block + 1) if block % k == 0 and (k - block) % 2 == 0] or [1]
    if short:
        return min(pieces, key=lambda k: abs(math.log(k / most)))
    return max((k for k in pieces if k <= most), default=pieces[0])


TINY = 4
# So many coordinates in the whole batch: XLA:CPU compiles a loop that touches less than 1024 bytes
# as one function, which a look into an array would prevent. Where larger loops become functions as
# well (`cpu.py`), tiny batches are as any other: 0.65 to 0.75 of the time at 1 x 1 and 4 x 1.


def is_tiny(position: PyTree[Array]) -> bool:
    tiny = batch_of(position) * coordinates(position) <= TINY
    return tiny and not small_loops_are_compiled()


PAIRED = 256
# Up to so many paths of one coordinate, a loop carries its numbers as complex ones (`packing.py`):
# fewer operations, 0.45 to 0.95 of the time at 16 to 256 paths; the same at 512. Not where the loop
# becomes one function (`cpu.py`): 1.35 times as long.


def is_paired(position: PyTree[Array]) -> bool:
    few = batch_of(position) <= PAIRED and coordinates(position) == 1
    return few and platform() == "cpu" and not small_loops_are_compiled()


FEW_NUMBERS, TURN = 64, 4
# Up to so many numbers, a forward loop that is a function takes so many substeps in a turn, each of
# them written to memory before the next: what a turn costs by itself, its counters and what it
# hands on through memory, is then most of the time. Measured with 1, 8, 16, 32
# and 64 paths of one coordinate 0.74, 0.73, 0.65, 0.92 and 0.91 of the time with one (with two 0.83
# to 0.99, with eight 0.67 to 0.93 and half as long again to compile); 0.9 at 1 x 8, 4 x 8, 1 x 64;
# without being written 1.2 at 1 x 1. Gradients of 16 x 1 or 4 x 8 would take 1.3 to 1.4.


def turn_of(position: PyTree[Array], noise: NoiseTerm) -> int:
    """How many substeps a turn of a forward loop takes."""
    few = batch_of(position) * coordinates(position) <= FEW_NUMBERS
    return TURN if few and runs_in_functions(noise) else 1


def has_counted_noise(noise: NoiseTerm) -> bool:
    """Whether any normal can be drawn by itself; other paths are asked for those of whole steps."""
    return type(noise.path) is GridBrownianPath


VECTOR = 16  # numbers of single precision in the widest

TILE, WIDE_TILE, LEAST = 512, 2**14, 256
# In narrow batches on a CPU the paths are taken through a chunk of substeps at most so many numbers
# at a time: the first where a path has one coordinate, else about the second, and nothing is cut
# where that is less than `LEAST` paths, as matrix products ask for. Measured on two cores.
# One coordinate: so few that XLA:CPU leaves each loop to one thread; the forward time at 1024 x 1
# is 0.6 and at 2048 x 1 is 0.7 of that without; tiles of 256 and 128 are slower.
# More: what stays in the cache. At 1024 x 64 forward and reverse take 0.85 of the time (0.6 and
# 0.75 of processor time), the posterior ramp at 1024 x 31 takes 1.04 forward and 0.63 in reverse;
# tiles of 2^10 and 2^11 numbers are slower than none.

FUNCTION_TILE, COLUMN, FEW, PAIR = 2**10, 128, 2, 2
# Where loops become functions (`cpu.py`) a part must be small enough to become one, and may be as
# small as that: a step of it has no overhead. So many numbers, in columns up to twice as many for
# `COLUMN` paths, and `SIDE_BY_SIDE` paths at least; as above where the force is a product with a
# matrix, which is no part of a function. Measured on one core, forward: 0.4 of the time at
# 1024 x 5, 0.45 at 1024 x 8, 0.85 at 1024 x 16, 0.9 at 1024 x 31, 0.7 at 1024 x 64; gradients 0.9
# at 1024 x 8, 1 at 1024 x 64. In columns twice as many numbers take 1.2 times as long at 3 and 8
# coordinates; 128 paths instead of 64 take 0.87 at 10 and 16 (gradients 0.82), 256 at 16, and 128
# at 32, 2.5.
# Wide batches as well, where a device has no more than `FEW` cores, which a function leaves idle.
# Never a single path: its sums are one number after the other whatever is done (`_tree.total`). Two
# take 0.6 of the time at 512 to 1400 coordinates, 0.7 at 2000 (gradients 1.1 at 1000).


def tiles_of(position: PyTree[Array], noise: NoiseTerm) -> int:
    """Into how many parts a batch is best cut; 1 for none."""
    batch = batch_of(position)
    if not is_arranged(noise):
        return 1
    if not is_narrow(batch) and not (has_few_cores(noise) and runs_in_functions(noise)):
        return 1
    tile = tile_of(position, noise)
    return math.ceil(batch / tile) if 1.5 * tile <= batch else 1


def parts_of(position: PyTree[Array], noise: NoiseTerm) -> int:
    """The same, of equal size: rather a multiple of a vector's, and none where there are no such.

    A batch that `evened` has not filled up, since it lies on several devices, may have no better.
    """
    batch, tiles = batch_of(position), tiles_of(position, noise)
    equal = [n for n in range(tiles, 2 * tiles) if batch % n == 0]
    return min(equal, key=lambda n: (batch // n % VECTOR != 0, n), default=1)


LONG, SHORT, TABLES = 3 * 2**15, 3 * 2**13, 4


def long_block(position: PyTree[Array], noise: NoiseTerm, steps: int) -> float:
    """How many substeps a block of such a run best has.

    sqrt(n), so that reverse mode keeps as many states as residuals. Longer for a batch in parts: it
    has the residuals of two at a time, and each part is taken up and put down in every block. Then
    from `SHORT` to `LONG` numbers of a part: 3162 x 1 takes 0.8 of the time in blocks of 50 steps
    as in blocks of 20; a gradient on one device 0.85 with 100 steps of 128 x 8 or 16 x 64 as with
    40, and 0.9 and 1 with 160; on two devices the same with all of them.

    And not far fewer numbers than steps, since reverse mode adds up the tables of controls once for
    each block: the gradient of one path through 100,000 steps takes 0.15 of the time with 5 blocks
    as with 300, and keeps residuals of the size of these tables.
    """
    if platform() == "gpu":
        return kernel_block(position, steps)
    root, parts = math.sqrt(steps), parts_of(position, noise)
    numbers = batch_of(position) * coordinates(position)
    part = numbers // parts
    least = max(root, steps / (TABLES * numbers), SHORT / part if parts > 1 else 0)
    return max(least, min(root * math.sqrt(parts), LONG / part))


KERNEL_STEPS, KERNEL_NUMBERS = 512, 2**26


def kernel_block(position: PyTree[Array], steps: int) -> float:
    """The same on a GPU, where a block is a kernel (`lanes.py`), and 30 us until the next begins.

    Measured on an H200, us per step in blocks of 64, 256 and 1024: 0.67, 0.33, 0.25 at 1000 paths
    of one coordinate, 0.65, 0.36, 0.24 at 10,000; of 64 and 256 6.2 and 5.4 at a million. Of each
    block reverse mode keeps a state and the ledger, some ten numbers a path, and of one at a time
    every second state, three: least memory where a block is about 2 sqrt(n).
    """
    numbers = batch_of(position) * coordinates(position)
    return max(2 * math.sqrt(steps), min(KERNEL_STEPS, KERNEL_NUMBERS / numbers))


def is_arranged(noise: NoiseTerm) -> bool:
    """Whether parts and orders are for this run: on a CPU, with the noise of our own grid."""
    path = noise.path
    ours = isinstance(path, GridBrownianPath) and path.sharding is None
    return ours and platform() == "cpu"


def tile_of(position: PyTree[Array], noise: NoiseTerm) -> int:
    """Paths of one part; where nothing is cut, more than there are."""
    size = coordinates(position)
    if size == 1:
        return TILE
    most = lambda numbers: 2 ** int(math.log2(max(numbers / size, 1)))
    if runs_in_functions(noise):
        if size > longest_column():
            return max(most(FUNCTION_TILE), PAIR)
        return max(most(FUNCTION_TILE), min(most(2 * FUNCTION_TILE), COLUMN), SIDE_BY_SIDE)
    tile = most(WIDE_TILE)
    return tile if tile >= LEAST else batch_of(position)


def runs_in_functions(noise: NoiseTerm) -> bool:
    """Whether loops become functions, of one thread each."""
    return platform() == "cpu" and small_loops_are_compiled() and not noise.traits.products


def has_few_cores(noise: NoiseTerm) -> bool:
    """Whether a device has no more of them than its functions may leave idle."""
    return (os.cpu_count() or 1) <= FEW * noise.path.shares


SIDE_BY_SIDE, LONGEST, LONGEST_IN_FUNCTIONS = 64, 16, HALVED.stop - 1
# So many paths lie side by side, of rows up to so many coordinates. Measured on one core with
# `set_up_cpu`, the time of that without any order, forward and gradient (which begins from what is
# kept, `residuals.py`): 0.8 and 0.65 at 1024 x 3, 0.65 and 0.5 at 1024 x 8, 0.35 and 0.45 at
# 1024 x 16, 0.6 and 0.65 at 1024 x 31; of rows, 0.6 and 0.95 at 1024 x 40, 0.7 and 1.1 at 48.
# With XLA's own flags 0.95 and 0.9, 0.75 and 0.75, 0.65 and 0.65 at 3, 8, 16, but 1.3 and 0.85 at
# 31. 16 or 32 paths side by side take 0.7 to 2 times as long as rows. Rows kept in order take 0.9
# and 0.9 at 64, 0.95 and 0.75 at 128 coordinates; on two devices 1.05 forward at 64.


def longest_column() -> int:
    return LONGEST_IN_FUNCTIONS if small_loops_are_compiled() else LONGEST


def order_of(position: PyTree[Array], noise: NoiseTerm, paths: int) -> Order:
    """How so many paths of a batch lie in memory while a loop goes over them."""
    if not is_arranged(noise) or noise.traits.products:
        return Order.FREE
    columns = coordinates(position) <= longest_column() and paths >= SIDE_BY_SIDE
    return Order.COLUMNS if columns else Order.ROWS


def coordinates(position: PyTree[Array]) -> int:
    """Those of one path."""
    return sum(leaf.size for leaf in jax.tree.leaves(position)) // batch_of(position)


def tiled(function, tiles: int, carry: PyTree[Array]):
    """`function` of one part of the batch, and its number, after the other.

    In reverse mode each is computed again just before: only its start is kept, and memory holds the
    pieces of one part at a time.
    """
    fold = lambda leaf: leaf.reshape(tiles, -1, *leaf.shape[1:])
    parts = (jax.tree.map(fold, carry), jnp.arange(tiles))
    one = jax.checkpoint(lambda part: function(*part), prevent_cse=False)
    done = jax.lax.map(one, parts)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), done)


def evened(y0: tuple, noise: NoiseTerm) -> tuple[tuple, NoiseTerm]:
    """The start of a batch on a CPU with copies of its last path until its parts are equal.

    Narrow batches are cut into parts, wide ones shared out to the cores, and XLA's CPU backend
    computes unequal shares of a loop one number at a time: measured on two cores, 31623 paths of
    one coordinate took 5 times as long as 31622. Parts whose paths lie side by side are filled up
    to whole vectors: 62 of 512 paths take 0.9 of the time of as many of 511. The noise of a path is
    a function of its number, so that further paths change nothing.
    """
    path = noise.path
    cpu = platform() == "cpu" and path.sharding is None
    more = missing(y0[0], noise) if cpu else 0
    if more == 0:
        return y0, noise
    longer = lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[-1:], more, axis=0)])
    shape = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((len(leaf) + more, *leaf.shape[1:]), leaf.dtype),
        path.shape,
    )
    path = dataclasses.replace(path, shape=shape)
    return jax.tree.map(longer, y0), dataclasses.replace(noise, path=path)


def missing(position: PyTree[Array], noise: NoiseTerm) -> int:
    """How many paths until the parts are equal, and whole vectors where they are read as such."""
    batch, tiles = batch_of(position), tiles_of(position, noise)
    if tiles == 1:
        return 0 if is_narrow(batch) else -batch % (os.cpu_count() or 1)
    if coordinates(position) > longest_column():
        return -batch % tiles
    whole = any(batch % (n * VECTOR) == 0 for n in range(tiles, 2 * tiles))
    return 0 if whole else -batch % (tiles * VECTOR)


SINGLE_KERNEL, KERNEL = 8, 2
# Where a GPU has no kernel for a block (`lanes.py`), so many substeps are written out one after the
# other, their noise with them, for the compiler to put into as few kernels as it can: the first
# where a path has one coordinate.


def written_out(block: int, position: PyTree[Array]) -> int:
    """How many substeps are written out, a power of two that divides the block; 1 for none."""
    if platform() == "cpu":
        return 1
    return math.gcd(block, SINGLE_KERNEL if coordinates(position) == 1 else KERNEL)
