"""What studies of linear algebra show: how an answer comes, its error against time, the bill."""

from __future__ import annotations

import numpy as np

from experiments.matrix_rows import matrices_figure
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, INK, ORANGE, legend, new

MOST = 24  # coordinates of a picture whose cells can be told apart


def pictures(results: Record):
    """The estimate at growing times and the target."""
    record = results.get("pictures")
    if record is None:
        return None
    draw = vectors if np.ndim(record["target"]) == 1 else matrices
    return draw(record), (
        f"{record.attributes['title']}: what one device says after averages of growing length T "
        f"({record.units.get('time', 'time')}), and the target"
        + ("." if draw is vectors else " last, on one scale of colors.")
    )


def vectors(record: Record):
    """Dots, the darker the longer the average, and the target as bars."""
    figure, (axes,) = new(height=2.8)
    target, times = np.asarray(record["target"]), record["time"]
    place = np.arange(len(target))
    axes.hlines(target, place - 0.4, place + 0.4, color=INK, lw=1.6, label="target")
    for i, (time, value) in enumerate(zip(times, record["value"], strict=True)):
        share = (i + 1) / len(times)
        axes.plot(place + 0.5 * (share - 0.6), value, "o", color=BLUE, alpha=share**1.5, ms=4,
                  label=f"T = {time:,g}")  # fmt: skip
    axes.set(xlabel="coordinate", ylabel="value", xticks=place[:: 1 + len(place) // 12])
    legend(figure, columns=3)  # more are wider than the figure
    return figure


def matrices(record: Record):
    """A row of matrices on one scale of colors, the target last."""
    values, target = np.asarray(record["value"]), np.asarray(record["target"])
    titles = [*(f"T = {time:,g}" for time in record["time"]), "target"]
    return matrices_figure(values, target, titles, 1.45)


def convergence(results: Record):
    """The relative error against the time of the average, with its law.

    `convergence` holds `time`, `error`, perhaps a `law` (at `law_time`, where that is another), and
    `reached`: the time of all devices together and the error of the answer. Its attribute
    `second_moment` says that squares of squares of coordinates are averaged.
    """
    record = results.get("convergence")
    if record is None:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, (axes,) = new(height=3.3)
    time, found = record["time"], record["error"]
    if "law" in record:
        axes.plot(record.get("law_time", time), record["law"], color=INK, lw=1.3, label="law")
    axes.errorbar(time, found.value, found.error, fmt="o", color=BLUE, ms=4.5, capsize=2,
                  label="devices")  # fmt: skip
    if "reached" in record:
        axes.plot(*record["reached"], "D", color=ORANGE, ms=6, label="the answer")
    axes.set(xscale="log", yscale="log", xlabel=record.attributes.get("axis", "averaging time"),
             ylabel="relative error")  # fmt: skip
    # Digits between the powers of ten only where there is hardly a power, and few of them.
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    if high < 100 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    legend(figure, columns=3)
    return figure, (
        "The root mean square of |error| / |answer| over "
        f"{int(np.max(found.count))} devices, with its standard error, against the time of the "
        f"average; the line is {record.attributes['law']}. It falls as one over the root of the "
        "time: four times as long for half the error." + tails(record) + diamond(results)
    )


def tails(record: Record) -> str:
    """What a standard error from a few devices cannot see, as a sentence of a caption."""
    if not record.attributes.get("second_moment"):
        return ""
    return (
        " Rare large fluctuations carry much of the mean square of a short average; where no "
        "device had one, the point lies below the line by more than its error, which is the "
        "scatter of the squares that were seen."
    )


def diamond(results: Record) -> str:
    """Where the answer stands, as a sentence of a caption."""
    count = results.get("device", {}).get("trajectories")
    if count is None or "reached" not in results["convergence"]:
        return ""
    return (
        " The diamond is the answer that was asked for, at the averaging time of all its devices "
        f"together: {count} times that of each."
    )


def rounded(value, digits: int = 4) -> float:
    """A number of the headline to four digits: what a device takes is not known better."""
    return float(f"{float(value):.{digits}g}")


def bill(results: Record) -> list[list[str]]:
    """What the device takes, and what a digital computer does, as far as no headline has it."""
    device = results.get("device")
    if device is None:
        return []
    unit, said = device.units, set(results.attributes.get("entries", ()))
    rows = [["", "device, simulated", "digital computer"]]
    labels = {
        "equilibration": "time to equilibrium",
        "averaging": "time of the average",
        "relaxation": "one relaxation time",
        "work": "work",
        "heat": "heat",
        "idle": "idle energy",
    }
    for name, label in labels.items():
        if name in device and name not in said:
            value = device[name]
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows.append([label, f"{text} {unit.get(name, '')}".strip(), "-"])
    for name, label in (("method", "how it is found"), ("products", "products of A with a vector")):
        if name not in said:
            pair = (results[x][name] for x in ("device", "digital"))
            rows.append([label, *(x if isinstance(x, str) else f"{x:,}" for x in pair)])
    if all(row[-1] == "-" for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    return rows
