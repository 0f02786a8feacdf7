"""A problem of a symmetric matrix: its device, how long it runs, and the bill."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..._component import Numbers, finite
from ..._scale import floored
from .answer import Answer, digital_products, energy_of, time_of
from .device import EQUILIBRATION, SPACING, Device, Plan, Reading, device_for, plan_for, window
from .exact import Modes, modes_of
from .operator import NORMAL_EQUATIONS, OF_PROBLEM, entries, operator_of
from .relaxation import equilibration, relaxation_of, remembered
from .runtime import require_answer, runtime_of
from .settings import Settings
from .spectrum import Spectrum, spectrum_of

FIRST = 32.0  # relaxation times
LONGEST = 1e12  # relaxation times, whose quarters a float still counts


class Problem(NamedTuple):
    """A device for a symmetric matrix; `modes` where it is simulated exactly."""

    operator: lx.AbstractLinearOperator
    b: Float[Array, " dim"]
    modes: Modes | None
    spectrum: Spectrum
    device: Device
    settings: Settings

    @property
    def first(self) -> float:
        """The time of a first run, which finds out how long the device takes."""
        return FIRST * self.device.relaxation

    def planned(self, time: float, interval: float | None = None, sampled: bool = True) -> Run:
        """The steps of an average over a time; `sampled`: of samples, not by the law of a mean.

        **Raises:** ValueError for a time that takes more products than allowed.
        """
        settings, device = self.settings, self.device
        apart = SPACING * device.relaxation if interval is None else interval
        each = apart if self.modes else min(device.dt, apart)
        products = settings.trajectories * time / each if sampled or not self.modes else 0.0
        settings.require_affordable(products, time, device.relaxation, interval)
        if time > LONGEST * device.relaxation:
            given, cure = f"time = {time:.3g} is", "a shorter one"
            if settings.rtol is not None:
                given = f"rtol = {settings.rtol:.3g} takes a time of {time:.3g},"
                cure = "a larger rtol or more trajectories"
            raise ValueError(
                f"{given} {time / device.relaxation:.2g} relaxation times: expected {cure}; "
                f"{LONGEST:.0e} are counted at most"
            )
        wait = EQUILIBRATION
        if np.any(np.asarray(self.b)):
            wait = equilibration(*self.distances(), device, time, settings.trajectories)
        run = Run(self, *plan_for(device, time, settings.trajectories, interval, wait))
        if not self.modes:  # with what comes before the average, and between its samples
            settings.require_affordable(run.plan.products, time, device.relaxation, interval)
        return run

    def distances(self) -> tuple[Array, Array]:
        """The stiffness of modes, and how far from their rest they start.

        Of a matrix that is known by its products the ends of the spectrum stand for all: a mode of
        stiffness k is |b| / k away at most.
        """
        if self.modes is not None:
            values, vectors = self.modes
            return values, (vectors.T @ self.b) / values
        values = jnp.asarray([self.spectrum.low, self.spectrum.high], self.b.dtype)
        return values, jnp.linalg.norm(self.b) / values


class Run(NamedTuple):
    """A problem with its device and plan for one time."""

    problem: Problem
    device: Device
    plan: Plan

    def grouped(self, reading: Reading, order: int, stacklevel: int = 6) -> Reading:
        """A reading with errors from groups in time, of the mean of positions to this order."""
        device, plan, spectrum = self.device, self.plan, self.problem.spectrum
        ends = jnp.asarray([spectrum.low, spectrum.high], reading.error.dtype)
        memory, (_, time) = relaxation_of(ends, device), window(device, plan)
        factor = remembered(memory, order, device.relaxation, plan, time, stacklevel)
        return reading._replace(error=factor * reading.error)

    def answered(self, reading: Reading, vectors: int = 0) -> Answer:
        """The answer that was read; `vectors`: products of the eigenvectors."""
        problem, plan = self.problem, self.plan
        time = time_of(self.device, plan)
        value, error = reading.value, stated(reading.value, reading.error)
        size, off = (float(np.linalg.norm(np.asarray(x, float))) for x in (value, error))
        relative = off / size if size else math.inf
        products = vectors if problem.modes else problem.spectrum.products + plan.products
        columns = 1 if value.ndim == 1 else value.shape[-1]
        return Answer(
            value,
            error,
            plan.averaged * plan.samples,
            time,
            energy_of(reading.work, reading.heat, time, problem.settings.idle_power),
            products,
            columns * digital_products(problem.spectrum, relative, len(problem.b)),
            problem.modes is not None,
        )


@jax.jit
def stated(value: Array, error: Array) -> Array:
    """Errors that are not below the rounding of the largest entry."""
    return floored(error, jnp.max(jnp.abs(value)))


def problem_of(
    name: str,
    A: Any,
    b: Numbers | None,
    key: PRNGKeyArray,
    settings: Settings,
    interval: float | None = None,
) -> Problem:
    """The problem that these arguments of a public function describe.

    Where the law of the error is known, a tolerance becomes a time.

    **Raises:** ValueError for any that does not fit.
    """
    settings = settings.checked(key, A=A, b=b, interval=interval)
    if b is None and name == "solve":
        raise ValueError("b is None: expected numbers, (dim,), one per row of A")
    given = None if b is None else jnp.atleast_1d(finite("b", b))
    if settings.rtol is not None and given is not None:
        require_answer(given)
    cures = OF_PROBLEM.get(name, NORMAL_EQUATIONS)
    operator = operator_of(A, given, cures.shape)
    if given is None:
        given = jnp.zeros(operator.in_size(), operator.in_structure().dtype)
    whole_matrix = isinstance(operator, lx.MatrixLinearOperator)
    if settings.method == "exact" or (settings.method is None and whole_matrix):
        modes = modes_of(entries(operator, name), cures)
        spectrum = modes.spectrum
    else:
        modes, spectrum = None, spectrum_of(operator, key, cures)
    device = device_for(spectrum, settings.dynamics, settings.bath)
    if modes is not None and settings.rtol is not None:
        rtol, probability, trajectories = settings.rtol, settings.probability, settings.trajectories
        apart = (interval or SPACING * device.relaxation) if b is None else None
        wanted = None if b is None else given
        times = runtime_of(modes, wanted, device, rtol, probability, trajectories, apart)
        settings = settings._replace(time=times.averaging)
    return Problem(operator, given, modes, spectrum, device, settings)
