"""The density following the protocol, as a film, from stored results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..._files import write_whole
from ..errors import UserError
from ..results.drawing import set_backend_aside
from ..results.store import Record
from ..results.style import BLUE, INK, ORANGE, STYLE, VERMILION
from .schedule_figures import drawn, points, symbol

FRAMES_PER_SECOND = 12
DPI = 110


def animate(folder: Path, results: Record) -> Path:
    """Write `density.mp4` where ffmpeg is there, else `density.gif`, else a folder of frames.

    Each frame is one stored time: the density, the equilibrium of the control at that time (dashed,
    where the study stores it), and where the control stands.

    **Returns:** the file, or the folder `density` of PNG frames.

    **Raises:** UserError where the study stores no density in one dimension.
    """
    set_backend_aside()
    import matplotlib
    from matplotlib.animation import FuncAnimation, writers

    column = density_of(results)
    if column is None:
        raise UserError(
            f"{folder}: this study stores no density in one dimension, which an animation shows: "
            "see configs/logistic_1d.yaml for one that does"
        )
    with matplotlib.rc_context({**STYLE, "savefig.transparent": False}):
        figure, draw, count = scene(column)
        writer = next((name for name in ("ffmpeg", "pillow") if writers.is_available(name)), None)
        if writer is None:
            return frames(folder / "density", figure, draw, count)
        film = FuncAnimation(figure, draw, frames=count, blit=False)
        file = folder / ("density.mp4" if writer == "ffmpeg" else "density.gif")
        kind = writers[writer](fps=FRAMES_PER_SECOND)
        with matplotlib.rc_context({"figure.constrained_layout.use": False}):
            write_whole(file, lambda path: save_as(film, path, file.suffix, kind))
    return file


def save_as(film: Any, path: Path, suffix: str, writer: Any) -> None:
    """Save under a name that says the format, as the writers want it, then move it to `path`."""
    named = path.with_name(path.name + suffix)
    try:
        film.save(named, writer=writer, dpi=DPI)
        named.replace(path)
    finally:
        named.unlink(missing_ok=True)


def frames(folder: Path, figure: Any, draw: Any, count: int) -> Path:
    """The film as PNG files."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        draw(i)
        figure.savefig(folder / f"{i:04d}.png", dpi=DPI)
    return folder


def inside(rho: np.ndarray) -> slice:
    """The cells where there ever is more than a five-hundredth of the highest density."""
    cells = np.flatnonzero(np.max(rho, axis=0) > 2e-3 * np.max(rho))
    return slice(cells[0], cells[-1] + 1)


def density_of(results: Record) -> Record | None:
    """The first column with a density over one coordinate."""
    columns = (results.get(name, Record()) for name in results.attributes["columns"])
    return next((c for c in columns if "density" in c and np.ndim(c["density"]) == 2), None)


def scene(column: Record) -> tuple[Any, Any, int]:
    """The figure, what draws frame i on it, and the number of frames."""
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
        at, values = points(schedule)
        drawn(below, at, values, INK)
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

    return figure, draw, len(times)
