"""A film of stored results: what a study draws at one time after another, written as a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ..errors import UserError
from .drawing import set_backend_aside
from .store import Record, write_whole
from .style import STYLE

FRAMES_PER_SECOND = 12
DPI = 110


class Film(NamedTuple):
    """A figure, what draws frame i on it and returns what has changed, and how many there are."""

    figure: Any
    draw: Callable[[int], list[Any]]
    frames: int


def animate(
    folder: Path, results: Record, film: Callable[[Record], Film | None] | None, name: str
) -> Path:
    """Write `NAME.mp4` where ffmpeg is there, else `NAME.gif`.

    **Arguments:** `film`, of the study that the results come from.

    **Returns:** the file. **Raises:** UserError where the study has no film.
    """
    set_backend_aside()
    import matplotlib
    from matplotlib.animation import FuncAnimation, writers

    with matplotlib.rc_context({**STYLE, "savefig.transparent": False}):
        made = None if film is None else film(results)
        if made is None:
            raise UserError(
                f"{folder}: the study of these results has no film to show: `thermojax run "
                "logistic_1d` makes results of one that has"
            )
        there = writers.is_available("ffmpeg")
        writer, suffix = ("ffmpeg", ".mp4") if there else ("pillow", ".gif")
        moving = FuncAnimation(made.figure, made.draw, frames=made.frames, blit=False)
        file = folder / f"{name}{suffix}"
        unchanging = matplotlib.rc_context({"figure.constrained_layout.use": False})
        with unchanging, TemporaryDirectory() as place:
            whole = Path(place) / file.name  # the writers take the format from the name
            moving.save(whole, writer=writers[writer](fps=FRAMES_PER_SECOND), dpi=DPI)
            write_whole(file, lambda path: shutil.copyfile(whole, path))
    return file
