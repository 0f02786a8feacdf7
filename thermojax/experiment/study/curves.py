"""Schedules as dense curves, to store and to draw: what the control was, and not only its knots."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ...protocol import AbstractKnots, AbstractProtocol, Monotone, values_at
from ...system import AbstractSystem, Bath, Overdamped
from ..results.store import Record

POINTS = 512  # intervals of the even grid: a power of two has the middle and the quarters
MOST_POINTS = 8192
CLOSE = 1e-3  # of the range of the control: how near straight lines between points must come
NEAR = 1e-6  # of the duration: times that differ by less differ by rounding


def schedule_record(protocol: AbstractProtocol) -> Record:
    """The control over time as a curve of its own, whatever the protocol is.

    - `time`, `(time,)`, ascending: an even grid, fine enough for straight lines to follow the
      control, and all knots and events. 0 and the duration stand there twice, with the outside
      value and with the one just inside; where the control jumps the time stands twice, too.
    - `control`, `(time, *control)`.
    - `knot_time`, `knot_control`: the values that train, where the protocol has knots; `kicks`,
      `(2, *control)`, where it has impulses at its ends.
    """
    duration = float(protocol.duration)
    times, values = curve(protocol, duration)
    ends = [np.asarray(x, values.dtype)[None] for x in (protocol.initial, protocol.final)]
    record = Record()
    axes = ("time", "control")[: values.ndim]
    record.put("time", np.concatenate([[0.0], times, [duration]]), "time", ("time",))
    record.put("control", np.concatenate([ends[0], values, ends[1]]), "1", axes)
    if isinstance(protocol, AbstractKnots | Monotone):
        knots = protocol.knot_values if isinstance(protocol, AbstractKnots) else protocol.values
        record.put("knot_time", np.asarray(protocol.knots, float), "time", ("knot",))
        record.put("knot_control", np.asarray(knots), "1", ("knot", "control")[: knots.ndim])
    if (kicks := protocol.impulses()) is not None:
        record.put("kicks", np.asarray(kicks), "time", ("end", "control")[: kicks.ndim])
    return record


def curve(protocol: AbstractProtocol, duration: float) -> tuple[np.ndarray, np.ndarray]:
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
        values = evaluated(protocol, times)
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
    between = evaluated(protocol, times[:-1] + share * np.diff(times))
    line = (1 - share) * values[:-1] + share * values[1:]
    off = np.abs(between - line)[smooth]
    both = np.concatenate([values, between])
    return not np.any(off > CLOSE * np.ptp(both, axis=0))


def evaluated(protocol: AbstractProtocol, times: np.ndarray) -> np.ndarray:
    return np.asarray(values_at(protocol, jnp.asarray(times)))


def put_schedules(record: Record, system: AbstractSystem) -> None:
    """The control of a system as `schedule`, and what its bath does in time as `bath`."""
    record["schedule"] = schedule_record(system.protocol)
    if bath := bath_record(system):
        record["bath"] = bath


def bath_record(system: AbstractSystem) -> Record:
    """A curve for each of temperature, friction and mass that changes in time."""
    bath: Bath = system.bath
    names = ["temperature", "friction", *([] if isinstance(system, Overdamped) else ["mass"])]
    members = {name: getattr(bath, name) for name in names}
    changing = {n: x for n, x in members.items() if isinstance(x, AbstractProtocol)}
    return Record(**{name: schedule_record(schedule) for name, schedule in changing.items()})
