"""The figures of a report, each drawn from stored results alone: one style for all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..._files import write_whole
from .schedule_figures import plane, schedule
from .store import Record, is_estimate
from .style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    as_svg,
    compared,
    legend,
    new,
)
from .summary import best_column

LEDGER = {
    "work": (BLUE, "-", "work W"),
    "heat": (VERMILION, "-", "heat Q"),
    "energy_change": (GREEN, "--", "energy change ΔH"),
    "shadow_work": (PURPLE, ":", "shadow work"),
}


def draw(results: Record) -> dict[str, tuple[str, str]]:
    """Every figure that the results allow: name -> (SVG text for a page, caption)."""
    return {
        name: (as_svg(figure, name), caption) for name, (figure, caption) in drawn(results).items()
    }


def drawn(results: Record) -> dict[str, tuple[Any, str]]:
    """Every figure that the results allow: name -> (figure, caption)."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        made = {name: figure(results) for name, figure in FIGURES.items()}
    return {name: pair for name, pair in made.items() if pair is not None}


def save_figures(folder: Path, results: Record, formats: list[str]) -> list[Path]:
    """Copies of all figures as files, `"svg"` or `"pdf"`: dark ink on no ground, for print."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    # The clock is no part of a figure: the same results give the same bytes.
    clock = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with matplotlib.rc_context(STYLE):
        for name, (figure, _) in drawn(results).items():
            for kind in formats:
                stream = io.BytesIO()
                figure.savefig(stream, format=kind, metadata=clock[kind])
                file = folder / f"{name}.{kind}"
                write_whole(file, lambda path, s=stream: path.write_bytes(s.getbuffer()))
                files.append(file)
    return files


def inside(rho: np.ndarray) -> slice:
    """The cells where there ever is more than a five-hundredth of the highest density."""
    cells = np.flatnonzero(np.max(rho, axis=0) > 2e-3 * np.max(rho))
    return slice(cells[0], cells[-1] + 1)


def work_distribution(results: Record):
    columns = compared(results, "paths")
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
    change, source = free_energy_change(results, columns)
    if change is not None:
        axes.axvline(change, color=INK, linewidth=1.2, label="free energy difference")
    axes.set(xlabel="total work (kT)", ylabel="share of paths per kT")
    legend(figure)
    text = (
        "How the total work, shadow work included, is distributed over the paths. Dashed: the means"
    )
    if change is None:
        return figure, f"{text}."
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


def free_energy_change(results: Record, columns) -> tuple[float | None, str]:
    """The free energy difference that dissipated works refer to, and its text; None for none."""
    first = next(iter(columns.values()))[0]
    known = first.get("free_energy_change")
    if known is not None:
        value = float(getattr(known, "value", known))
        text = f"{known} kT" if is_estimate(known) else f"{value:.4g} kT, which is known"
        return value, text
    best = best_column(results)
    if best is None:
        return None, ""
    evidence = results[best]["log_evidence"]
    return -float(evidence.value), f"minus the log evidence {evidence} of the {best} schedule"


def ledger(results: Record):
    columns = compared(results, "ledger")
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


THERMODYNAMICS = {
    "work": (BLUE, "work W"),
    "heat": (VERMILION, "heat Q"),
    "free_energy": (GREEN, "free energy F"),
    "equilibrium_free_energy": (PURPLE, "equilibrium F_eq"),
}


def two_pictures(results: Record):
    columns = [results.get(name, {}) for name in results.attributes["columns"]]
    densities = [column for column in columns if "density" in column]
    clouds = [c for c in columns if "through" in c and c not in densities]
    if not densities or not clouds:
        return None
    density, paths = densities[0], clouds[0]["through"]
    figure, (above, below) = new(2, 5.0)
    time, x, rho = density["through"]["time"], density["x"], np.asarray(density["density"])
    shown = inside(rho)
    x, rho = x[shown], rho[:, shown]
    above.grid(False)
    # As a picture: a cell of its own for each of ten thousand values would be a large file.
    above.pcolormesh(time, x, rho.T, cmap="cividis", shading="gouraud", rasterized=True)
    above.set(ylabel="position x", title="density, from the first equilibrium to the last")
    worst = 0.0
    for entry, (color, label) in THERMODYNAMICS.items():
        below.plot(time, density["through"][entry], color=color, label=label)
        value, error = np.asarray(paths[entry].value), np.asarray(paths[entry].error)
        worst = max(worst, float(np.max(error)))
        below.fill_between(time, value - error, value + error, color=color, alpha=0.25, lw=0)
        below.plot(time, value, "o", color=color, markersize=2.6)
    below.set(xlabel="time", ylabel="energy (kT)")
    legend(figure, list(zip(*below.get_legend_handles_labels(), strict=True)))
    return figure, (
        "Above, the density through time, by the Fokker-Planck equation. Below, the ledger of the "
        "same ramp in both pictures: lines, of the density; dots and bands, of the paths with "
        f"their standard errors (at most {worst:.2g} kT). F lies above F_eq by kT times the "
        "divergence of the density from equilibrium, and comes down to it where the control rests."
    )


SCHEDULES = {
    "optimized": (BLUE, "o"),
    "linear": (ORANGE, "s"),
    "geodesic": (GREEN, "D"),
}


def frontier(results: Record):
    record = results.get("frontier")
    if record is None:
        return None
    figure, (above, below) = new(2, 5.2)
    time, floor = record["duration"], record["bound"]
    worst = 0.0
    for name, (color, marker) in SCHEDULES.items():
        if name not in record:
            continue
        value, error = np.asarray(record[name].value), np.asarray(record[name].error)
        worst = max(worst, float(np.max(error)))
        for axes, shift in ((above, 0.0), (below, floor)):
            axes.plot(time, value - shift, color=color, lw=0.9, alpha=0.6)
            axes.errorbar(
                time, value - shift, error, fmt=marker, color=color, ms=4.5, capsize=2, label=name
            )
    above.plot(record["line_duration"], record["line_bound"], color=INK, lw=1.3, label="bound")
    above.axhline(record["free_energy"], color=INK, lw=0.9, ls=":", label="ΔF")
    below.axhline(0.0, color=INK, lw=1.3)
    above.set(ylabel="work (kT)", title="mean total work")
    below.set(xlabel="duration τ", ylabel="work - bound (kT)", title="above the bound")
    below.set(xscale="log", xlim=(time[0] / 1.15, time[-1] * 1.15))
    if len(time) <= 8:
        below.set_xticks(time, [f"{x:g}" for x in time])
        below.minorticks_off()
    legend(figure, columns=3)
    return figure, (
        "The mean total work of each schedule against the time it is given, on fresh paths that "
        f"all schedules share (standard errors at most {worst:.2g} kT). Solid: what no control "
        "whatever can beat when the final state is free; it comes down to the free energy "
        "difference ΔF as 1/τ. Below, the distance from that bound."
    )


def training(results: Record):
    names = [n for n in ("rehearsal", "training") if n in results and len(results[n]["loss"])]
    stages = [results[name] for name in names]
    if not stages:
        return None
    figure, panels = new(len(stages), 1.3 + 1.9 * len(stages), sharex=False)
    for axes, record, name in zip(panels, stages, names, strict=True):
        training_curve(axes, record)
        axes.set_title(name)
    legend(figure)
    panels[-1].set(xlabel="training step")
    rehearsed = (
        "Above, the rehearsal at a share of the duration, where every schedule dissipates more; "
        "below, the training at the full duration. "
    )
    record = stages[-1]
    return figure, (
        "The mean total work of each training batch. "
        + (rehearsed if len(stages) > 1 else "")
        + f"Dashed: the schedule that was kept ({record.attributes['chosen']}), on paths it has "
        f"not seen: {record['value']} kT. Training ended: {record.attributes['stopped']}."
    )


def training_curve(axes, record: Record) -> None:
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
    "ledger": ledger,
    "two_pictures": two_pictures,
    "frontier": frontier,
    "training": training,
}
