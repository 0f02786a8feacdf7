"""Inverses: the covariance of a coupled device is kT A^-1."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..system import Bath
from .answer import Answer
from .device import read
from .exact import sampled
from .problem import problem_of


def inv(
    A: Any,
    key: PRNGKeyArray,
    *,
    time: float,
    dynamics: str = "overdamped",
    trajectories: int = 1,
    method: str | None = None,
    bath: Bath | None = None,
    idle_power: float = 0.0,
) -> Answer:
    r"""A^-1 as the covariance of the positions of a device with the energy U = x . A x / 2.

    The mean of x x^T / kT over samples a quarter of a relaxation time apart, or closer where the
    time is short. Continuous averaging over a time T scatters, overdamped, entry by entry like

        E|C - A^-1|_F^2 = (gamma / T) sum_ij (1 + [i = j]) 2 / (k_i k_j (k_i + k_j)) + O(1/T^2).

    **Arguments, raises, cost:** as `tj.linalg.solve`; "exact" takes two products of a matrix and a
    vector for each sample besides.

    **Returns:** a `tj.linalg.Answer`, its value `(dim, dim)`.
    """
    problem = problem_of(
        "inv", A, None, key, time, dynamics, trajectories, method, bath, idle_power
    )
    device, plan, b = problem.device, problem.plan, problem.b
    scale = 1 / jnp.asarray(device.bath.temperature, b.dtype)
    if problem.modes is None:
        reading = read(device, problem.operator, b, plan, key, second_moment)
        return problem.answered(reading, scale)
    reading = sampled(problem.modes, b, device, plan, key, second_moment)
    return problem.answered(reading, scale, vectors=plan.trajectories * plan.samples)


@jax.jit
def second_moment(x):
    return x.T @ x / len(x)
