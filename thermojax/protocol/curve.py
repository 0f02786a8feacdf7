"""A schedule as a dense curve: the control that runs, and not only its knots."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .base import AbstractProtocol, values_at
from .knots import AbstractKnots
from .monotone import Monotone

POINTS = 512  # intervals of the even grid: a power of two has the middle and the quarters
MOST_POINTS = 8192
CLOSE = 1e-3  # of the range of the control: how near straight lines between points must come
NEAR = 1e-6  # of the duration: times that differ by less differ by rounding


def dense_curve(protocol: AbstractProtocol) -> tuple[np.ndarray, np.ndarray]:
    """The control over time, fine enough for straight lines to follow it, whatever the protocol is.

    **Returns:** times, `(times,)`, ascending: an even grid, and all knots and events; and the
    controls there, `(times, *control)`. 0 and the duration stand there twice, with the outside
    value and with the one just inside; where the control jumps the time stands twice, too.
    """
    duration = float(protocol.duration)
    times, values = inside_curve(protocol, duration)
    ends = [np.asarray(x, values.dtype)[None] for x in (protocol.initial, protocol.final)]
    times = np.concatenate([[0.0], times, [duration]])
    return times, np.concatenate([ends[0], values, ends[1]])


def inside_curve(protocol: AbstractProtocol, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Times of [0, duration] and the inside values there, both sides of every jump."""
    marks = [protocol.knots] if isinstance(protocol, AbstractKnots | Monotone) else []
    marks += [] if (events := protocol.events()) is None else [events]
    jumps = protocol.jumps()
    where = np.zeros(0) if jumps is None else np.asarray(jumps[0], float)
    points = POINTS
    while True:
        grid = np.linspace(0, duration, points + 1)
        times = np.unique(np.concatenate([grid, *(np.asarray(x, float).ravel() for x in marks)]))
        times = times[(times >= 0) & (times <= duration)]
        times = times[np.append(True, np.diff(times) > NEAR * duration)]
        times[-1] = duration
        values = inside_values(protocol, times)
        if points >= MOST_POINTS or followed(protocol, times, values, where):
            break
        points *= 2
    if jumps is None:
        return times, values
    apart = np.ones(times.shape, bool)
    for jump in where:
        apart &= np.abs(times - jump) > NEAR * duration
    apart[[0, -1]] = True
    times = np.concatenate([times[apart], where, where])
    sides = [np.asarray(x, values.dtype) for x in jumps[1:]]
    order = np.argsort(times, kind="stable")  # before comes first where times are equal
    return times[order], np.concatenate([values[apart], *sides])[order]


def followed(protocol, times: np.ndarray, values: np.ndarray, jumps: np.ndarray) -> bool:
    """Whether straight lines between the points come near the control, but for its jumps."""
    share = 0.382  # no simple fraction: an oscillation in step with the grid would hide at one
    smooth = np.searchsorted(jumps, times[:-1], "left") == np.searchsorted(
        jumps, times[1:], "right"
    )
    between = inside_values(protocol, times[:-1] + share * np.diff(times))
    line = (1 - share) * values[:-1] + share * values[1:]
    off = np.abs(between - line)[smooth]
    both = np.concatenate([values, between])
    return not np.any(off > CLOSE * np.ptp(both, axis=0))


def inside_values(protocol: AbstractProtocol, times: np.ndarray) -> np.ndarray:
    return np.asarray(values_at(protocol, jnp.asarray(times)))
