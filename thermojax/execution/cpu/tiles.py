"""Tiles of a batch for XLA's CPU backend, and their order; numbers in `_tuning.py`."""

from __future__ import annotations

import math
import os

from ..._platform import platform
from ..._tuning import ON_CPU
from ...cpu import small_loops_are_compiled
from ..workload import Workload
from .memory_order import MemoryOrder


def runs_in_functions(work: Workload) -> bool:
    """Whether loops become functions, of one thread each."""
    return platform() == "cpu" and small_loops_are_compiled() and not work.products


def are_paired(tile: Workload) -> bool:
    """Whether a loop carries its numbers two by two (`complex_pairs.py`)."""
    few = tile.paths <= ON_CPU.paired and tile.coordinates == 1
    return few and platform() == "cpu" and not small_loops_are_compiled()


def chunk_size(tile: Workload, block: int, forward: bool = False) -> int:
    """Steps whose noise is drawn at once: a divisor of the block, even where the block is.

    The largest within a budget of memory; forward in functions the nearest to what leaves the
    drawing to the function that the loop is, since XLA shares more out to threads.
    """
    short = forward and runs_in_functions(tile)
    budget = ON_CPU.noise_bytes_in_functions if short else ON_CPU.noise_bytes
    most = budget / (tile.numbers * tile.itemsize * tile.draws)
    if block <= most:
        return block
    # A loop of one step is no loop to XLA, and the noise would be computed again per output.
    sizes = [k for k in range(2, block + 1) if block % k == 0 and (k - block) % 2 == 0] or [1]
    if short:
        return min(sizes, key=lambda k: abs(math.log(k / most)))
    return max((k for k in sizes if k <= most), default=sizes[0])


def is_arranged(work: Workload) -> bool:
    """Whether tiles and memory orders are for this run."""
    return work.splitting and platform() == "cpu"


def longest_column() -> int:
    functions = small_loops_are_compiled()
    return ON_CPU.longest_column_in_functions if functions else ON_CPU.longest_column


def memory_order(work: Workload, paths: int) -> MemoryOrder:
    """The order in memory of so many paths while a loop goes over their steps."""
    if not is_arranged(work) or work.products:
        return MemoryOrder.FREE
    columns = work.coordinates <= longest_column() and paths >= ON_CPU.side_by_side
    return MemoryOrder.COLUMN_MAJOR if columns else MemoryOrder.ROW_MAJOR


def tile_paths(work: Workload) -> int:
    """Paths of one tile; where nothing is cut, more than there are."""
    size = work.coordinates
    if size == 1:
        return ON_CPU.tile
    most = lambda numbers: 2 ** int(math.log2(max(numbers / size, 1)))
    if runs_in_functions(work):
        numbers = ON_CPU.function_tile
        if size > longest_column():
            return max(most(numbers), ON_CPU.least_function_tile)
        columns = min(most(2 * numbers), ON_CPU.function_columns)
        return max(most(numbers), columns, ON_CPU.side_by_side)
    tile = most(ON_CPU.wide_tile)
    return tile if tile >= ON_CPU.least_tile else work.paths


def best_tiles(work: Workload) -> int:
    """Into how many tiles a batch is best cut; 1 for none."""
    if not is_arranged(work):
        return 1
    few_cores = (os.cpu_count() or 1) <= ON_CPU.few_cores * work.devices
    if work.paths > ON_CPU.narrow and not (few_cores and runs_in_functions(work)):
        return 1
    tile = tile_paths(work)
    return math.ceil(work.paths / tile) if 1.5 * tile <= work.paths else 1


def tiles_of(work: Workload) -> int:
    """The number of equal tiles: rather of whole vectors, and 1 where there are no such.

    A batch that is not padded, since it lies on several devices, may have no better.
    """
    tiles = best_tiles(work)
    equal = [n for n in range(tiles, 2 * tiles) if work.paths % n == 0]
    return min(equal, key=lambda n: (work.paths // n % ON_CPU.vector != 0, n), default=1)


def missing_paths(work: Workload) -> int:
    """Paths to add until tiles are equal, and whole vectors where they are read as such.

    Narrow batches are cut into tiles, wide ones shared out to the cores, and XLA's CPU backend
    computes unequal shares of a loop one number at a time.
    """
    tiles = best_tiles(work)
    if tiles == 1:
        return 0 if work.paths <= ON_CPU.narrow else -work.paths % (os.cpu_count() or 1)
    if work.coordinates > longest_column():
        return -work.paths % tiles
    whole = any(work.paths % (n * ON_CPU.vector) == 0 for n in range(tiles, 2 * tiles))
    return 0 if whole else -work.paths % (tiles * ON_CPU.vector)


def best_block(work: Workload, steps: int) -> float:
    """The best number of steps in a block of such a run.

    sqrt(n), so that reverse mode keeps as many states as residuals. Longer for a batch in tiles: it
    has the residuals of two at a time, and each tile is taken up and put down in every block. And
    not far fewer numbers than steps, since reverse mode adds up the tables of controls once for
    each block.
    """
    root, tiles = math.sqrt(steps), tiles_of(work)
    tile = work.numbers // tiles
    short = ON_CPU.short_block / tile if tiles > 1 else 0
    least = max(root, steps / (ON_CPU.tables * work.numbers), short)
    return max(least, min(root * math.sqrt(tiles), ON_CPU.long_block / tile))
