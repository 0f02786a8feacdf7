"""Schedules as dense curves, to store and to draw: what the control was, and not only its knots."""

from __future__ import annotations

import numpy as np

from ...protocol import AbstractKnots, AbstractProtocol, Monotone, dense_curve
from ...system import AbstractSystem, Bath, Overdamped
from ..results.store import Record


def schedule_record(protocol: AbstractProtocol) -> Record:
    """The control over time as a curve of its own, whatever the protocol is.

    - `time`, `(time,)`, and `control`, `(time, *control)`: those of `dense_curve`.
    - `knot_time`, `knot_control`: the values that train, where the protocol has knots; `kicks`,
      `(2, *control)`, where it has impulses at its ends.
    """
    times, values = dense_curve(protocol)
    record = Record()
    record.put("time", times, "time", ("time",))
    record.put("control", values, "1", ("time", "control")[: values.ndim])
    if isinstance(protocol, AbstractKnots | Monotone):
        knots = protocol.knot_values if isinstance(protocol, AbstractKnots) else protocol.values
        record.put("knot_time", np.asarray(protocol.knots, float), "time", ("knot",))
        record.put("knot_control", np.asarray(knots), "1", ("knot", "control")[: knots.ndim])
    if (kicks := protocol.impulses()) is not None:
        record.put("kicks", np.asarray(kicks), "time", ("end", "control")[: kicks.ndim])
    return record


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
