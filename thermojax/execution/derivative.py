"""The derivative of a block: where paths that diverge have none.

A frozen path must not put NaN into the gradient of the others. Flags in every step would see to
that, at half of the cost of reverse mode. But reverse mode begins at the end, where it is known
which paths are still alive: `send_diverged_back` sends that back, in place of the derivative of the
flag, which is zero. A block then takes a survivor's state and noise in place of those of a path
that is to diverge, needs no flags, and returns no derivative for it.
"""

from __future__ import annotations

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from .._tree import one_each
from ..dynamics import AbstractIntegrator, GridBrownianPath
from ..ledger import Ledger
from .block import SOLVER_STATE_AXES as AXES
from .block import advance_block
from .layout import Layout
from .policy import DivergencePolicy
from .sharding import BATCH, LATER_BATCH, CopiedDrift, as_copy, by_device


@jax.custom_vjp
def send_diverged_back(y: tuple, passed):
    """y at the end of a run, and what it passed; the derivative of `alive` is 1 where it diverged.

    Both, since a cost may read nothing but the way.
    """
    return y, passed


def _send(alive, cotangents):
    # Of all of y: JAX asks for no derivative of a flag that nobody has used.
    (position, momentum, ledger), passed = cotangents
    diverged = (alive <= 0).astype(alive.dtype)
    return (position, momentum, dataclasses.replace(ledger, alive=diverged)), passed


send_diverged_back.defvjp(lambda y, passed: ((y, passed), y[2].alive), _send)


def without_derivative_of_alive(ledger: Ledger) -> Ledger:
    """The ledger; nothing comes back through `alive`."""
    return dataclasses.replace(ledger, alive=jax.lax.stop_gradient(ledger.alive))


# Traced once: diffrax asks for the same block again for its shape, its loop, and its derivative.
@eqx.filter_custom_vjp
@eqx.filter_jit
def advance_skipping_diverged(
    block, integrator: AbstractIntegrator, layout: Layout, sharding: NamedSharding | None
):
    """The next y and solver state of `block` = (drift, noise, y, solver state)."""
    drift, noise, *states = block
    advance = functools.partial(advance_block, integrator, layout, DivergencePolicy.FREEZE)
    axes, out_axes = (BATCH, AXES), (BATCH, LATER_BATCH, AXES)
    y1, _, state = by_device(advance, sharding, drift, noise, tuple(states), axes, out_axes)
    return y1, state


@advance_skipping_diverged.def_fwd
def _forward(perturbed, block, integrator, layout, sharding):
    del perturbed
    return advance_skipping_diverged.fn(block, integrator, layout, sharding), None


@advance_skipping_diverged.def_bwd
def _reverse(residuals, cotangents, perturbed, block, integrator, layout, sharding):
    del residuals
    return pull_back_by_device(cotangents, perturbed, block, integrator, layout, sharding)


@eqx.filter_jit
def pull_back_by_device(cotangents, perturbed, block, integrator, layout, sharding):
    """The derivatives of `advance_skipping_diverged` by all that `block` holds."""
    drift, noise, *states = block
    of_one = perturbed[0].drift if isinstance(drift, CopiedDrift) else perturbed[0]
    trained = of_one, *perturbed[2:]

    def pull(*own):
        of_drift, *of_states = pull_back(integrator, layout, trained, *own)
        return as_copy(of_drift) if isinstance(drift, CopiedDrift) else of_drift, *of_states

    axes = BATCH, AXES
    of_drift, *of_states = by_device(
        pull, sharding, drift, noise, (*states, cotangents), (*axes, axes), (BATCH, *axes)
    )
    zeros = lambda x, train: jnp.zeros_like(x) if train else None
    return of_drift, jax.tree.map(zeros, block[1], perturbed[1]), *of_states


traced_block = eqx.filter_jit(advance_block)  # once for all derivatives that are asked for


def pull_back(
    integrator: AbstractIntegrator, layout, perturbed, drift, noise, y0, solver_state, cotangents
):
    """The derivatives of a block by drift, y and solver state, given those by what follows it."""
    lost = cotangents[0][2].alive
    assert lost is not None, "the end of the run was not sent back"
    assert isinstance(noise.path, GridBrownianPath)
    diverged, survivor = lost != 0, jnp.argmin(lost != 0)

    # What is no array of the batch is the number of the first step.
    others = lambda x: jnp.where(one_each(diverged, x), x[survivor], x) if x.ndim else x
    states = jax.tree.map(others, (y0, solver_state))
    paths = jnp.where(diverged, survivor, jnp.arange(len(diverged)))
    particles = (noise.path.first_particle + paths).astype(jnp.uint32)
    trained, rest = eqx.partition((drift, *states), perturbed)
    wanted = jax.tree.map(lambda g: g is not None, cotangents, is_leaf=lambda g: g is None)

    def advance(trained):
        drift, *begin = eqx.combine(trained, rest)
        y1, _, state = traced_block(
            integrator, layout, DivergencePolicy.IGNORE, drift, noise, *begin, particles=particles
        )
        return eqx.filter((y1, state), wanted)

    _, pull = jax.vjp(advance, trained)
    (found,) = pull(jax.tree.map(lambda g: jnp.where(one_each(diverged, g), 0, g), cotangents))
    # Where nobody survives there is nobody to take the place of the others.
    nobody = jnp.all(diverged)
    of_drift, of_y, of_state = jax.tree.map(lambda g: jnp.where(nobody, 0, g), found)
    # On to the block before.
    of_y = eqx.tree_at(lambda y: y[2].alive, of_y, lost, is_leaf=lambda x: x is None)
    return of_drift, of_y, of_state
