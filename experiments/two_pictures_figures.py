"""What `two_pictures` shows: density and ledger side by side, and the density as a film."""

from __future__ import annotations

from typing import Any

import numpy as np

from thermojax.experiment.results.film import Film
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    legend,
    new,
)
from thermojax.experiment.study.schedule_figures import component_lines, control_curve, symbol

THERMODYNAMICS = {
    "work": (BLUE, "work W"),
    "heat": (VERMILION, "heat Q"),
    "free_energy": (GREEN, "free energy F"),
    "equilibrium_free_energy": (PURPLE, "equilibrium F_eq"),
}


def two_pictures(results: Record):
    """The density through time, and the ledger of both pictures on one axis."""
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


def inside(rho: np.ndarray) -> slice:
    """The cells where there ever is more than a five-hundredth of the highest density."""
    cells = np.flatnonzero(np.max(rho, axis=0) > 2e-3 * np.max(rho))
    return slice(cells[0], cells[-1] + 1)


def film(results: Record) -> Film | None:
    """The density through time, the equilibrium of the control at each time, and that control."""
    column = results.get("density")
    return None if column is None else scene(column)


def scene(column: Record) -> Film:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rho, x = np.asarray(column["density"]), np.asarray(column["x"])
    times = np.asarray(column["through"]["time"])
    shown = inside(rho)
    rho, x = rho[:, shown], x[shown]
    figure = Figure(figsize=(4.8, 4.0))
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, gridspec_kw={"height_ratios": (3, 1)})
    above.set(xlim=(x[0], x[-1]), ylim=(0, 1.05 * rho.max()), xlabel="position x", ylabel="density")
    (line,) = above.plot([], [], color=BLUE, label="density")
    target = np.asarray(column["equilibrium"])[:, shown] if "equilibrium" in column else None
    (rest,) = above.plot([], [], "--", color=VERMILION, label="equilibrium at this control")
    rest.set_visible(target is not None)
    handles = [line, *([rest] if target is not None else [])]
    # Above the axes, beside the clock: no curve is there.
    above.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    schedule = column.get("control", column.get("schedule"))
    below.set(xlabel="time", ylabel="control λ", xlim=(times[0], times[-1]))
    dots: list[Any] = []
    control = np.zeros((len(times), 0))
    if schedule is not None:
        at, values = control_curve(schedule)
        component_lines(below, at, values, INK)
        # The outside values at both ends are left out: a time has one control then.
        inner = values[1:-1].T
        control = np.stack([np.interp(times, at[1:-1], x) for x in inner], axis=1)
        dots = [
            below.plot([], [], "o", color=ORANGE, markersize=7, zorder=3, clip_on=False)[0]
            for _ in inner
        ]
        if len(dots) > 1:
            lines = below.get_lines()[: len(dots)]
            below.legend(lines, [symbol(i) for i in range(len(dots))], ncols=len(dots))
            below.set(ylabel="controls")
    cloud = []
    clock = above.set_title("")

    def draw(i: int) -> list[Any]:
        for old in cloud:
            old.remove()
        cloud[:] = [above.fill_between(x, rho[i], color=BLUE, alpha=0.25, lw=0)]
        line.set_data(x, rho[i])
        if target is not None:
            rest.set_data(x, target[i])
        for dot, value in zip(dots, control[i], strict=True):
            dot.set_data([times[i]], [value])
        clock.set_text(f"t = {times[i]:.3g}")
        return [line, rest, *dots, clock, *cloud]

    return Film(figure, draw, len(times))
