"""The figures of what studies are made of: the paths, the ledger and the training of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..results.store import Record, is_estimate
from ..results.style import BLUE, GREEN, INK, PURPLE, SKY, VERMILION, columns_with, legend, new
from .schedule_figures import plane, schedule

LEDGER = {
    "work": (BLUE, "-", "work W"),
    "heat": (VERMILION, "-", "heat Q"),
    "energy_change": (GREEN, "--", "energy change ΔH"),
    "shadow_work": (PURPLE, ":", "shadow work"),
}


def work_distribution(results: Record):
    """The distribution of the total work over the paths of each column, in both directions."""
    columns = columns_with(results, "paths")
    if not columns:
        return None
    figure, (axes,) = new(height=3.4)
    forward = {name: total_works(column) for name, (column, _) in columns.items()}
    # On the axis of the work forward: where the two directions cross is the free energy difference.
    backward = {
        name: -total_works(column["reverse"])
        for name, (column, _) in columns.items()
        if "reverse" in column
    }
    kept = [*forward.values(), *backward.values()]
    low = min(np.quantile(values, 0.0005) for values in kept)
    high = max(np.quantile(values, 0.9995) for values in kept)
    edges = np.linspace(low, high, 61)
    notes = []
    for name, (column, color) in columns.items():
        heights, _ = np.histogram(forward[name], edges, density=True)
        axes.stairs(heights, edges, color=color, fill=True, alpha=0.35)
        axes.stairs(heights, edges, color=color, linewidth=1.5, label=name)
        axes.axvline(float(column["total_work"].value), color=color, linestyle="--", linewidth=1.2)
        if name in backward:
            heights, _ = np.histogram(backward[name], edges, density=True)
            axes.stairs(
                heights, edges, color=color, lw=1.1, linestyle=":", label=f"{name}, reversed"
            )
        if "dissipated_work" in column:
            notes.append(f"{name} {column['dissipated_work']} kT")
    # One for all columns: what dissipated works refer to.
    change = next(iter(columns.values()))[0].get("free_energy_change")
    if change is not None:
        value = float(getattr(change, "value", change))
        axes.axvline(value, color=INK, linewidth=1.2, label="free energy difference")
    axes.set(xlabel="total work (kT)", ylabel="share of paths per kT")
    legend(figure)
    text = (
        "How the total work, shadow work included, is distributed over the paths. Dashed: the means"
    )
    if change is None:
        return figure, f"{text}."
    source = f"{change} kT" if is_estimate(change) else f"{change:.4g} kT, which is known"
    text += (
        f". The solid line is the free energy difference, {source}; the distance from it to a mean "
        f"is the dissipated work: {', '.join(notes)}."
    )
    if backward:
        return figure, text + (
            " Dotted: minus the work of the reverse runs; by Crooks' relation the two curves of a "
            "schedule cross at that line."
        )
    return figure, text + (" Paths to the left of the line weigh most in the exponential average.")


def total_works(column: Record) -> np.ndarray:
    """The total work of the paths that are alive."""
    paths = column["paths"]
    return np.asarray(paths["total_work"])[np.asarray(paths["alive"]) > 0]


def ledger_figure(results: Record):
    """Work, heat and energy through time, a panel for each column."""
    columns = columns_with(results, "ledger")
    if not columns:
        return None
    figure, panels = new(len(columns), 0.7 + 1.9 * len(columns))
    largest, instants = 0.0, 0
    for axes, (name, (column, _)) in zip(panels, columns.items(), strict=True):
        record = column["ledger"]
        time = record["time"]
        instants = max(instants, len(time))
        for entry, (color, dashes, label) in LEDGER.items():
            mean, spread = record[entry].value, record[f"{entry}_spread"]
            largest = max(largest, float(np.max(record[entry].error)))
            axes.fill_between(time, mean - spread, mean + spread, color=color, alpha=0.15, lw=0)
            axes.plot(time, mean, dashes, color=color, label=label)
        axes.set(title=name, ylabel="kT per path")
    panels[-1].set(xlabel="time")
    low, high = (f(f(axes.get_ylim()) for axes in panels) for f in (min, max))
    for axes in panels:
        axes.set_ylim(low, high)
    legend(figure)
    return figure, (
        "The ledger through time, means over all paths: work done by the schedule, heat released "
        "to the bath, and the change of energy, which is work and shadow work minus heat at every "
        "moment. Bands: the standard deviation among paths; the standard error of a mean is at "
        f"most {largest:.2g} kT. Straight lines join the {instants} instants that were kept: a "
        "jump at the end lies between the last two."
    )


def training_figure(results: Record):
    """The curve of the record `training`."""
    return trainings(results, ("training",))


def trainings(results: Record, names: tuple[str, ...], note: str = ""):
    """The curve of each of these trainings that the results hold, from top to bottom.

    **Arguments:** `note`, a sentence on what the others are, where there are several.
    """
    stages = {n: results[n] for n in names if n in results and len(results[n]["loss"])}
    if not stages:
        return None
    figure, panels = new(len(stages), 1.3 + 1.9 * len(stages), sharex=False)
    for axes, (name, record) in zip(panels, stages.items(), strict=True):
        training_curve(axes, record)
        axes.set_title(name)
    legend(figure)
    panels[-1].set(xlabel="training step")
    record = list(stages.values())[-1]
    return figure, (
        "The mean total work of each training batch. "
        + (note if len(stages) > 1 else "")
        + f"Dashed: the schedule that was kept ({record.attributes['chosen']}), on paths it has "
        f"not seen: {record['value']} kT. Training ended: {record.attributes['stopped']}."
    )


def training_curve(axes, record: Record) -> None:
    """Draw the loss of every step, and what the chosen schedule costs on fresh paths."""
    loss, error = np.asarray(record["loss"]), np.asarray(record["error"])
    steps = np.arange(1, len(loss) + 1)
    axes.fill_between(steps, loss - error, loss + error, color=SKY, alpha=0.4, lw=0)
    axes.plot(steps, loss, color=BLUE, linewidth=1.0, label="one batch, ± its standard error")
    value = record["value"]
    final, final_error = float(value.value), float(value.error)
    axes.axhspan(final - final_error, final + final_error, color=VERMILION, alpha=0.25, lw=0)
    axes.axhline(final, color=VERMILION, linestyle="--", label="chosen schedule, fresh paths")
    axes.set(ylabel="mean total work (kT)")
    axes.xaxis.get_major_locator().set_params(integer=True)


FIGURES: dict[str, Callable[[Record], Any]] = {
    "schedule": schedule,
    "plane": plane,
    "work_distribution": work_distribution,
    "ledger": ledger_figure,
    "training": training_figure,
}
