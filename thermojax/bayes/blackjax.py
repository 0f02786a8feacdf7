"""Langevin chains with the interface of BlackJAX's algorithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._arguments import function, instance, real, whole
from .._component import positive
from ..potential import LogDensity
from ..sampling import LocalStep
from ..system import Bath
from .proposal import STEPS, log_density, propose_from


class LangevinState(NamedTuple):
    """Where one chain is: `position`, a pytree of `(...)`; `logdensity` there, a scalar."""

    position: PyTree[Array]
    logdensity: Float[Array, ""]


class LangevinInfo(NamedTuple):
    """The fate of one proposal, each entry a scalar.

    - `is_accepted`, and as a number `acceptance_rate`; averaged, the share that was kept.
    - `is_divergent`: the position has no finite density, and the chain does not move.
    - `num_integration_steps`: of the proposal.
    """

    acceptance_rate: Float[Array, ""]
    is_accepted: Array
    is_divergent: Array
    num_integration_steps: int


class Algorithm(NamedTuple):
    """`init(position)` makes a state of ONE position, `step(key, state)` a new state and an info.

    Both are pure: under `jax.jit`, `jax.lax.scan`, and `jax.vmap` for several chains, whose states
    have the chain as the first axis of their arrays.
    """

    init: Callable
    step: Callable


def as_blackjax(
    logdensity_fn: Callable,
    *,
    dt: Any,
    mass: Any = 1.0,
    friction: Any = None,
    steps: int = STEPS,
    adjusted: bool | LocalStep | None = None,
) -> Algorithm:
    r"""A BlackJAX algorithm that moves one chain by Langevin dynamics.

        algorithm = tj.bayes.as_blackjax(logdensity_fn, dt=tuned.dt, mass=tuned.system.bath.mass)
        blackjax.util.run_inference_algorithm(
            key, algorithm, num_steps=1000, initial_position=position
        )

    A step draws momenta anew, takes `steps` steps of `tj.advance`, and keeps where they lead with
    the probability that leaves exp(logdensity) invariant at any `dt`. BlackJAX itself is not asked
    for.

    **Arguments:** `logdensity_fn`, `fn(position) -> scalar`. `dt`, the time step, a scalar, may be
    traced; `mass`, a number, an array that broadcasts against the position, or a pytree like it;
    `friction`, likewise, None: such that a proposal forgets its momentum, mass / (steps dt).
    `steps`, integration steps of a proposal. `adjusted` as in `tj.advance`: None, a
    `tj.LocalStep()`, steps as long as suits where the chain is, for which `dt` is that of the
    widest places, as `tj.tune(..., adjusted=tj.LocalStep())` finds it together with `mass`; True,
    steps of `dt` everywhere; False, no choice, and the error of the step.

    **Returns:** `init` and `step`, as a pair with these names. States have `position`, of the
    shape given, and `logdensity`. **Raises:** ValueError for arguments of another kind.
    **Cost:** `steps` gradients a step, two more with a `tj.LocalStep`.
    """
    function("logdensity_fn", logdensity_fn, "a function, fn(position) -> log density")
    real("dt", dt, "a positive time step", positive)
    steps = whole("steps", steps, cure="integration steps of a proposal")
    adjusted = LocalStep() if adjusted is None else adjusted
    instance("adjusted", adjusted, (bool, LocalStep), "True, False, a tj.LocalStep(), or None")
    Bath(1.0, 1.0 if friction is None else friction, mass)  # its checks, now
    potential = LogDensity(logdensity_fn)

    def init(position: PyTree[Array], rng_key: PRNGKeyArray | None = None) -> LangevinState:
        position = jax.tree.map(jnp.asarray, position)
        return LangevinState(position, logdensity_fn(position))

    def step(rng_key: PRNGKeyArray, state: LangevinState) -> tuple[LangevinState, LangevinInfo]:
        chain = propose_from(
            jax.tree.map(lambda x: x[None], state.position),
            potential,
            rng_key,
            dt=dt,
            mass=mass,
            friction=friction,
            steps=steps,
            adjusted=adjusted,
        )
        position, density, accepted, diverged = jax.tree.map(
            lambda x: x[0],
            (chain.position, log_density(chain), chain.accepted, chain.ledger.diverged),
        )
        kept = ~diverged if adjusted is False else accepted > 0
        info = LangevinInfo(kept.astype(density.dtype), kept, diverged, steps)
        return LangevinState(position, density), info

    return Algorithm(init, step)
