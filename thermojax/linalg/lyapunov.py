"""Lyapunov equations: the covariance of a device that a drift moves and a noise shakes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import PRNGKeyArray

from .._arguments import real
from .._component import Numbers, finite, positive
from .device.answer import Answer, DeviceTime
from .device.device import SPACING
from .device.operator import entries, operator_of, square
from .device.problem import FIRST
from .device.relaxation import decaying, remembered
from .device.settings import Settings, until_accurate
from .drift.arnoldi import rates_of, rates_of_matrix
from .drift.drift import DriftingDevice, Noise, Power, noise_of, trace_of
from .drift.motion import STEP
from .drift.watch import Covariance, energy_at, plan_of, watched

SCHUR = 15  # products of A with a vector, for each dimension, that take its work
SQUARE = "it takes vectors to vectors of the same space"
OVERDAMPED = (
    "dynamics = 'underdamped': the positions of an underdamped device solve another equation, "
    "A S + S A^T + (m / 2 gamma^2) (A A S - 2 A S A^T + S A^T A^T) = R with gamma A its stiffness; "
    "expected 'overdamped', or, for a symmetric A and a number R, R / 2 times tj.linalg.inv(A)"
)


def lyapunov(
    A: Any,
    R: Numbers,
    key: PRNGKeyArray,
    *,
    time: float | None = None,
    rtol: float | None = None,
    probability: float = 0.9,
    dynamics: str = "overdamped",
    trajectories: int = 1,
    method: str | None = None,
    idle_power: float = 0.0,
    max_products: float = 1e9,
    interval: float | None = None,
) -> Answer:
    r"""S with A S + S A^T = R as the stationary covariance of dx = -A x dt + R^(1/2) dW.

    A need not be symmetric, nor have a symmetric part that is positive: it must be stable. The mean
    of x x^T over a time T scatters, with C(s) = e^(-A s) S and samples that come close, as

        E|C - S|_F^2 = (2 / T) int_0^T (1 - s / T) [(tr C(s))^2 + tr C(s)^2] ds.

    Unless A R is symmetric, the drift is no gradient: it drives currents that never end, and takes
    kT (2 tr R^-1 A S A^T - tr A) of work per unit of time, all of it given off as heat.

    **Arguments:**

    - `A`, `(dim, dim)`, all eigenvalues with positive real parts, 1 / time: a matrix, a lineax
      operator, or a function x -> A x. `R`: symmetric, positive or semidefinite: a number, `(dim,)`
      for a diagonal, or `(dim, dim)`, length^2 / time. `key`.
    - `time`: of the average, for each of the `trajectories`, which are devices side by side; or
      `rtol` and `probability`: |C - S|_F <= rtol |S|_F, found by shorter runs, Markov's inequality
      and the errors that they see.
    - `method`: "steps", which knows A by its products alone (the default for operators and
      functions), or "exact", by the law of the motion (the default for matrices).
    - `interval`: the time between two samples at most, a quarter of 1 / the slowest rate when left
      out. `idle_power`, kT / time, that the device draws whatever it does. `max_products`: of A
      with a vector, which are not exceeded.

    **Returns:** a `tj.linalg.Answer`, its value `(dim, dim)`, energies in units of kT; they are NaN
    for a singular R, behind which there is no bath. What the start from zero takes is left out.

    **Raises:** ValueError, with the cure, for an unstable A, an R that is no covariance, shapes
    that do not fit, and for underdamped motion, whose positions have another law.

    **Cost:** "steps": 20 products for each step of 1 / |A| and each trajectory; 33 to about 600 for
    the rates and the trace of A, and what it takes to see a start forgotten. The steps change the
    covariance by 4e-5 of itself at most. Of R, if it is a matrix, one eigendecomposition, and
    products with its factor. "exact": O(dim^3), and two products for each sample.

    Source: C. W. Gardiner, Handbook of Stochastic Methods, section 4.4.6.
    """
    settings = Settings(
        time, rtol, probability, dynamics, trajectories, method, None, idle_power, max_products
    ).checked(key, A=A, R=R, interval=interval)
    if dynamics == "underdamped":
        raise ValueError(OVERDAMPED)
    if interval is not None:
        real("interval", interval, "a positive time between two samples", positive)
    operator, noise = programmed(A, R)
    exact = settings.method == "exact" or (
        settings.method is None and isinstance(operator, lx.MatrixLinearOperator)
    )
    matrix = entries(operator, "lyapunov") if exact else None
    rates = rates_of(operator, key) if matrix is None else rates_of_matrix(np.asarray(matrix))
    device = DriftingDevice(operator, matrix, noise, rates)
    trace, of = trace_of(operator, key), Covariance(Power.of(operator, noise), lagged=False)
    apart = interval or SPACING * device.relaxation
    if not exact and interval is None:
        apart = max(apart, STEP / 2 / rates.norm)

    def run(time, key):
        first, second = jax.random.split(key)
        plan = plan_of(time / apart, settings.trajectories)
        motion = device.motion(time / plan.samples)
        products = plan.trajectories * plan.samples * motion.products
        least = 0 if exact else plan.trajectories * device.motion(device.wait).products
        settings.require_affordable(products + least, time, device.relaxation)
        settle, wait, looked = device.settling(first)
        x = jnp.zeros((plan.trajectories, operator.in_size()), noise.factor.dtype)
        reading = watched(settle, motion, plan, x, second, of)
        factor = remembered(
            decaying(device.relaxation), 2, device.relaxation, plan, time, stacklevel=5
        )
        took = DeviceTime(wait * rates.slow, time * rates.slow, device.relaxation)
        products += plan.trajectories * (settle.products + plan.samples) + looked
        return Answer(
            reading.value,
            factor * reading.error,
            plan.averaged * plan.samples,
            took,
            energy_at(reading, trace, took, plan, settings.idle_power),
            products + rates.products + trace.products,
            SCHUR * operator.in_size(),
            exact or noise.decomposed,
            "Schur forms (Bartels and Stewart)",
        )

    return until_accurate(run, settings, FIRST * device.relaxation, key)


def programmed(A: Any, R: Numbers) -> tuple[lx.AbstractLinearOperator, Noise]:
    """The drift and the noise. **Raises:** ValueError for what does not fit."""
    diffusion = finite("R", R)
    if diffusion.ndim > 1 or diffusion.size == 0:
        diffusion = square("R", diffusion, SQUARE)
    is_function = callable(A) and not isinstance(A, type | lx.AbstractLinearOperator)
    takes = jnp.zeros(len(diffusion), diffusion.dtype) if is_function and diffusion.ndim else None
    operator = operator_of(A, takes, SQUARE)
    dim = operator.in_size()
    if diffusion.ndim and len(diffusion) != dim:
        raise ValueError(
            f"R has shape {diffusion.shape}: expected a number, ({dim},) or ({dim}, {dim}), as A "
            f"has {dim} rows"
        )
    return operator, noise_of(diffusion.astype(operator.in_structure().dtype))
