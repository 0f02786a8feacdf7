"""What studies of linear algebra show: a matrix coming to its target, error against time, the bill."""

from __future__ import annotations

import numpy as np

from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, INK, ORANGE, legend, new

MOST = 24  # coordinates of a picture whose cells can be told apart


def pictures(results: Record):
    """The estimate at growing times, and last the target: matrices, or vectors as columns."""
    record = results.get("pictures")
    if record is None:
        return None
    from matplotlib.figure import Figure

    values, target = np.asarray(record["value"]), np.asarray(record["target"])
    if target.ndim == 1:
        values, target = values[..., None], target[:, None]
    shown = [*values, target]
    scale = float(np.max(np.abs(target)))
    height = 1.75 if target.shape[1] > 1 else 2.6
    figure = Figure(figsize=(4.8, height))
    axes = figure.subplots(1, len(shown))
    for ax, matrix, time in zip(axes, shown, [*record["time"], None], strict=True):
        image = ax.imshow(matrix, cmap="RdBu_r", vmin=-scale, vmax=scale, aspect="auto")
        ax.set_box_aspect(len(target) / target.shape[1] if target.shape[1] > 1 else None)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.set_title("target" if time is None else f"T = {time:.3g}", loc="center", fontsize=8)
        for spine in ax.spines.values():
            spine.set_visible(True)
    figure.colorbar(image, ax=axes, shrink=0.9, pad=0.015, aspect=14).ax.tick_params(labelsize=7)
    return figure, (
        f"{record.attributes['title']}: what one device says after averages of growing length T, "
        "and last the target, on one scale of colors."
    )


def convergence(results: Record):
    """The relative error against the time of the average, with its law."""
    record = results.get("convergence")
    if record is None:
        return None
    figure, (axes,) = new(height=3.3)
    time, found = record["time"], record["error"]
    if "law" in record:
        axes.plot(time, record["law"], color=INK, lw=1.3, label="law")
    axes.errorbar(time, found.value, found.error, fmt="o", color=BLUE, ms=4.5, capsize=2,
                  label="devices")  # fmt: skip
    reached = results.get("device", {})
    if "time" in reached and "relative_error" in reached:
        axes.plot(reached["time"], reached["relative_error"], "D", color=ORANGE, ms=6,
                  label="the answer")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=record.attributes.get("axis", "averaging time"),
             ylabel="relative error")  # fmt: skip
    legend(figure, columns=3)
    return figure, (
        "The root mean square of |error| / |answer| over "
        f"{int(np.max(found.count))} devices, with its standard error, against the time of the "
        f"average; the line is {record.attributes['law']}. It falls as one over the root of the "
        "time: four times as long for half the error."
    )


def bill(results: Record) -> list[list[str]]:
    """What the device takes, and what a digital computer does for the same accuracy."""
    device = results.get("device")
    if device is None:
        return []
    unit = device.units
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
        if name in device:
            value = device[name]
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows.append([label, f"{text} {unit.get(name, '')}".strip(), "-"])
    rows.append(["how it is found", str(device["method"]), str(results["digital"]["method"])])
    for name, label in (("products", "products of A with a vector"), ("flops", "of the order of")):
        pair = [results[x].get(name) for x in ("device", "digital")]
        if any(x is not None for x in pair):
            rows.append([label, *("-" if x is None else f"{x:,.3g}" for x in pair)])
    return rows
