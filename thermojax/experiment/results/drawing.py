"""Figures drawn from stored results: as parts of a page, and as files for print."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .store import Record, write_whole
from .style import BLUE, INK, STYLE

BACKEND = "MPLBACKEND"
Figures = Mapping[str, Callable[[Record], Any]]  # name -> results -> (figure, caption) or None
# The clock is no part of a figure: the same results give the same bytes.
CLOCK = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def set_backend_aside() -> None:
    """Import Matplotlib without the backend that MPLBACKEND names, which then holds again.

    Figures here are files and need no window. The variable may name what is not installed, as a
    notebook does that starts a command from another environment: Matplotlib then cannot even be
    imported.
    """
    wish = os.environ.get(BACKEND)
    if wish is None or "matplotlib" in sys.modules:
        return
    del os.environ[BACKEND]
    try:
        import matplotlib
    finally:
        os.environ[BACKEND] = wish
    with suppress(ValueError):  # of no use here: then for nobody
        matplotlib.rcParams["backend"] = wish


def drawn_figures(results: Record, figures: Figures) -> dict[str, tuple[Any, str]]:
    """The figures that the results allow: name -> (figure, caption)."""
    set_backend_aside()
    import matplotlib

    with matplotlib.rc_context(STYLE):
        made = {name: figure(results) for name, figure in figures.items()}
    return {name: pair for name, pair in made.items() if pair is not None}


def svg_figures(results: Record, figures: Figures) -> dict[str, tuple[str, str]]:
    """The same figures for a page: name -> (SVG text, caption)."""
    return {
        name: (as_svg(figure, name), caption)
        for name, (figure, caption) in drawn_figures(results, figures).items()
    }


def save_figures(folder: Path, results: Record, figures: Figures, formats: list[str]) -> list[Path]:
    """Copies of all figures as files, `"svg"` or `"pdf"`: dark ink on no ground, for print."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, (figure, _) in drawn_figures(results, figures).items():
        for kind in formats:
            content = saved_as(figure, kind)
            file = folder / f"{name}.{kind}"
            write_whole(file, lambda path, x=content: path.write_bytes(x))
            files.append(file)
    return files


def saved_as(figure: Any, kind: str) -> bytes:
    """The content of a file in our style, of one of the formats of `CLOCK`."""
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format=kind, metadata=CLOCK[kind])
    return stream.getvalue()


def as_svg(figure: Any, name: str) -> str:
    """A figure as SVG to put into a page: text in the page's colour, ids of its own."""
    text = saved_as(figure, "svg").decode("utf-8")
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = text.replace(BLUE.lower(), "var(--blue)")  # too dark for a dark page
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    # The page says how wide: the view box keeps the proportions.
    text = re.sub(r' height="[^"]*pt"', "", text, count=1)
    return re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
