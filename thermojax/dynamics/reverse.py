"""The derivative of a block: where paths that diverge have none.

A frozen path must not put NaN into the gradient of the others. A watch in every substep would see
to that, at half of the cost of reverse mode. But reverse mode begins at the end, where it is known
which paths are still alive: `announced` sends that back, in place of the derivative of the flag,
which is zero. A block then takes a survivor's state and noise in place of those of a path that is
to diverge, needs no watch, and returns no derivative for it.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp

from .._tree import one_each
from ..ledger import Ledger
from .block import Watch
from .devices import BATCH, as_copy, by_device


@jax.custom_vjp
def announced(y: tuple, passed):
    """y at the end of a run, and what it passed; the derivative of `alive` is 1 where it diverged.

    Both, since a cost may read nothing but the way.
    """
    return y, passed


def _sent(alive, cotangents):
    # Of all of y: JAX asks for no derivative of a flag that nobody has used.
    (position, momentum, ledger), passed = cotangents
    news = (alive <= 0).astype(alive.dtype)
    return (position, momentum, dataclasses.replace(ledger, alive=news)), passed


announced.defvjp(lambda y, passed: ((y, passed), y[2].alive), _sent)


def silent(ledger: Ledger) -> Ledger:
    """The ledger; nothing comes back through `alive`."""
    return dataclasses.replace(ledger, alive=jax.lax.stop_gradient(ledger.alive))


@eqx.filter_custom_vjp
def retraced(block, integrator):
    """The next y and solver state of `block` = (drift, noise, y, solver state)."""
    y1, _, state = integrator.shared_out(*block)
    return y1, state


@retraced.def_fwd
def _forward(perturbed, block, integrator):
    del perturbed
    return retraced.fn(block, integrator), None


@retraced.def_bwd
def _reverse(residuals, cotangents, perturbed, block, integrator):
    del residuals
    drift, noise, *states = block
    axes = BATCH, integrator.axes(states[1])
    trained = dataclasses.replace(perturbed[0], copies=False), *perturbed[2:]

    def one(*own):
        of_drift, *of_states = pulled(integrator, trained, *own)
        return as_copy(of_drift, drift), *of_states

    of_drift, *of_states = by_device(
        one, drift, noise, (*states, cotangents), (*axes, axes), (BATCH, *axes)
    )
    nothing = lambda x, train: jnp.zeros_like(x) if train else None
    return of_drift, jax.tree.map(nothing, block[1], perturbed[1]), *of_states


def pulled(integrator, perturbed, drift, noise, y0, solver_state, cotangents):
    """The derivatives of a block by drift, y and solver state, given those by what follows it."""
    doomed = cotangents[0][2].alive
    assert doomed is not None, "the end of the run was not announced"
    diverged, survivor = doomed != 0, jnp.argmin(doomed != 0)

    # What is no array of the batch is the number of the first step.
    others = lambda x: jnp.where(one_each(diverged, x), x[survivor], x) if x.ndim else x
    states = jax.tree.map(others, (y0, solver_state))
    path, paths = noise.path, jnp.where(diverged, survivor, jnp.arange(len(diverged)))
    paths = (path.first_particle + paths).astype(jnp.uint32)
    noise = dataclasses.replace(noise, path=dataclasses.replace(path, particles=paths))
    trained, rest = eqx.partition((drift, *states), perturbed)
    wanted = jax.tree.map(lambda g: g is not None, cotangents, is_leaf=lambda g: g is None)

    def moved(trained):
        drift, *states = eqx.combine(trained, rest)
        y1, _, state = integrator.advanced(drift, noise, *states, watch=Watch.NOT)
        return eqx.filter((y1, state), wanted)

    _, pull = jax.vjp(moved, trained)
    (found,) = pull(jax.tree.map(lambda g: jnp.where(one_each(diverged, g), 0, g), cotangents))
    # Where nobody survives there is nobody to take the place of the others.
    lost = jnp.all(diverged)
    of_drift, of_y, of_state = jax.tree.map(lambda g: jnp.where(lost, 0, g), found)
    # On to the block before.
    of_y = eqx.tree_at(lambda y: y[2].alive, of_y, doomed, is_leaf=lambda x: x is None)
    return of_drift, of_y, of_state
