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
from .imperfect import checked_copies, imperfect
from .imperfections import Imperfections
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
    interval: float | None = None,
    imperfections: Imperfections | None = None,
    copies: int = 1,
    extrapolate: bool = False,
) -> Answer:
    r"""A^-1 as the covariance of the positions of a device with the energy U = x . A x / 2.

    The mean of x x^T / kT over the samples of a time T, which scatters, overdamped and as samples
    come close to each other, with eigenvalues k of A as

        E|C - A^-1|_F^2 = (2 gamma / T) sum_ij (1 + [i = j]) / (k_i k_j (k_i + k_j)) + O(1/T^2).

    **Arguments:** as `tj.linalg.solve`; `interval`, the time between two samples at most, a quarter
    of the relaxation time when left out.

    **Raises, cost:** as `tj.linalg.solve`; besides, "exact" takes a product of the eigenvectors and
    a vector for each sample.

    **Returns:** a `tj.linalg.Answer`, its value `(dim, dim)`.
    """
    given = checked_copies(imperfections, copies, extrapolate)
    problem = problem_of(
        "inv", A, None, key, time, dynamics, trajectories, method, bath, idle_power, interval
    )
    device, plan, b = problem.device, problem.plan, problem.b
    scale = 1 / jnp.asarray(device.bath.temperature, b.dtype)
    if given is not None:
        return imperfect(problem, given, key, second_moment, scale)
    if problem.modes is None:
        reading = read(device, problem.operator, b, plan, key, second_moment)
        return problem.answered(reading, scale)
    reading = sampled(problem.modes, b, device, plan, key, second_moment)
    return problem.answered(reading, scale, vectors=plan.trajectories * plan.samples)


@jax.jit
def second_moment(x):
    return x.T @ x / len(x)
