"""What all problems have in common: checked arguments, a device, a plan, and the bill."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import choice, instance, real, whole
from .._component import Numbers, finite, positive
from .._keys import check_key
from ..system import Bath
from .answer import Answer, digital_products, energy_of, time_of
from .device import DYNAMICS, Device, Plan, Reading, device_for, plan_for
from .exact import Modes, modes_of
from .operator import entries, operator_of, require_known
from .spectrum import Spectrum, spectrum_of

METHODS = ("steps", "exact")


class Problem(NamedTuple):
    """A device for a matrix, and how long it runs; `modes` where it is simulated exactly."""

    operator: lx.AbstractLinearOperator
    b: Float[Array, " dim"]
    modes: Modes | None
    spectrum: Spectrum
    device: Device
    plan: Plan
    idle_power: float

    def answered(self, reading: Reading, scale: Any = 1.0, vectors: int = 0) -> Answer:
        """The answer, `scale` times what was read; `vectors`: products of the eigenvectors."""
        time = time_of(self.device, self.plan)
        value, error = scale * reading.value, scale * reading.error
        relative = float(jnp.linalg.norm(error) / jnp.linalg.norm(value))
        products = vectors if self.modes else self.spectrum.products + self.plan.products
        columns = 1 if value.ndim == 1 else value.shape[-1]
        return Answer(
            value,
            error,
            self.plan.trajectories * self.plan.samples,
            time,
            energy_of(reading.work, reading.heat, time, self.idle_power),
            products,
            columns * digital_products(self.spectrum, relative, len(self.b)),
            self.modes is not None,
        )


def problem_of(
    name: str,
    A: Any,
    b: Numbers | None,
    key: PRNGKeyArray,
    time: float,
    dynamics: str,
    trajectories: int,
    method: str | None,
    bath: Bath | None,
    idle_power: float,
    interval: float | None = None,
) -> Problem:
    """The problem that these arguments of a public function describe.

    **Raises:** ValueError for any that does not fit.
    """
    check_key(key)
    choice("dynamics", dynamics, DYNAMICS)
    real("time", time, "a positive time of the device", positive)
    real("idle_power", idle_power, "a power, 0 or more", lambda p: p >= 0)
    if interval is not None:
        real("interval", interval, "a positive time between two samples", positive)
    if bath is not None:
        instance("bath", bath, Bath, "a tj.Bath(...), or None for the default")
    trajectories = whole("trajectories", trajectories, cure="devices side by side")
    choice("method", method, METHODS, or_none=True)
    require_known(A=A, b=b, key=key, time=time, idle_power=idle_power, bath=bath, interval=interval)
    if b is None and name == "solve":
        raise ValueError("b is None: expected numbers, (dim,), one per row of A")
    given = None if b is None else jnp.atleast_1d(finite("b", b))
    operator = operator_of(A, given)
    if given is None:
        given = jnp.zeros(operator.in_size(), operator.in_structure().dtype)
    whole_matrix = isinstance(operator, lx.MatrixLinearOperator)
    if method == "exact" or (method is None and whole_matrix):
        modes = modes_of(entries(operator, name))
        spectrum = modes.spectrum
    else:
        modes, spectrum = None, spectrum_of(operator, key)
    device = device_for(spectrum, dynamics, bath)
    device, plan = plan_for(device, float(time), trajectories, interval)
    return Problem(operator, given, modes, spectrum, device, plan, float(idle_power))
