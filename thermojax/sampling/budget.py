"""Reverse mode within a budget of memory: how long a block, and how many checkpoints.

With blocks of k substeps and a checkpoint for each, reverse mode keeps, of n / k blocks, what their
derivative reads, and the residuals of k substeps: least near k = sqrt(n). Fewer checkpoints than
blocks hold whole states, and cost further passes over the run (Griewank, Walther, ACM TOMS 26, 19
(2000)).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import diffrax as dfx
import equinox as eqx
import jax

from ..dynamics import AbstractSplitting, DriftTerm, NoiseTerm, parts_of
from ..dynamics.block import Watch
from ..dynamics.devices import path_of, shares_of

STATES = 5
# States, and tables of controls, that are there besides the checkpoints: the one at hand, its
# derivative, and the copies that XLA keeps of both between two blocks. Measured at 1024 x 1, where
# states are most of it, and at 256 x 4; so are the two parts of a batch, of those it is cut into,
# whose residuals are there.


def fitting(
    memory: int,
    steps: int,
    drift: DriftTerm,
    noise: NoiseTerm,
    integrator: AbstractSplitting,
    y0: tuple,
    blocks: list[int],
    told: bool,
) -> tuple[int, int]:
    """The block, of `blocks`, and the number of checkpoints that cost least within `memory` bytes.

    Of those that cost as many passes the one nearest to the first, which is that without a budget.
    `told`: whether reverse mode goes without a watch for paths that diverge.

    **Raises:** ValueError where no choice fits, with the least that does.
    """
    shares = shares_of(noise.path.sharding)
    need = footprint(drift, *of_one_device(noise, y0), integrator, told).times(shares)
    fits = []
    for block in blocks:
        count = math.ceil(steps / block)
        checkpoints = count
        if need.all_blocks(count, block) > memory:
            left = memory - need.some_blocks(0, block)
            checkpoints = min(count - 1, int(left // need.state))
        if checkpoints >= 1:
            cost = passes(count, checkpoints), abs(math.log(block / blocks[0]))
            fits.append((cost, block, checkpoints))
    if not fits:
        some = [need.some_blocks(1, block) for block in blocks]
        least = min(some + [need.all_blocks(math.ceil(steps / k), k) for k in blocks])
        raise ValueError(
            f"memory = {memory}: the gradient of this run needs at least {math.ceil(least)} bytes; "
            "allow more, or take a smaller batch"
        )
    _, block, checkpoints = min(fits)
    return block, checkpoints


def passes(count: int, checkpoints: int) -> int:
    """How often a run of `count` blocks is computed again: least r with C(c + r, r) >= count."""
    r = 1
    while math.comb(checkpoints + r, r) < count:
        r += 1
    return r


class Footprint(NamedTuple):
    """Bytes."""

    state: float
    read: float  # of a state, by the derivative of the block that begins with it
    residual: float  # of one substep
    fixed: float  # there at any rate

    def times(self, devices: int) -> Footprint:
        """On so many devices."""
        return Footprint(*(devices * n for n in self))

    def all_blocks(self, count: int, block: int) -> float:
        """With a checkpoint for each of `count` blocks of so many substeps."""
        moving = self.state + (STATES + count) * self.read
        return self.fixed + moving + block * self.residual

    def some_blocks(self, checkpoints: int, block: int) -> float:
        """With fewer checkpoints than blocks."""
        return self.fixed + (STATES + checkpoints) * self.state + block * self.residual


def of_one_device(noise: NoiseTerm, y0):
    """The noise of one share of a batch, and the shapes of its state."""
    share = dataclasses.replace(noise, path=path_of(0, noise.path))
    return share, first(shares_of(noise.path.sharding), y0)


def first(parts: int, y0):
    """The shapes of one of equal parts of a batch."""
    part = lambda leaf: jax.ShapeDtypeStruct((leaf.shape[0] // parts, *leaf.shape[1:]), leaf.dtype)
    return jax.tree.map(part, y0)


def footprint(drift, noise, y0, integrator, told: bool) -> Footprint:
    """What reverse mode keeps."""

    def begun(y0):
        return integrator.init(dfx.MultiTerm(drift, noise), drift.table.h * 0, None, y0, None)

    begin = eqx.filter_eval_shape(begun, y0)
    whole = size_of((y0, begin))
    _, gradient, _, drive, *_ = begin
    read = size_of((*y0[:2], gradient, drive)) if told else whole
    if (tiles := parts_of(y0[0], noise)) > 1:
        noise = dataclasses.replace(noise, path=noise.path.share(0, tiles))
        y0 = first(tiles, y0)
    state = eqx.filter_eval_shape(begun, y0)

    def kept(block: int) -> int:
        """Bytes that the derivative of a block keeps."""
        moved = dataclasses.replace(integrator, block=block, told=told).advanced

        def pulled(drift, y0, state):
            watch = Watch.NOT if told else Watch.FREEZE
            run = lambda d, y, s: moved(d, noise, y, s, watch=watch)
            return eqx.filter_vjp(run, drift, y0, state)[1]

        return size_of(eqx.filter_eval_shape(pulled, drift, y0, state))

    long = min(16, drift.table.steps)
    short = long // 2
    one, two = kept(short) if short else 0, kept(long)
    residual = (two - one) / (long - short)
    fixed = one - short * residual + STATES * size_of(drift.table)
    return Footprint(whole, read, residual * min(tiles, 2), fixed)


def size_of(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
