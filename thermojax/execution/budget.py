"""Reverse mode within a budget of memory: how long a block, and how many checkpoints.

With blocks of k substeps and a checkpoint for each, reverse mode keeps, of n / k blocks, what their
derivative reads, and the residuals of k substeps: least near k = sqrt(n). Fewer checkpoints than
blocks hold whole states, and cost further passes over the run (Griewank, Walther, ACM TOMS 26, 19
(2000)).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._tuning import IN_MEMORY
from ..dynamics import AbstractIntegrator, DriftTerm, NoiseTerm
from .block import Y, advance_block, begin
from .layout import choose_layout
from .policy import DivergencePolicy
from .sharding import cut_noise
from .workload import Workload


def fit_into_memory(
    memory: int,
    steps: int,
    drift: DriftTerm,
    noise: NoiseTerm,
    integrator: AbstractIntegrator,
    y0: Y,
    work: Workload,
    blocks: list[int],
    skips: bool,
) -> tuple[int, int]:
    """The block, of `blocks`, and the number of checkpoints that cost least within `memory` bytes.

    Of those that cost as many passes the one nearest to the first, which is that without a budget.
    `skips`: whether reverse mode leaves out paths that diverge, and need not look for them.

    **Raises:** ValueError where no choice fits, with the least that does.
    """
    noise, own = cut_noise(noise, 0, work.devices), cut_batch(work.devices, y0)
    need = footprint(drift, noise, own, integrator, work, skips).times(work.devices)
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
    """The times a run of `count` blocks is computed again: least r with C(c + r, r) >= count."""
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
        moving = self.state + (IN_MEMORY.states + count) * self.read
        return self.fixed + moving + block * self.residual

    def some_blocks(self, checkpoints: int, block: int) -> float:
        """With fewer checkpoints than blocks."""
        return self.fixed + (IN_MEMORY.states + checkpoints) * self.state + block * self.residual


def cut_batch(count: int, y0):
    """The shapes of one of `count` equal slices of a batch."""
    own = lambda x: jax.ShapeDtypeStruct((x.shape[0] // count, *x.shape[1:]), x.dtype)
    return jax.tree.map(own, y0)


def footprint(
    drift: DriftTerm,
    noise: NoiseTerm,
    y0: Y,
    integrator: AbstractIntegrator,
    work: Workload,
    skips: bool,
) -> Footprint:
    """The memory that reverse mode needs for the batch of one device."""

    def begun(y0):
        return begin(integrator, drift, noise, jnp.zeros((), int), y0[0], None)

    state = eqx.filter_eval_shape(begun, y0)
    whole = size_of((y0, state))
    read = size_of((*y0[:2], state.gradient, state.drive)) if skips else whole
    policy = DivergencePolicy.IGNORE if skips else DivergencePolicy.FREEZE
    tiles = choose_layout(work, 1, record=False, even=False, vjp_skips=skips).tiles
    if tiles > 1:
        noise = cut_noise(noise, 0, tiles)
        y0 = cut_batch(tiles, y0)
        work = work._replace(paths=work.paths // tiles)
    state = eqx.filter_eval_shape(begun, y0)

    def kept(block: int) -> int:
        """Bytes that the derivative of a block keeps."""
        layout = choose_layout(work, block, record=False, even=False, vjp_skips=skips)
        layout = layout._replace(optimistic=False)

        def pulled(drift, y0, state):
            run = lambda *own: advance_block(integrator, layout, policy, own[0], noise, *own[1:])
            return eqx.filter_vjp(run, drift, y0, state)[1]

        return size_of(eqx.filter_eval_shape(pulled, drift, y0, state))

    long = min(16, drift.table.steps)
    short = long // 2
    one, two = kept(short) if short else 0, kept(long)
    residual = (two - one) / (long - short)
    fixed = one - short * residual + IN_MEMORY.states * size_of(drift.table)
    return Footprint(whole, read, residual * min(tiles, IN_MEMORY.tiles), fixed)


def size_of(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
