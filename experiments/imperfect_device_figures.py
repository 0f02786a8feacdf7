"""Figures of `imperfect_device`: error against time with its floors, and what lowers them."""

from __future__ import annotations

import numpy as np

from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    legend,
    new,
)

KINDS = ("perfect", "components", "rounding", "flicker", "drift")
NAMES = {"components": "wrong components", "rounding": "rounded numbers", "flicker": "1/f noise"}
COLORS = dict(zip(KINDS, (INK, BLUE, ORANGE, GREEN, VERMILION), strict=True))
FAR = 4.5  # standard errors between measured and predicted that are worth a warning
BEYOND = 0.05  # of a prediction: what orders beyond the second may come to, unsaid
SURE = 16  # devices or means of copies, below which a standard error is a guess
PANELS = {
    "component errors of {component_error:.0%}": {
        "one device": (INK, "o", "one program, more time"),
        "copies": (BLUE, "s", "copies"),
        "extrapolated": (VERMILION, "D", "copies, extrapolated"),
    },
    "programmed with {input_bits} bits": {
        "nearest": (PURPLE, "v", "rounded to the nearest"),
        "random": (SKY, "^", "rounded at random"),
    },
}


def in_percent(axes) -> None:
    """Both axes logarithmic, the error of the answer in percent."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log", ylabel="error (% of |x|)")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def point(axes, x, record: Record, color: str, marker: str, label: str) -> None:
    value, error = np.asarray(record["error"].value), np.asarray(record["error"].error)
    axes.plot(x, record["predicted"], color=color, lw=1.2, alpha=0.75)
    axes.errorbar(x, value, error, fmt=marker, color=color, ms=4.2, capsize=2, label=label)


def through_time(results: Record):
    """Relative error against averaging time, of one imperfection each."""
    if any(name not in results for name in KINDS):
        return None
    figure, (axes,) = new(1, 3.9)
    for name, marker in zip(KINDS, "osD^v", strict=True):
        record = results[name]
        point(axes, record["time"], record, COLORS[name], marker, NAMES.get(name, name))
        if record["floor"] > 1e-6:
            axes.axhline(record["floor"], color=COLORS[name], ls=":", lw=1.2)
    in_percent(axes)
    axes.set(xlabel="averaging time (relaxation times)")
    legend(figure, columns=3)
    perfect = results["perfect"]
    return figure, (
        "The error of many devices, each programmed on its own (dots, root mean square with its "
        "standard error), and what is predicted (lines). The error of a perfect device falls as "
        "1 / sqrt(time); that of wrong components or of rounded numbers stops at a floor (dotted); "
        "1/f noise falls slower, down to the lower corner of its band; under drift there is a best "
        "time, after which waiting makes it worse. On a digital computer conjugate gradients reach "
        f"the last error of the perfect device ({float(perfect['last'].value):.2%}) with "
        f"{perfect['products']} products of the matrix and a vector."
    )


def mitigation(results: Record):
    """Relative error against all device time that copies take."""
    record = results.get("mitigation")
    if record is None:
        return None
    figure, panels = new(2, 5.6)
    entries = []
    for axes, (title, curves) in zip(panels, PANELS.items(), strict=True):
        for name, (color, marker, label) in curves.items():
            point(axes, record[name]["device_time"], record[name], color, marker, label)
        in_percent(axes)
        axes.set_title(title.format(**record))
        entries += list(zip(*axes.get_legend_handles_labels(), strict=True))
    panels[-1].set(xlabel="device time in all, equilibrations included (relaxation times)")
    legend(figure, entries)
    return figure, (
        "Lines, what is predicted; dots, measured. More time on one program does not help: its "
        "components stay wrong. The mean of copies, each programmed anew, falls as 1 / sqrt(time) "
        "down to a bias of second order, which extrapolation takes away: every copy runs two times "
        "more, with a known error of the size of its own added and taken away. Below, rounding to "
        "the nearest level is the same in every copy; rounding at random, by the odds that make it "
        "right in the mean, averages out."
    )


def gain(results: Record) -> str:
    """What copies and extrapolation make of the error, in one sentence."""
    record = results["mitigation"]
    names = ("one device", "copies", "extrapolated")
    one, copies, extrapolated = (float(record[name]["error"].value[-1]) for name in names)
    time, count = float(record["copies"]["device_time"][-1]), int(record["counts"][-1])
    logs = [np.log(record["extrapolated"][name]) for name in ("device_time", "predicted")]
    at_equal_time = np.exp(np.interp(np.log(time), *logs))
    return (
        f"With components that are {record['component_error']:.0%} wrong one device stays at an "
        f"error of {one:.1%}, however long it averages. {count} copies come to {copies:.2%} in a "
        f"device time of {time:.0f} relaxation times, the mean of extrapolated ones in three times "
        f"that to {extrapolated:.2%} (in the same time {at_equal_time:.2%} is predicted)."
    )


def doubtful(results: Record) -> list[str]:
    """Points that lie far from what is predicted."""
    groups = {name: results[name] for name in KINDS if name in results}
    mitigated = results.get("mitigation", {})
    groups |= {name: x for name, x in mitigated.items() if isinstance(x, Record)}
    found = []
    for name, record in groups.items():
        value, error = np.asarray(record["error"].value), np.asarray(record["error"].error)
        sure = np.asarray(record["error"].count) >= SURE
        predicted = np.asarray(record["predicted"])
        off = np.abs(value - predicted)[sure]
        if np.any(off > FAR * error[sure] + BEYOND * predicted[sure]):
            found.append(
                f"{name}: a measured error lies {np.max(off / predicted[sure]):.0%} from its "
                "prediction, which is one of second order in the imperfections."
            )
    return found
