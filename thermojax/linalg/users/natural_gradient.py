"""Natural gradients: a device solves (F + damping) x = gradient while a model is being trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from ..._arguments import choice, function, real, whole
from ..._component import positive, pytree_of_floats, shown
from ..._keys import Purpose, check_key, purpose_key
from ...potential import Harmonic
from ...protocol import Constant
from ...sampling import Chain, advance, start
from ...system import Bath, Overdamped, Underdamped
from ..device.device import DYNAMICS
from ..device.operator import Springs

STEP = 1.0  # in units of 1/rate or 1/frequency of the stiffest mode; unstable at 2
FIRST = 16  # products for the stiffest mode before the first update; then one for each
LASTING = 0.9  # of the largest eigenvalue from one update to the next, at least: batches differ
GAIN = 10  # kT for each coordinate: more than heat gives to a device that relaxes


class NaturalGradientState(NamedTuple):
    """The device between two updates, and its bill.

    - `chain`: its coordinates, `(trajectories, dim)`; in `chain.ledger`, the work of programming
      it anew for each update and the heat that it gave; `chain.time`, the time it has run.
    - `largest`: the largest eigenvalue of the curvature; `direction`, `(dim,)`, of its vector.
    - `products`: of the curvature with a vector, for all trajectories.
    - `discarded`: updates that were made zero because the device was not stable.
    """

    chain: Chain
    largest: Float[Array, ""]
    direction: Float[Array, " dim"]
    products: Int[Array, ""]
    discarded: Int[Array, ""]


def natural_gradient(
    key: PRNGKeyArray,
    *,
    damping: float,
    steps: int,
    temperature: float,
    dynamics: str = "underdamped",
    trajectories: int = 1,
) -> optax.GradientTransformationExtraArgs:
    r"""Gradients g become (F + damping)^-1 g as a device finds it: thermodynamic natural gradients.

    The device has the energy U = x . (F + damping) x / 2 - g . x, and is never at rest: from one
    update to the next it keeps its position, while g and the curvature F change under it. An update
    is its position after some steps more,

        x = x* + (1 - h (F + damping))^steps (x_before - x*) + noise, x* = (F + damping)^-1 g,

    overdamped. In the end the covariance of the noise is kT (F + damping)^-1, by either dynamics.
    In the units of the loss kT is a temperature of the parameters: at a minimum whose Hessian is
    F, updates of -rate x with independent noise keep them at kT rate / (2 - rate).

        optimizer = optax.chain(
            tj.linalg.natural_gradient(key, damping=1e-2, steps=20, temperature=1e-8),
            optax.scale_by_learning_rate(0.1),
        )
        curvature = tj.linalg.gauss_newton(outputs, loss, params)
        updates, state = optimizer.update(gradient, state, params, curvature=curvature)

    **Arguments:**

    - `key`; `damping`, of the unit of the curvature, positive.
    - `steps`: of the device for each update, as many products; h is 1 / (largest eigenvalue).
    - `temperature`: kT, of the unit of the loss.
    - `dynamics`: "underdamped", with the friction 2 sqrt(damping) for which the softest mode
      relaxes fastest, in about sqrt(largest / damping) steps; "overdamped", in largest / damping.
    - `trajectories`: devices side by side, whose mean is taken.

    **Returns:** an optax transformation, whose `update` takes besides `curvature=`, a function
    v -> F v for pytrees of the shape of the gradient, symmetric and positive semidefinite, such as
    `tj.linalg.gauss_newton` returns. The updates are not scaled by a learning rate. The state is a
    `NaturalGradientState`. Jit the step of the training: each `update` outside of jit compiles.

    A device that lags is a momentum of the training. Underdamped, this is stable for learning rates
    below 1 and below steps sqrt(damping / largest), half of friction times the time of an update.

    A gradient or curvature that is not finite makes an update of NaN, as elsewhere in optax, after
    which the device begins from rest. An update in which the device gained energy, for its steps
    were too long for the curvature, is zero and is counted in `state.discarded`.

    **Cost:** for each update (steps + 1) products for each trajectory, and one for the largest
    eigenvalue, 16 at first. **Source:** K. Donatella, S. Duffield, M. Aifer, D. Melanson,
    G. Crooks, P. Coles, Thermodynamic natural gradient descent, arXiv 2405.13817 (2024).
    """
    check_key(key)
    real("damping", damping, "a positive number, of the unit of the curvature", positive)
    real("temperature", temperature, "a positive kT, of the unit of the loss", positive)
    choice("dynamics", dynamics, DYNAMICS)
    steps = whole("steps", steps, cure="steps of the device for each update")
    trajectories = whole("trajectories", trajectories, cure="devices side by side")

    def system_of(potential, dtype):
        kt, softest = jnp.asarray(temperature, dtype), jnp.asarray(damping, dtype)
        if dynamics == "overdamped":
            return Overdamped(potential, Constant(0.0, 1.0), Bath(kt))
        return Underdamped(potential, Constant(0.0, 1.0), Bath(kt, 2 * jnp.sqrt(softest)))

    def init(params: Any) -> Any:
        zero = jnp.zeros_like(ravel_pytree(pytree_of_floats(params, "params"))[0])
        idle = system_of(Harmonic(jnp.ones((), zero.dtype), zero), zero.dtype)
        chain = start(idle, key, initial=jnp.zeros((trajectories, zero.size), zero.dtype))
        direction = jax.random.normal(purpose_key(key, Purpose.TUNING), zero.shape, zero.dtype)
        none = jnp.zeros((), jnp.int32)
        return NaturalGradientState(chain, jnp.zeros((), zero.dtype), direction, none, none)

    def update(updates: Any, state: Any, params: Any = None, *, curvature: Any = None, **_: Any):
        del params
        product, gradient, unravel = flattened(curvature, updates, state)
        first = state.largest == 0
        largest, direction = largest_of(
            product, state.direction, jnp.where(first, FIRST, 1), LASTING * state.largest
        )
        stiffest = largest + damping
        operator = lx.FunctionLinearOperator(
            lambda v: product(v) + jnp.asarray(damping, v.dtype) * v,
            jax.ShapeDtypeStruct(gradient.shape, gradient.dtype),
        )
        system = system_of(Springs(operator, gradient), gradient.dtype)
        dt = STEP / (stiffest if dynamics == "overdamped" else jnp.sqrt(stiffest))
        known = jnp.isfinite(stiffest) & jnp.all(jnp.isfinite(gradient))
        dt = jnp.where(known, dt, 1)
        chain = advance(system, state.chain, dt=dt, steps=steps)
        stable = known & settling(state.chain, chain, temperature)
        found = jnp.mean(chain.position, axis=0)
        found = jnp.where(stable, found, jnp.where(known, 0, jnp.nan))
        spent = trajectories * (steps + 1) + jnp.where(first, FIRST, 1)
        after: Any = NaturalGradientState(
            jax.tree.map(
                lambda x, y: jnp.where(stable, x, y), chain, put_to_rest(chain, state.chain)
            ),
            jnp.where(known, jnp.where(stable, largest, 2 * largest), state.largest),
            jnp.where(known, direction, state.direction),
            state.products + spent.astype(jnp.int32),
            state.discarded + (known & ~stable),
        )
        return unravel(found), after

    return optax.GradientTransformationExtraArgs(init, update)


def flattened(curvature: Any, gradient: PyTree[Array], state: Any):
    """The curvature's product and the gradient on vectors, and the way back to pytrees.

    **Raises:** ValueError for a curvature that is no function, or of another shape, and a gradient
    of another size than the parameters.
    """
    cure = "a function v -> F v, such as tj.linalg.gauss_newton(outputs, loss, params)"
    if curvature is None:
        raise ValueError(f"curvature is missing: pass update(..., curvature=), {cure}")
    function("curvature", curvature, cure)
    flat, unravel = ravel_pytree(gradient)
    if flat.shape != state.direction.shape:
        raise ValueError(
            f"the gradient has {flat.size} numbers: expected {state.direction.size}, as many as "
            "the params of init"
        )
    got, like = jax.eval_shape(curvature, gradient), jax.eval_shape(lambda x: x, gradient)
    if jax.tree.map(jnp.shape, got) != jax.tree.map(jnp.shape, like):
        raise ValueError(f"curvature(v) is {shown(got)}: expected the shapes of the gradient")
    dtype = state.direction.dtype
    product = lambda v: ravel_pytree(curvature(unravel(v)))[0].astype(dtype)
    return product, flat.astype(dtype), unravel


def largest_of(product: Callable, direction: Array, products: Array, least: Array):
    """The largest eigenvalue of a matrix, `least` at least, by products from a direction on."""

    def turn(_, found):
        _, v = found
        w = product(v / jnp.maximum(jnp.linalg.norm(v), jnp.finfo(v.dtype).tiny))
        length = jnp.linalg.norm(w)
        # Of a matrix of zeros no direction is the stiffest.
        return length, jnp.where(length > 0, w, v)

    zero = jnp.zeros((), direction.dtype)
    length, direction = jax.lax.fori_loop(0, products, turn, (zero, direction))
    return jnp.maximum(length, least), direction


def settling(before: Chain, after: Chain, temperature: Any) -> Array:
    """Whether a device has relaxed, as far as energies tell: it can gain no more than heat gives.

    U + K falls, but for heat, at any stable step; at an unstable one it rises without end.
    """
    first, last = before.ledger, after.ledger
    gain = (last.energy - first.energy) - (last.work - first.work)
    size = abs(first.energy) + abs(last.energy) + abs(first.work) + abs(last.work)
    rounding = 1e3 * jnp.finfo(gain.dtype).eps * size
    most = GAIN * temperature * math.prod(after.position.shape[1:]) + rounding
    return jnp.all((last.alive > 0) & (gain < most))


def put_to_rest(chain: Chain, before: Chain) -> Chain:
    """A chain whose last segment did not count: at rest at zero, its noise that of what follows."""
    ledger, zero = before.ledger, jnp.zeros_like(before.ledger.energy)
    ledger = ledger.booked(energy=zero, kinetic=zero, work=-ledger.energy)
    still = jax.tree.map(jnp.zeros_like, (chain.position, chain.momentum))
    return dataclasses.replace(chain, position=still[0], momentum=still[1], ledger=ledger)
