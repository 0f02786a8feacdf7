"""Schedules of a ramp: which part of the way each of its stages takes."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Float

from .._arguments import choice
from .._component import known, shown
from ..protocol import AbstractProtocol, PiecewiseLinear
from .pilot import Way

SCHEDULES = ("constant dissipation", "linear", "geometric", "learned")
KNOTS = 257  # of a schedule that is written down
ROUNDS = 16  # in which times and controls, each of which depends on the other, come to agree


def check_schedule(schedule: str | AbstractProtocol) -> None:
    """**Raises:** ValueError for no schedule, or one that does not go from 0 to 1."""
    if not isinstance(schedule, AbstractProtocol):
        choice("schedule", schedule, SCHEDULES)
        return
    for end, wanted in (("initial", 0.0), ("final", 1.0)):
        value = known(getattr(schedule, end))
        if value is None or value.shape != () or value != wanted:
            raise ValueError(
                f"schedule has the {end} control {shown(value)}: expected {wanted:g}, a coupling "
                "that is 0 before and 1 after the ramp"
            )


def edges(
    schedule: str | AbstractProtocol, way: Way, count: int
) -> tuple[Float[np.ndarray, " edges"], np.ndarray]:
    """The controls between `count` stages, `(count + 1,)`, and the rung of each stage.

    - "constant dissipation": each stage as long as the others by the Fisher metric, which
      dissipates evenly where memories are of one length, as they are in coordinates that fit.
    - "linear": in time. "geometric": in equal ratios, from the first rung on.
    - a protocol: stretched to the time of the ramp. "learned" has become one (`learned.py`).

    Times follow from the steps of the rungs that the stages pass, and these from the controls.

    **Raises:** ValueError for a protocol that leaves [0, 1].
    """
    length, control = (np.asarray(x, float) for x in (way.length, way.control))
    rungs = lambda at: np.searchsorted(control, 0.5 * (at[1:] + at[:-1])).clip(0, len(control) - 1)
    share = np.linspace(0.0, 1.0, count + 1)
    if schedule == "constant dissipation":
        found = np.interp(share * length[-1], length, control)
    elif schedule == "geometric":
        found = control[1] ** (1 - share)
    else:
        of_time = table_of(schedule) if isinstance(schedule, AbstractProtocol) else lambda s: s
        found, dt = of_time(share), np.asarray(way.dt, float)
        for _ in range(ROUNDS):
            time = np.concatenate([[0.0], np.cumsum(dt[rungs(found)])])
            found = of_time(time / time[-1])
    if not (found.min() > -1e-6 and found.max() < 1 + 1e-6):
        raise ValueError(
            f"schedule goes from {found.min():.3g} to {found.max():.3g}: expected controls in "
            "[0, 1], where the pilot has been"
        )
    found = np.clip(found, 0.0, 1.0)  # rounding
    found[0], found[-1] = 0.0, 1.0
    return found, rungs(found)


def table_of(schedule: AbstractProtocol):
    """The protocol as a function of shares of its duration, an array of them."""
    duration = float(schedule.duration)
    at = jax.jit(jax.vmap(schedule))
    return lambda share: np.asarray(at(duration * np.asarray(share)), float)


def protocol_of(
    places: Float[np.ndarray, " edges"], time: Float[np.ndarray, " edges"]
) -> PiecewiseLinear:
    """The schedule that is at these controls at these times, as a protocol."""
    even = np.linspace(0.0, time[-1], KNOTS)
    return PiecewiseLinear(np.interp(even, time, places), float(time[-1]), 0.0, 1.0)
