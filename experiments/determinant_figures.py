"""What the study of determinants shows: works that cross, error against time, work that is lost."""

from __future__ import annotations

import numpy as np

from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, INK, ORANGE, VERMILION, legend, new

COLORS = {"linear": ORANGE, "geodesic": GREEN, "trained": BLUE}


def works(results: Record):
    """The works of both ways on one axis, of the linear and of the trained ramp."""
    shown = [name for name in ("linear", "trained") if "works_to" in results.get(name, {})]
    if not shown:
        return None
    figure, panels = new(len(shown), 1.2 + 1.9 * len(shown))
    pairs = [(results[name]["works_to"], -results[name]["works_from"]) for name in shown]
    low, high = np.quantile(
        np.concatenate([np.concatenate(pair) for pair in pairs]), (5e-4, 1 - 5e-4)
    )
    edges = np.linspace(low, high, 42)
    for axes, name, (forward, reverse) in zip(panels, shown, pairs, strict=True):
        record = results[name]
        for values, color, label in (
            (forward, BLUE, "to A, W"),
            (reverse, VERMILION, "from A, -W"),
        ):
            axes.hist(values, edges, density=True, color=color, alpha=0.45, label=label)
        axes.axvline(record["free_energy"], color=INK, lw=1.3, label="ΔF")
        lost, time = float(record["dissipated"].value), record["ramp_time"]
        axes.set(ylabel="density", title=f"{name}, {time:.3g} relaxation times: {lost:.2g} kT lost")
    panels[-1].set(xlabel="work (kT)")
    legend(figure, columns=3)
    return figure, (
        "The work of each device on its way to A, and minus that of its way back. By Crooks' "
        "theorem both densities cross at the free energy ΔF = (ln det A - dim ln c) / 2, drawn "
        "from the determinant itself. What is lost there and back is how far their means are apart."
    )


def convergence(results: Record):
    """The error against the time of a ramp, with its law."""
    record = results.get("convergence")
    if record is None:
        return None
    figure, (axes,) = new(height=3.2)
    time, found = record["time"], record["error"]
    axes.plot(time, record["law"], color=INK, lw=1.3, label="law")
    axes.errorbar(time, found.value, found.error, fmt="o", color=BLUE, ms=4.5, capsize=2,
                  label="devices")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="time of a ramp (relaxation times)",
             ylabel="error of ln det A")  # fmt: skip
    plain_ticks(axes, time, found.value)
    legend(figure)
    return figure, (
        f"The root mean square error of answers by {record.attributes['devices']} devices, over "
        f"{int(np.max(found.count))} answers, against the time of each ramp (geodesic). The line: "
        "the root of twice the lost work, in kT, over the number of devices, which falls as one "
        "over the root of the time."
    )


def plain_ticks(axes, time, values) -> None:
    """Times as numbers; no powers of ten where an axis spans about one of them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xticks(time, [f"{x:.3g}" for x in time])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def dissipation(results: Record):
    """The work that is lost against time, for each ramp and condition; and the ramps."""
    record = results.get("dissipation")
    if record is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 5.4))
    above, below = figure.subplots(2, 1)
    time, styles = record["time"], ("-", "--", ":", "-.")
    conditions = record["condition"]
    for name, color in COLORS.items():
        for row, style in zip(record[name], styles, strict=False):
            above.plot(time, row, style, color=color, marker="o", ms=3,
                       label=name if style == "-" else None)  # fmt: skip
        shape = record[f"{name}_shape"]
        below.plot(np.linspace(0, 1, len(shape)), shape, color=color)
    for condition, style in zip(conditions, styles, strict=False):
        above.plot([], [], style, color=INK, label=f"κ = {condition:g}")
    above.set(xscale="log", yscale="log", xlabel="time of a ramp (relaxation times)",
              ylabel="lost there and back (kT)")  # fmt: skip
    plain_ticks(above, time, record["linear"])
    title = f"the ramps at κ = {conditions[-1]:g}, {time[0]:g} relaxation times"
    below.set(xlabel="time / time of the ramp", ylabel="share s of A", title=title)
    legend(figure, columns=3)
    return figure, (
        f"Above, the mean work that {record.attributes['dim']} modes lose there and back, by their "
        "exact moments, of stiffnesses in equal ratios. Below, the ramps themselves: slow at both "
        "ends, where some modes are soft or change by much of their stiffness; the trained one "
        "jumps where time is short."
    )


def saved(results: Record) -> list[list[str]]:
    """What each ramp loses at each time and condition."""
    record = results.get("dissipation")
    if record is None:
        return []
    rows = [["κ", "time", *COLORS, "linear / trained"]]
    for i, condition in enumerate(record["condition"]):
        for j, time in enumerate(record["time"]):
            lost = [float(record[name][i, j]) for name in COLORS]
            numbers = [f"{x:.3g}" for x in lost]
            rows.append([f"{condition:g}", f"{time:g}", *numbers, f"{lost[0] / lost[-1]:.2f}"])
    return rows
