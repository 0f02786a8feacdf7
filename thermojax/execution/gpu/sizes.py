"""The lengths of blocks on a GPU; the numbers stand in `_tuning.py`."""

from __future__ import annotations

import math

from ..._tuning import ON_GPU
from ..workload import Workload


def kernel_block(work: Workload, steps: int) -> float:
    """The best number of steps in a block that is a kernel.

    It takes a while until the next kernel begins. Of each block reverse mode keeps a state and the
    ledger, some ten numbers a path, and of one at a time every second state, three: least memory
    where a block is about 2 sqrt(n).
    """
    most = min(ON_GPU.block_steps, ON_GPU.block_numbers / work.numbers)
    return max(2 * math.sqrt(steps), most)


def unrolled_steps(work: Workload, block: int) -> int:
    """Steps that are written out one after the other, a power of two that divides the block."""
    most = ON_GPU.unrolled_single if work.coordinates == 1 else ON_GPU.unrolled
    return math.gcd(block, most)
