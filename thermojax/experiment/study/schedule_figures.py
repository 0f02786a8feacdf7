"""Figures of the control: over time, and in its plane where it has two components."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..results.store import Record
from ..results.style import INK, columns_with, legend, new

DASHES = ("-", "--", ":", "-.")
MOST_DOTS = 65  # knots that are drawn as dots; more of them would be a band
OF_THE_BATH = {
    "temperature": "temperature kT",
    "friction": "friction γ",
    "mass": "mass m",
}


def schedule(results: Record):
    """The control over time of each column, and what the bath does in time."""
    columns = columns_with(results, "schedule")
    if not columns:
        return None
    baths = [name for name in OF_THE_BATH if any(name in bath(c) for c, _ in columns.values())]
    figure, (axes, *others) = new(1 + len(baths), 3.1 + 1.6 * len(baths))
    jumps, kicks, entries, components = [], [], [], 1
    for name, (column, color) in columns.items():
        record = column["schedule"]
        time, control = control_curve(record)
        components = max(components, control.shape[1])
        lines = component_lines(axes, time, control, color)
        entries += [
            (line, name if len(lines) == 1 else f"{name}, {symbol(i)}")
            for i, line in enumerate(lines)
        ]
        if "knot_time" in record and len(record["knot_time"]) < MOST_DOTS:
            knots = np.asarray(record["knot_control"]).reshape(len(record["knot_time"]), -1)
            axes.plot(record["knot_time"], knots, "o", color=color, markersize=3)
        first, last = control[1] - control[0], control[-1] - control[-2]
        jumps.append(f"{name}: {signed_text(first)} at the start, {signed_text(last)} at the end")
        if "kicks" in record:
            first, last = np.asarray(record["kicks"])
            kicks.append(
                f"{name}: {signed_text(first)} at the start, {signed_text(last)} at the end"
            )
    axes.set(ylabel="control λ" if components == 1 else "controls")
    for panel, part in zip(others, baths, strict=True):
        for column, color in columns.values():
            if part in bath(column):
                component_lines(panel, *control_curve(bath(column)[part]), color)
        panel.set(ylabel=OF_THE_BATH[part])
    figure.axes[-1].set(xlabel="time")
    legend(figure, entries, columns=max(2, components))
    return figure, (
        "The control over time"
        + (" before and after training" if len(columns) > 1 else "")
        + "; outside of the run it is held at its end values, and a vertical stroke is a jump, "
        f"paid for in the work. Jumps, {'; '.join(jumps)}."
        + (f" Momentum kicks (control times time), {'; '.join(kicks)}." if kicks else "")
        + (" Below, what the bath does in time." if baths else "")
    )


def bath(column: Record) -> Record:
    return column.get("bath", Record())


def control_curve(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Times, `(time,)`, and controls, `(time, components)`."""
    time, control = (np.asarray(record[x], float) for x in ("time", "control"))
    return time, control.reshape(len(time), -1)


def component_lines(axes, time: np.ndarray, control: np.ndarray, color: str) -> list[Any]:
    """A line for each component, held at its end values a little way outside of the run."""
    margin = 0.04 * time[-1]
    time = np.concatenate([[-margin], time, [time[-1] + margin]])
    control = np.concatenate([control[:1], control, control[-1:]])
    return [
        axes.plot(time, values, DASHES[i % len(DASHES)], color=color)[0]
        for i, values in enumerate(control.T)
    ]


def symbol(component: int) -> str:
    """λ with the number of a component below it, from 1."""
    digits = "₀₁₂₃₄₅₆₇₈₉"
    return "λ" + "".join(digits[int(d)] for d in str(component + 1))


def signed_text(values: np.ndarray) -> str:
    return ", ".join("none" if abs(x) < 5e-4 else f"{x:+.2g}" for x in np.ravel(values))


def plane(results: Record):
    """Two controls against each other: the way that the system is led."""
    columns = columns_with(results, "schedule")
    if not columns or any(
        control_curve(c["schedule"])[1].shape[1] != 2 for c, _ in columns.values()
    ):
        return None
    figure, (axes,) = new(height=3.6)
    entries = []
    for name, (column, color) in columns.items():
        record = column["schedule"]
        _, control = control_curve(record)
        (line,) = axes.plot(*control.T, color=color)
        entries.append((line, name))
        if "knot_time" in record and len(record["knot_time"]) < MOST_DOTS:
            knots = np.asarray(record["knot_control"])
            axes.plot(*knots.T, "o", color=color, markersize=3)
    ends = next(iter(columns.values()))[0]["schedule"]
    _, control = control_curve(ends)
    marks = (("start", "s", control[0]), ("end", "X", control[-1]))
    if np.allclose(control[0], control[-1]):
        marks = (("start and end", "s", control[0]),)
    for label, mark, place in marks:
        (dot,) = axes.plot(*place, mark, color=INK, markersize=7, zorder=3)
        entries.append((dot, label))
    axes.set(xlabel=symbol(0), ylabel=symbol(1))
    legend(figure, entries, columns=4)
    return figure, (
        "The same two controls against each other, from their values before the run to those after "
        "it; dots are knots, where the schedule has them, and straight strokes at the ends jumps."
    )
