"""The layout of a block of steps for a machine: decided once for a run, then only read."""

from __future__ import annotations

from typing import NamedTuple

from .._platform import platform
from .._tuning import ON_CPU
from ..cpu import small_loops_are_compiled
from .cpu.memory_order import MemoryOrder
from .cpu.tiles import (
    are_paired,
    chunk_size,
    memory_order,
    runs_in_functions,
    tiles_of,
)
from .gpu.kernel import there_is_triton
from .gpu.sizes import unrolled_steps
from .policy import DivergencePolicy
from .workload import Workload


class LoopLayout(NamedTuple):
    """A loop over the steps of a tile, under one policy for divergence."""

    chunk: int  # steps whose noise is drawn at once
    unroll: int = 1  # steps of one iteration
    packed: bool = False  # the flag of a path is carried in its potential energy
    paired: bool = False  # numbers are carried two by two as complex ones


class Layout(NamedTuple):
    """A block of steps of the batch of one device.

    Nothing here changes a number by more than rounding.
    """

    steps: int  # of a block
    record: bool  # whether every step is kept, for snapshots
    tiles: int  # into which the batch is cut
    order: MemoryOrder  # of the arrays of a loop
    tiny: bool  # noise is read row by row
    summed: bool  # what steps book is summed on the way, and not at the end
    even: bool  # blocks are known to start at even steps
    optimistic: bool  # a block is tried without freezing
    along_control: bool  # the derivative by a control is taken in forward mode
    kernel: bool  # a block is one kernel of a GPU, where its energy can be one
    unrolled: int  # without a kernel on a GPU: steps written out one after the other
    ignore: LoopLayout
    flag: LoopLayout
    freeze: LoopLayout

    def loop(self, policy: DivergencePolicy) -> LoopLayout:
        return {
            DivergencePolicy.IGNORE: self.ignore,
            DivergencePolicy.FLAG: self.flag,
            DivergencePolicy.FREEZE: self.freeze,
        }[policy]


def choose_layout(work: Workload, steps: int, record: bool, even: bool, vjp_skips: bool) -> Layout:
    """The layout of blocks of `steps` steps.

    **Arguments:** `vjp_skips`: whether reverse mode skips paths that diverge, so that forward a
    block may be tried without freezing them.
    """
    tiles = 1 if record else tiles_of(work)
    tile = work._replace(paths=work.paths // tiles)
    order = MemoryOrder.FREE if record else memory_order(work, tile.paths)
    tiny = work.numbers <= ON_CPU.tiny and not small_loops_are_compiled()
    few = work.numbers // tiles <= ON_CPU.few_numbers and runs_in_functions(work)
    unroll = ON_CPU.unroll if few else 1
    packed = not work.scheduled
    gpu = platform() == "gpu" and work.splitting and not record
    return Layout(
        steps=steps,
        record=record,
        tiles=tiles,
        order=order,
        tiny=tiny,
        # With XLA's own flags every carried number of a step is shared out to all threads, which
        # costs a few microseconds each; what leaves a loop is written with one.
        summed=not record and (tile.paths > ON_CPU.narrow or runs_in_functions(work)),
        even=even,
        # That takes a while_loop, which is not for reverse mode. On a GPU, where freezing costs
        # nothing, it would wait for the host; tiny batches lose by it.
        optimistic=vjp_skips and not record and platform() == "cpu" and not tiny,
        along_control=work.controls == 1 and order is not MemoryOrder.FREE and work.forward_mode,
        kernel=gpu and vjp_skips and there_is_triton(),
        unrolled=unrolled_steps(work, steps) if gpu else 1,
        ignore=LoopLayout(chunk_size(tile, steps)),
        flag=LoopLayout(
            chunk_size(tile, steps, forward=True), unroll, packed, packed and are_paired(tile)
        ),
        freeze=LoopLayout(chunk_size(tile, steps, forward=True), unroll),
    )
