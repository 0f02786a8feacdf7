"""The tuned numbers of the machines, in one table: what the physics does not know.

None of them changes a result by more than rounding. Each states its meaning, its unit, the range
in which it was varied, and the case of `python -m benchmarks.tuning NAME` that measures it again;
the measurements behind them are told in benchmarks/tuning.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def tuned(value: Any, unit: str, tried: tuple, case: str, meaning: str) -> Any:
    """One number of the table: its value, and what a reader must know of it."""
    about = {"unit": unit, "tried": tried, "case": case, "meaning": meaning}
    return field(default=value, metadata=about)


@dataclass(frozen=True)
class CPU:
    """XLA's CPU backend. "In functions": where `tj.set_up_cpu` makes each loop one function."""

    function_bytes: int = tuned(
        2**20, "bytes", (2**18, 2**22), "forward 1024 x 8",
        "what an iteration of a loop may touch for that to become a function; XLA's own is 2^10",
    )  # fmt: skip
    vector_bits: int = tuned(
        512, "bits", (256, 512), "forward 1024 x 64",
        "the width of vectors; XLA's own is 256, a processor with less takes what it has",
    )  # fmt: skip
    vector: int = tuned(
        16, "numbers", (8, 32), "forward 1030 x 1",
        "single precision numbers of the widest vector: tiles are filled up to multiples",
    )  # fmt: skip
    sum_by_product: range = tuned(
        range(4, 17), "coordinates", (2, 31), "forward 1024 x 8",
        "lengths of rows that are summed as a product with ones",
    )  # fmt: skip
    sum_by_halves: range = tuned(
        range(33, 49), "coordinates", (31, 64), "forward 1024 x 40",
        "in functions: lengths of rows whose two halves are summed apart",
    )  # fmt: skip
    sum_by_product_in_functions: range = tuned(
        range(49, 129), "coordinates", (31, 256), "forward 1024 x 64",
        "the same as sum_by_product in functions; longer rows are added up strip by strip",
    )  # fmt: skip
    strip: int = tuned(
        16, "coordinates", (8, 64), "forward 256 x 316",
        "in functions: length of a strip of a long row, or a multiple of it",
    )  # fmt: skip
    strips: int = tuned(
        32, "strips", (16, 64), "forward 64 x 2048",
        "in functions: most strips of a row",
    )  # fmt: skip
    narrow: int = tuned(
        4096, "paths", (1024, 65536), "forward 4096 x 1",
        "batches up to this are cut into tiles, and what a step books leaves its loop for one sum;"
        " wider ones are shared out to the cores by XLA",
    )  # fmt: skip
    tile: int = tuned(
        512, "paths", (128, 1024), "forward 2048 x 1",
        "paths of a tile where a path has one coordinate",
    )  # fmt: skip
    wide_tile: int = tuned(
        2**14, "numbers", (2**10, 2**16), "gradient 1024 x 64",
        "numbers of a tile with more coordinates: what stays in the cache",
    )  # fmt: skip
    least_tile: int = tuned(
        256, "paths", (64, 1024), "gradient 1024 x 31",
        "a batch is not cut into tiles of fewer paths, as matrix products ask for",
    )  # fmt: skip
    function_tile: int = tuned(
        2**10, "numbers", (2**9, 2**12), "forward 1024 x 8",
        "the same as wide_tile in functions, where a step of a tile has no overhead",
    )  # fmt: skip
    function_columns: int = tuned(
        128, "paths", (64, 256), "forward 1024 x 16",
        "in functions: paths side by side for which a tile may hold twice function_tile numbers",
    )  # fmt: skip
    few_cores: int = tuned(
        2, "cores", (1, 16), "forward 65536 x 1",
        "in functions: wide batches are cut as well where a device has no more cores, which one"
        " function leaves idle",
    )  # fmt: skip
    least_function_tile: int = tuned(
        2, "paths", (1, 4), "forward 64 x 1024",
        "in functions: never a single path, whose sums run one number after the other",
    )  # fmt: skip
    side_by_side: int = tuned(
        64, "paths", (16, 128), "forward 64 x 8",
        "fewer paths lie in rows, path after path",
    )  # fmt: skip
    longest_column: int = tuned(
        16, "coordinates", (3, 31), "forward 1024 x 16",
        "longer paths lie in rows",
    )  # fmt: skip
    longest_column_in_functions: int = tuned(
        48, "coordinates", (31, 64), "forward 1024 x 40",
        "the same in functions",
    )  # fmt: skip
    noise_bytes: int = tuned(
        2**24, "bytes", (2**20, 2**26), "gradient 65536 x 8",
        "normals that are drawn at once",
    )  # fmt: skip
    noise_bytes_in_functions: int = tuned(
        2**17, "bytes", (2**15, 2**20), "forward 1024 x 1",
        "the same forward in functions, which draw them with one thread",
    )  # fmt: skip
    tiny: int = tuned(
        4, "numbers", (1, 16), "forward 4 x 1",
        "batches up to this read their noise row by row: a loop that touches less than 1 KiB is"
        " one function by XLA's own flags, which a look into an array would prevent",
    )  # fmt: skip
    paired: int = tuned(
        256, "paths", (16, 512), "forward 128 x 1",
        "batches of one coordinate up to this carry their numbers two by two as complex ones",
    )  # fmt: skip
    few_numbers: int = tuned(
        64, "numbers", (8, 256), "forward 16 x 1",
        "in functions: batches up to this take `unroll` steps in an iteration of a forward loop",
    )  # fmt: skip
    unroll: int = tuned(
        4, "steps", (1, 8), "forward 16 x 1",
        "in functions: steps of an iteration, each written to memory before the next",
    )  # fmt: skip
    long_block: int = tuned(
        3 * 2**15, "numbers", (2**14, 2**18), "gradient 1024 x 8",
        "steps times numbers of a tile in a block, at most, where a batch is cut",
    )  # fmt: skip
    short_block: int = tuned(
        3 * 2**13, "numbers", (2**12, 2**16), "gradient 1024 x 8",
        "the same, at least",
    )  # fmt: skip
    tables: int = tuned(
        4, "steps per number", (1, 16), "gradient 1 x 1",
        "a run has at most so many blocks for each of its numbers: reverse mode adds up the tables"
        " of controls once for each block",
    )  # fmt: skip


@dataclass(frozen=True)
class GPU:
    """Kernels by Pallas and Triton, a path a thread; measured on an H200."""

    threads: int = tuned(
        128, "threads", (32, 256), "forward 10000 x 1", "of one program of the grid: four warps"
    )
    row_numbers: int = tuned(
        4, "numbers", (1, 8), "forward 10000 x 8", "numbers of a row that one thread holds"
    )
    row: int = tuned(
        8, "coordinates", (8, 64), "forward 10000 x 8",
        "rows of this length or longer, powers of two, stay whole and lie across the threads",
    )  # fmt: skip
    coordinates: int = tuned(
        8, "numbers or rows", (4, 16), "forward 10000 x 5",
        "coordinates of a path in a kernel, at most, for the sake of the compiler",
    )  # fmt: skip
    registers: int = tuned(
        64, "numbers or rows", (32, 128), "gradient 10000 x 8",
        "numbers of a path that a kernel keeps, and numbers that all paths read, at most each",
    )  # fmt: skip
    operations: int = tuned(
        4096,
        "operations",
        (1024, 16384),
        "forward 10000 x 8",
        "of one iteration of a kernel, at most",
    )
    block_steps: int = tuned(
        512, "steps", (64, 1024), "forward 10000 x 1", "steps of a block that is a kernel, at most"
    )
    block_numbers: int = tuned(
        2**26, "numbers", (2**24, 2**28), "forward 1000000 x 1", "steps times numbers of a block"
    )
    unrolled_single: int = tuned(
        8, "steps", (1, 16), "forward 10000 x 1",
        "without a kernel: steps written out one after the other where a path has one coordinate",
    )  # fmt: skip
    unrolled: int = tuned(2, "steps", (1, 8), "forward 10000 x 64", "the same for longer paths")


@dataclass(frozen=True)
class Memory:
    """The memory that reverse mode takes besides its checkpoints."""

    states: int = tuned(
        5, "states", (2, 8), "gradient 1024 x 1",
        "states, and tables of controls, that are there besides the checkpoints: the one at hand,"
        " its derivative, and the copies that XLA keeps of both between two blocks",
    )  # fmt: skip
    tiles: int = tuned(
        2,
        "tiles",
        (1, 4),
        "gradient 1024 x 8",
        "tiles of a batch whose residuals are there at once",
    )


ON_CPU, ON_GPU, IN_MEMORY = CPU(), GPU(), Memory()
