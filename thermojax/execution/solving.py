"""One solve: y = (position, momentum, ledger) through the steps of a timetable, by diffrax."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array

from .._arguments import instance, whole
from .._component import shown
from .._platform import platform
from .._tree import batch_of
from ..dynamics import (
    AbstractIntegrator,
    AbstractSplitting,
    DriftTerm,
    GridBrownianPath,
    NoiseTerm,
)
from .block import Y
from .budget import fit_into_memory
from .cpu.tiles import best_block, missing_paths
from .derivative import send_diverged_back, without_derivative_of_alive
from .gpu.sizes import kernel_block
from .layout import choose_layout
from .observed import as_observed, from_digits, in_digits
from .sharding import copied, device_count
from .solver import BlockSolver, BlockTerm
from .time_grid import block_size, divisors, even_stride
from .workload import Workload, workload_of

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
    instance(
        "integrator", integrator, AbstractIntegrator, "tj.BAOAB(), tj.OBABO() or tj.QUICSORT()"
    )
    try:
        dtype = jnp.dtype(noise_dtype)
    except (TypeError, ValueError):
        dtype = None
    named = noise_dtype is not None and not isinstance(noise_dtype, jax.Array | np.ndarray)
    if dtype is None or not named or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"noise_dtype = {shown(noise_dtype)}: expected jnp.float32 or another floating dtype"
        )


def require_splitting(integrator: AbstractIntegrator) -> None:
    """**Raises:** ValueError where steps of different sizes meet an integrator of equal ones."""
    if not isinstance(integrator, AbstractSplitting):
        raise ValueError(
            f"{type(integrator).__name__} takes steps of one size: pass one number dt, or "
            "integrator=tj.BAOAB() or tj.OBABO() for a dt of every step"
        )


class Execution(NamedTuple):
    """The computation of a run as a user may choose it, and nothing of the physics."""

    integrator: AbstractIntegrator
    adjoint: Any = None
    noise_dtype: Any = jnp.float32
    sharding: NamedSharding | None = None
    memory: int | None = None  # bytes that reverse mode may keep
    block: int | None = None  # steps of a block; None: chosen


def solve(
    drift: DriftTerm,
    noise: NoiseTerm,
    y0: Y,
    how: Execution,
    *,
    save_steps: np.ndarray | None = None,
    observe: Callable | None = None,
    pace: Array | None = None,
) -> tuple[Y, Any]:
    """y at the end, and the observations at the local steps `save_steps` (or None).

    Full blocks first, then what is left over as one shorter block: the number of steps never
    depends on the block size. With `how.memory`, block and checkpoints are chosen to fit.
    `pace`, (batch,): how long the steps of each path are, in those of the timetable.
    """
    table, integrator, adjoint = drift.table, how.integrator, how.adjoint
    steps, dtype, batch = table.steps, table.h.dtype, batch_of(y0[0])
    if steps >= 1 / float(jnp.finfo(dtype).eps):
        raise ValueError(
            f"{steps} steps cannot be counted in {dtype}: advance a chain in shorter pieces"
        )
    path = integrator.brownian_path(noise.path, table)
    if how.sharding is not None and not isinstance(path, GridBrownianPath):
        raise ValueError(
            "path = 'tree' draws the noise of a whole batch: leave out sharding, or use path='grid'"
        )
    noise = dataclasses.replace(noise, path=path)
    devices = device_count(how.sharding)
    work = workload_of(drift.system, table, path, integrator, y0[0], devices)
    # Reverse mode by checkpoints learns from the end which paths diverge.
    reverse = adjoint is None or isinstance(adjoint, dfx.RecursiveCheckpointAdjoint)
    vjp_skips = reverse and work.splitting
    position, momentum, ledger = y0
    y0 = position, momentum, without_derivative_of_alive(ledger)
    if devices == 1 and platform() == "cpu":
        (y0, pace), noise, work = pad_batch((y0, pace), noise, work)
    given = lambda tree: jax.tree.map(lambda leaf: leaf[:batch], tree)

    stride = None if save_steps is None else even_stride(save_steps, steps)
    best, at_ends = None, save_steps is None or stride is not None  # of blocks all that is kept
    # Others run the batch as a whole; uneven snapshots keep all steps of a block at once.
    if at_ends and work.splitting:
        best = kernel_block(work, steps) if platform() == "gpu" else best_block(work, steps)
    block = min(how.block or block_size(steps, stride or steps, best), steps)
    checkpoints = steps
    if how.memory is not None and adjoint is None:
        sizes = [block] if how.block else [block, *divisors(stride or steps)]
        skips = vjp_skips and at_ends
        block, checkpoints = fit_into_memory(
            how.memory, steps, drift, noise, integrator, y0, work, sizes, skips
        )
    if stride is not None and stride % block:  # a block size that the caller insists on
        stride = None
    record = save_steps is not None and stride is None
    blocks, rest = divmod(steps, block)
    segments = [(0, blocks, block)] + ([(blocks * block, 1, rest)] if rest else [])
    term = BlockTerm(copied(drift, how.sharding), noise)
    # Known numbers as times spare the program diffrax's run-time checks of them, which are calls to
    # the host and would keep it out of XLA's cache on disk. They set the dtype of the state, too.
    time = float if dtype == jnp.result_type(float) else lambda t: jnp.asarray(t, dtype)
    saved, state = [], None

    def seen(t, y):
        y = given((*y[:2], without_derivative_of_alive(y[2])))
        return y if observe is None else jax.tree.map(as_observed, observe(t, y))

    # diffrax fills what is to come with infinity, which whole numbers do not have.
    look = lambda t, y, args: jax.tree.map(in_digits, seen(t, y))

    for first, count, size in segments:
        last = first + count * size
        subs = [dfx.SubSaveAt(t1=True)]
        if save_steps is not None and stride is not None:
            subs.append(dfx.SubSaveAt(t0=True, steps=stride // block, fn=look))
        elif save_steps is not None:
            within = (save_steps >= first) & ((save_steps < last) | (last == steps))
            if np.any(within):
                ts = jnp.asarray(save_steps[within], dtype)
                subs.append(dfx.SubSaveAt(ts=ts, fn=look))
        even = starts_even(noise, first, size)
        layout = choose_layout(work, size, record, even, vjp_skips)
        solution = dfx.diffeqsolve(
            term,
            BlockSolver(integrator, layout, vjp_skips, how.sharding),
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
    if vjp_skips:
        y0, passed = send_diverged_back(y0, passed)
    return given(y0), passed


def pad_batch(tree, noise: NoiseTerm, work: Workload):
    """A tree of batches with copies of its last path until its tiles are equal.

    The noise of a path is a function of its number, so that further paths change nothing.
    """
    more = missing_paths(work)
    if more == 0:
        return tree, noise, work
    longer = lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[-1:], more, axis=0)])

    def wider(leaf):
        return jax.ShapeDtypeStruct((len(leaf) + more, *leaf.shape[1:]), leaf.dtype)

    path = dataclasses.replace(noise.path, shape=jax.tree.map(wider, noise.path.shape))
    noise = dataclasses.replace(noise, path=path)
    return jax.tree.map(longer, tree), noise, work._replace(paths=work.paths + more)


def starts_even(noise: NoiseTerm, first: int, size: int) -> bool:
    """Whether blocks of this size, from this local step on, are known to start at even steps."""
    begin = getattr(noise.path, "first_step", None)
    return isinstance(begin, int) and (begin + first) % 2 == 0 and size % 2 == 0
