"""Reverse mode within a budget of memory: how long a block, and how many checkpoints.

With blocks of k substeps and c checkpoints, reverse mode keeps c states and the residuals of k
substeps. Fewer checkpoints than blocks cost further passes over the run (Griewank, Walther, ACM
TOMS 26, 19 (2000)); blocks near sqrt(n) need least.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax

from ..dynamics import AbstractSplitting, DriftTerm, NoiseTerm, tiles_of

STATES = 5
# States that are there besides the checkpoints: the one at hand, its derivative, and the copies
# that XLA keeps of both between two blocks. Measured at 1024 x 1, where states are most of it.


def fitting(
    memory: int,
    steps: int,
    drift: DriftTerm,
    noise: NoiseTerm,
    integrator: AbstractSplitting,
    y0: tuple,
    blocks: list[int],
) -> tuple[int, int]:
    """The block, of `blocks`, and the number of checkpoints that cost least within `memory` bytes.

    **Raises:** ValueError where no choice fits, with the least that does.
    """
    state, residual, fixed = footprint(drift, noise, integrator, y0)
    fits = []
    for block in blocks:
        count = math.ceil(steps / block)
        checkpoints = min(count, int((memory - fixed - block * residual) // state))
        if checkpoints >= 1:
            cost = passes(count, checkpoints), abs(block - math.sqrt(steps))
            fits.append((cost, block, checkpoints))
    if not fits:
        least = fixed + min(blocks) * residual + state
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


def footprint(drift, noise, integrator, y0) -> tuple[int, float, float]:
    """Bytes of one state, of the residuals of one substep, and of what is there at any rate."""

    def begun(y0):
        return integrator.init(dfx.MultiTerm(drift, noise), drift.table.h * 0, None, y0, None)

    whole = size_of((y0, eqx.filter_eval_shape(begun, y0)))
    if (tiles := tiles_of(y0[0], noise.path)) > 1:  # the pieces of one are there at a time
        noise = dataclasses.replace(noise, path=noise.path.share(0, tiles))
        y0 = jax.tree.map(lambda leaf: leaf[: len(leaf) // tiles], y0)
    state = eqx.filter_eval_shape(begun, y0)

    def kept(block: int) -> int:
        """Bytes that the derivative of a block keeps."""
        moved = dataclasses.replace(integrator, block=block).advanced

        def pulled(drift, y0, state):
            unwatched = lambda d, y, s: moved(d, noise, y, s, watch=False)
            return eqx.filter_vjp(unwatched, drift, y0, state)[1]

        return size_of(eqx.filter_eval_shape(pulled, drift, y0, state))

    one, two = kept(8), kept(16)
    residual = (two - one) / 8
    return whole, residual, one - 8 * residual + size_of(drift.table) + STATES * whole


def size_of(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
