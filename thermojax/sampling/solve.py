"""One solve: y = (position, momentum, ledger) through the steps of a timetable, by diffrax."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..dynamics import AbstractSplitting, DriftTerm, NoiseTerm
from .grid import block_size

ADJOINTS = (dfx.RecursiveCheckpointAdjoint, dfx.DirectAdjoint, dfx.ForwardMode)


def check_adjoint(adjoint) -> None:
    if adjoint is not None and not isinstance(adjoint, ADJOINTS):
        names = ", ".join(f"diffrax.{kind.__name__}()" for kind in ADJOINTS)
        raise ValueError(
            f"adjoint is a {type(adjoint).__name__}: expected one of {names}; the others do not "
            "differentiate a stochastic path correctly"
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
) -> tuple[tuple, Any]:
    """y at the end, and the observations at the local steps `save_steps` (or None).

    Full blocks first, then what is left over as one shorter block: the number of steps never
    depends on the block size.
    """
    steps = drift.table.steps
    block = integrator.block or block_size(steps)
    block = min(block, steps)
    blocks, rest = divmod(steps, block)
    dtype = drift.table.h.dtype
    if steps >= 1 / float(jnp.finfo(dtype).eps):
        raise ValueError(
            f"{steps} steps cannot be counted in {dtype}: advance a chain in shorter pieces"
        )
    terms = dfx.MultiTerm(drift, noise)
    pieces = [(0, blocks, block)] + ([(blocks * block, 1, rest)] if rest else [])
    saved = []
    state = None
    for first, count, size in pieces:
        last = first + count * size
        solver = dataclasses.replace(integrator, block=size, record=save_steps is not None)
        subs = [dfx.SubSaveAt(t1=True)]
        if save_steps is not None:
            inside = (save_steps >= first) & ((save_steps < last) | (last == steps))
            if np.any(inside):
                ts = jnp.asarray(save_steps[inside], dtype)
                subs.append(dfx.SubSaveAt(ts=ts, fn=lambda t, y, args: observe(y)))
        solution = dfx.diffeqsolve(
            terms,
            solver,
            jnp.asarray(first, dtype),
            jnp.asarray(last, dtype),
            None,
            y0,
            saveat=dfx.SaveAt(subs=subs, solver_state=True),
            stepsize_controller=dfx.StepTo(jnp.arange(count + 1, dtype=dtype) * size + first),
            adjoint=adjoint or dfx.RecursiveCheckpointAdjoint(checkpoints=count),
            max_steps=count,
            solver_state=state,
            throw=False,
        )
        state = solution.solver_state
        y0 = jax.tree.map(lambda leaf: leaf[-1], solution.ys[0])
        saved += solution.ys[1:]
    if not saved:
        return y0, None
    return y0, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *saved)


def filtered(function):
    """`eqx.filter_jit`, and one place to change how the package compiles."""
    return eqx.filter_jit(function)
