"""The style of all figures: colors, fonts, a legend beside the curves."""

from __future__ import annotations

from typing import Any

from .store import Record

# Okabe and Ito's colours, told apart by every kind of colour vision.
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
COLUMNS = (ORANGE, BLUE, GREEN, PURPLE)  # one per column of the results
INK = "#010203"  # stands for the colour of the text around the figure
STYLE: Any = {
    "figure.figsize": (4.8, 3.1),
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "grid.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",
    "svg.hashsalt": "thermojax",
    "savefig.transparent": True,
}


def new(rows: int = 1, height: float = 3.1, sharex: bool = True):
    """An empty figure that no window manager ever sees."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, height))
    return figure, figure.subplots(rows, 1, sharex=sharex, squeeze=False)[:, 0]


def legend(figure, entries: list[tuple[Any, str]] | None = None, columns: int = 2) -> None:
    """The legend of a figure above its axes, where no curve is; each label once.

    **Arguments:** `entries`, (artist, label); those of the first axes when left out.
    """
    if entries is None:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        entries = list(zip(handles, labels, strict=True))
    if entries:
        artists, labels = zip(*entries, strict=True)
        figure.legend(artists, labels, loc="outside upper left", ncols=min(columns, len(labels)))


def columns_with(results: Record, entry: str) -> dict[str, tuple[Record, str]]:
    """The columns that hold an entry: name -> (column, colour)."""
    names = [name for name in results.attributes["columns"] if entry in results.get(name, {})]
    return {name: (results[name], COLUMNS[i % len(COLUMNS)]) for i, name in enumerate(names)}
