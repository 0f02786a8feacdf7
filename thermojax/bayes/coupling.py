"""The schedule of a coupling: from 0, where data do not count, to 1, where they do."""

from __future__ import annotations

import jax.numpy as jnp

from .._arguments import choice
from .._component import known, positive_number, shown
from ..protocol import AbstractProtocol, PiecewiseLinear

SCHEDULES = ("linear", "sudden")


def coupling(schedule: str | AbstractProtocol, duration) -> AbstractProtocol:
    """The protocol of a coupling: `"linear"`, `"sudden"` (all of it at once, then the system is
    waited for), or a protocol of one number, 0 before and 1 after the duration.

    **Raises:** ValueError for any other, or a duration that is not positive or not the protocol's.
    """
    duration = positive_number("duration", duration, "time")
    if not isinstance(schedule, AbstractProtocol):
        choice("schedule", schedule, SCHEDULES)
        values = [0.0, 1.0] if schedule == "linear" else [1.0, 1.0]
        return PiecewiseLinear(values, duration, initial=0.0, final=1.0)
    for end, wanted in (("initial", 0.0), ("final", 1.0)):
        value = known(getattr(schedule, end))
        if value is not None and (value.shape != () or value != wanted):
            raise ValueError(
                f"schedule has the {end} control {shown(value)}: expected {wanted:g}, a coupling "
                "that is 0 before and 1 after the duration"
            )
    if not jnp.allclose(schedule.duration, duration, rtol=1e-6, atol=0):
        raise ValueError(
            f"schedule lasts {float(schedule.duration):.6g} and duration = {float(duration):.6g}: "
            "make them one"
        )
    return schedule
