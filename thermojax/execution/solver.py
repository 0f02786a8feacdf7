"""The solver that diffrax steps: an integrator, and how a block of its steps is run."""

from __future__ import annotations

import functools
from typing import ClassVar

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jaxtyping import Array, PyTree

from ..dynamics import AbstractIntegrator, DriftTerm, NoiseTerm
from .block import SOLVER_STATE_AXES as AXES
from .block import advance_block, begin
from .derivative import advance_skipping_diverged
from .layout import Layout
from .policy import DivergencePolicy
from .sharding import BATCH, LATER_BATCH, WHOLE, CopiedDrift, by_device


class Snapshots(dfx.AbstractLocalInterpolation):
    """The states at the grid points of one block: exact there, and asked nowhere else."""

    t0: Array
    t1: Array
    path: PyTree[Array]

    def evaluate(self, t0, t1=None, left=True):
        del left
        if t1 is not None:
            raise ValueError("snapshots have values at grid points, not increments")
        place = jnp.round(t0 - self.t0).astype(int)
        return jax.tree.map(lambda leaf: leaf[place], self.path)


class BlockTerm(dfx.AbstractTerm):
    """Drift and noise, for a solver that takes whole blocks of steps: diffrax evaluates neither."""

    drift: DriftTerm | CopiedDrift
    noise: NoiseTerm

    def vf(self, t, y, args):
        return None

    def contr(self, t0, t1, **kwargs):
        return None

    def prod(self, vf, control):
        return None


class BlockSolver(dfx.AbstractItoSolver):
    """A block of `layout.steps` steps of an integrator as one step of diffrax.

    `vjp_skips_diverged`: reverse mode learns from the end of the run which paths diverge, and
    leaves them out (`derivative.py`); else every step freezes them, and is differentiated as it is.
    `sharding`: how the batch lies on several devices.
    """

    integrator: AbstractIntegrator
    layout: Layout = eqx.field(static=True)
    vjp_skips_diverged: bool = eqx.field(static=True, default=False)
    sharding: NamedSharding | None = eqx.field(static=True, default=None)
    term_structure: ClassVar = BlockTerm
    interpolation_cls: ClassVar = Snapshots

    def order(self, terms):
        return self.integrator.weak_order

    def strong_order(self, terms):
        return self.integrator.strong_order

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def init(self, terms, t0, t1, y0, args):
        """The state at the first grid point; `args`: the pace of each path, or None."""
        first = jnp.round(t0).astype(int)
        start = functools.partial(begin, self.integrator)
        arguments = first, y0[0], args
        return by_device(
            start, self.sharding, *unwrapped(terms), arguments, (WHOLE, BATCH, BATCH), AXES
        )

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        del args, made_jump
        block = *unwrapped(terms), y0, solver_state
        if self.vjp_skips_diverged and not self.layout.record:
            y1, state = advance_skipping_diverged(
                block, self.integrator, self.layout, self.sharding
            )
            return y1, None, dict(path=y1), state, dfx.RESULTS.successful
        advance = functools.partial(
            advance_block, self.integrator, self.layout, DivergencePolicy.FREEZE
        )
        drift, noise, *states = block
        axes, out_axes = (BATCH, AXES), (BATCH, LATER_BATCH, AXES)
        y1, path, state = eqx.filter_checkpoint(by_device)(
            advance, self.sharding, drift, noise, tuple(states), axes, out_axes
        )
        if self.layout.record:
            dense = dict(path=jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y0, path))
        else:
            dense = dict(path=y1)
        return y1, None, dense, state, dfx.RESULTS.successful


def unwrapped(terms) -> tuple[DriftTerm | CopiedDrift, NoiseTerm]:
    """Drift and noise, without the wrapper that diffrax puts around a term."""
    term = getattr(terms, "term", terms)
    return term.drift, term.noise
