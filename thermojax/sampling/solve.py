"""One solve: y = (position, momentum, ledger) through the steps of a timetable, by diffrax."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._arguments import instance, whole
from .._component import shown
from .._tree import batch_of
from ..dynamics import (
    QUICSORT,
    AbstractSplitting,
    DriftTerm,
    GridBrownianPath,
    NoiseTerm,
    evened,
    long_block,
)
from ..dynamics.devices import copied
from ..dynamics.equations import traits_of
from ..dynamics.reverse import announced, silent
from .budget import fitting, of_one_device
from .grid import block_size, divisors

ADJOINTS = (dfx.RecursiveCheckpointAdjoint, dfx.DirectAdjoint, dfx.ForwardMode)


def check_adjoint(adjoint, memory: int | None = None) -> None:
    if memory is not None:
        whole("memory", memory, cure="the bytes that reverse mode may keep")
    if memory is not None and adjoint is not None:
        raise ValueError(
            "memory chooses the checkpoints of the default adjoint: leave out one of the two"
        )
    if adjoint is not None:
        names = ", ".join(f"diffrax.{kind.__name__}()" for kind in ADJOINTS)
        why = "the others do not differentiate a stochastic path correctly"
        instance("adjoint", adjoint, ADJOINTS, f"one of {names}; {why}")


@contextlib.contextmanager
def forward_mode_in_words():
    """Around a solve: what JAX says of forward mode through checkpoints, with the cure."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise ValueError(
            "forward mode (jax.jvp, jax.jacfwd, jax.hessian) does not pass through the default "
            "adjoint: pass adjoint=diffrax.ForwardMode() for first derivatives, or "
            "adjoint=diffrax.DirectAdjoint() for second ones"
        ) from error


def check_how(integrator, noise_dtype) -> None:
    """**Raises:** ValueError for what is no integrator, or no floating dtype."""
    instance("integrator", integrator, AbstractSplitting, "tj.BAOAB(), tj.OBABO() or tj.QUICSORT()")
    try:
        dtype = jnp.dtype(noise_dtype)
    except (TypeError, ValueError):
        dtype = None
    named = noise_dtype is not None and not isinstance(noise_dtype, jax.Array | np.ndarray)
    if dtype is None or not named or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"noise_dtype = {shown(noise_dtype)}: expected jnp.float32 or another floating dtype"
        )


def solve(
    drift: DriftTerm,
    noise: NoiseTerm,
    integrator: AbstractSplitting,
    y0: tuple,
    *,
    save_steps: np.ndarray | None = None,
    observe: Callable | None = None,
    adjoint: Any = None,
    memory: int | None = None,
    pace: Array | None = None,
) -> tuple[tuple, Any]:
    """y at the end, and the observations at the local steps `save_steps` (or None).

    Full blocks first, then what is left over as one shorter block: the number of steps never
    depends on the block size. With `memory` in bytes, block and checkpoints are chosen to fit.
    `pace`, (batch,): how long the steps of each path are, in those of the timetable.
    """
    steps = drift.table.steps
    dtype = drift.table.h.dtype
    batch = batch_of(y0[0])
    # Reverse mode by checkpoints learns from the end which paths diverge. QUICSORT's noise need not
    # be a function of the path's number, so it watches.
    reverse = adjoint is None or isinstance(adjoint, dfx.RecursiveCheckpointAdjoint)
    told = reverse and not isinstance(integrator, QUICSORT)
    position, momentum, ledger = y0
    traits = traits_of(noise.system, noise.table.kick[0], position)
    noise = dataclasses.replace(noise, traits=traits)
    (position, momentum, ledger, pace), noise = evened(
        (position, momentum, silent(ledger), pace), noise
    )
    y0 = position, momentum, ledger
    given = lambda tree: jax.tree.map(lambda leaf: leaf[:batch], tree)
    if steps >= 1 / float(jnp.finfo(dtype).eps):
        raise ValueError(
            f"{steps} steps cannot be counted in {dtype}: advance a chain in shorter pieces"
        )
    stride = None if save_steps is None else even_stride(save_steps, steps)
    best, at_ends = None, save_steps is None or stride is not None  # of blocks all that is kept
    # QUICSORT runs the batch as a whole, and uneven snapshots keep all substeps of a block at once.
    if at_ends and not isinstance(integrator, QUICSORT):
        share, (position, *_) = of_one_device(noise, y0)
        best = long_block(position, share, steps)
    block = min(integrator.block or block_size(steps, stride or steps, best), steps)
    checkpoints = steps
    if memory is not None and adjoint is None:
        sizes = [block] if integrator.block else [block, *divisors(stride or steps)]
        unwatched = told and at_ends
        block, checkpoints = fitting(memory, steps, drift, noise, integrator, y0, sizes, unwatched)
    drift = copied(drift, noise.path.sharding)
    if stride is not None and stride % block:  # a block size that the caller insists on
        stride = None
    blocks, rest = divmod(steps, block)
    pieces = [(0, blocks, block)] + ([(blocks * block, 1, rest)] if rest else [])
    # Known numbers as times spare the program diffrax's run-time checks of them, which are calls to
    # the host and would keep it out of XLA's cache on disk. They set the dtype of the state, too.
    time = float if dtype == jnp.result_type(float) else lambda t: jnp.asarray(t, dtype)
    saved, state = [], None

    def seen(t, y):
        y = given((*y[:2], silent(y[2])))
        return y if observe is None else jax.tree.map(as_observed, observe(t, y))

    # diffrax fills what is to come with infinity, which whole numbers do not have.
    look = lambda t, y, args: jax.tree.map(in_digits, seen(t, y))

    for first, count, size in pieces:
        last = first + count * size
        record = save_steps is not None and stride is None
        subs = [dfx.SubSaveAt(t1=True)]
        if save_steps is not None and stride is not None:
            subs.append(dfx.SubSaveAt(t0=True, steps=stride // block, fn=look))
        elif save_steps is not None:
            inside = (save_steps >= first) & ((save_steps < last) | (last == steps))
            if np.any(inside):
                ts = jnp.asarray(save_steps[inside], dtype)
                subs.append(dfx.SubSaveAt(ts=ts, fn=look))
        solution = dfx.diffeqsolve(
            dfx.MultiTerm(drift, dataclasses.replace(noise, path=aligned(noise.path, first, size))),
            dataclasses.replace(integrator, block=size, record=record, told=told),
            time(first),
            time(last),
            time(size),
            y0,
            args=pace,
            saveat=dfx.SaveAt(subs=subs, solver_state=True),
            adjoint=adjoint or dfx.RecursiveCheckpointAdjoint(checkpoints=min(count, checkpoints)),
            max_steps=count,
            solver_state=state,
            throw=False,
        )
        assert solution.ys is not None
        state = solution.solver_state
        y0 = jax.tree.map(lambda leaf: leaf[-1], solution.ys[0])
        saved += solution.ys[1:]
    passed = None
    if saved:
        kinds = jax.eval_shape(seen, jnp.zeros((), dtype), y0)
        together = lambda kind, *leaves: from_digits(jnp.concatenate(leaves), kind.dtype)
        passed = jax.tree.map(together, kinds, *saved)
    if told:
        y0, passed = announced(y0, passed)
    return given(y0), passed


def in_digits(x: Array) -> Array:
    """Whole numbers and booleans as floats, exactly: one for each byte, on a new last axis."""
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    x = x.astype(jnp.uint8) if x.dtype == bool else x
    digits = jax.lax.bitcast_convert_type(x, jnp.uint8)
    return digits.reshape(*x.shape, x.dtype.itemsize).astype(jnp.float32)


def from_digits(x: Array, dtype) -> Array:
    """What `in_digits` was given."""
    if jnp.issubdtype(dtype, jnp.inexact):
        return x
    digits = x.astype(jnp.uint8)
    if dtype.itemsize == 1:  # whose bytes are no axis of their own
        digits = digits[..., 0]
    if jnp.issubdtype(dtype, jnp.bool_):
        return digits > 0
    return jax.lax.bitcast_convert_type(digits, dtype)


def as_observed(value) -> Array:
    """What `observe` returned, numbers of Python too. **Raises:** ValueError for anything else."""
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"observe returned {shown(value)}: expected numbers, arrays, or a pytree of arrays"
        ) from error


def aligned(path: GridBrownianPath, first: int, size: int) -> GridBrownianPath:
    """The path, told whether blocks of this size, from this local step on, start at even steps."""
    begin = path.first_step
    even = isinstance(begin, int) and (begin + first) % 2 == 0 and size % 2 == 0
    return dataclasses.replace(path, even=even)


def even_stride(save_steps: np.ndarray, steps: int) -> int | None:
    """The distance of snapshots that lie evenly from 0 to the end; None for any others.

    Blocks that divide it make every snapshot the end of a block: nothing else need be kept.
    """
    strides = np.diff(save_steps)
    even = save_steps[0] == 0 and save_steps[-1] == steps and len(set(strides.tolist())) == 1
    return int(strides[0]) if even else None
