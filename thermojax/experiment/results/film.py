"""A film of stored results: what a study draws at one time after another, written as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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
    """Write `NAME.mp4` where ffmpeg is there, else `NAME.gif`, else a folder of PNG frames.

    **Arguments:** `film`, of the study that the results come from.

    **Returns:** the file, or the folder. **Raises:** UserError where the study has no film.
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
        writer = next((name for name in ("ffmpeg", "pillow") if writers.is_available(name)), None)
        if writer is None:
            return in_frames(folder / name, made)
        moving = FuncAnimation(made.figure, made.draw, frames=made.frames, blit=False)
        suffix = ".mp4" if writer == "ffmpeg" else ".gif"
        file, kind = folder / f"{name}{suffix}", writers[writer](fps=FRAMES_PER_SECOND)
        with matplotlib.rc_context({"figure.constrained_layout.use": False}):
            write_whole(file, lambda path: save_as(moving, path, suffix, kind))
    return file


def save_as(film: Any, path: Path, suffix: str, writer: Any) -> None:
    """Save under a name that says the format, as the writers want it, then move it to `path`."""
    named = path.with_name(path.name + suffix)
    try:
        film.save(named, writer=writer, dpi=DPI)
        named.replace(path)
    finally:
        named.unlink(missing_ok=True)


def in_frames(folder: Path, film: Film) -> Path:
    """The film as PNG files."""
    folder.mkdir(exist_ok=True)
    for i in range(film.frames):
        film.draw(i)
        film.figure.savefig(folder / f"{i:04d}.png", dpi=DPI)
    return folder
