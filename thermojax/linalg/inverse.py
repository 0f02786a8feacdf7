"""Inverses: the covariance of a coupled device is kT A^-1."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real
from .._component import positive
from ..system import Bath
from .device.answer import Answer
from .device.device import read
from .device.exact import sampled
from .device.problem import problem_of
from .device.settings import Settings, until_accurate
from .imperfect.copies import checked_copies, imperfect
from .imperfect.imperfections import Imperfections


def inv(
    A: Any,
    key: PRNGKeyArray,
    *,
    time: float | None = None,
    rtol: float | None = None,
    probability: float = 0.9,
    dynamics: str = "overdamped",
    trajectories: int = 1,
    method: str | None = None,
    bath: Bath | None = None,
    idle_power: float = 0.0,
    max_products: float = 1e9,
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
    settings = Settings(
        time, rtol, probability, dynamics, trajectories, method, bath, idle_power, max_products
    )
    if interval is not None:
        real("interval", interval, "a positive time between two samples", positive)
    given = checked_copies(imperfections, copies, extrapolate, rtol)
    problem = problem_of("inv", A, None, key, settings, interval)

    def run(time, key):
        run = problem.planned(time, interval)
        modes, b, device, plan = problem.modes, problem.b, run.device, run.plan
        moment = SecondMoment(jnp.asarray(device.bath.temperature, b.dtype))
        if given is not None:
            return imperfect(run, given, key, moment)
        if modes is None:
            reading = read(device, problem.operator, b, plan, key, moment)
            return run.answered(run.grouped(reading, 2))
        reading = run.grouped(sampled(modes, b, device, plan, key, moment), 2)
        return run.answered(reading, vectors=plan.trajectories * plan.samples)

    return until_accurate(run, problem.settings, problem.first, key)


class SecondMoment(eqx.Module):
    """The mean of x x^T / kT over positions `(batch, dim)`; no small kT rounds it to zero."""

    temperature: Float[Array, ""]

    @jax.jit
    def __call__(self, x):
        z = x / jnp.sqrt(self.temperature)
        return z.T @ z / len(z)
