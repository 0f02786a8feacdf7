"""Rows of matrices on one scale of colors, for the studies of linear algebra and of circuits."""

from __future__ import annotations

import numpy as np


def matrices_figure(values: np.ndarray, target: np.ndarray, titles: list[str], height: float):
    """A figure of `values`, `(matrices, dim, dim)`, and then the target, each under its title."""
    from matplotlib.figure import Figure

    scale = float(np.max(np.abs(target)))
    figure = Figure(figsize=(4.8, height))
    axes = figure.subplots(1, len(values) + 1)
    for ax, matrix, title in zip(axes, [*values, target], titles, strict=True):
        image = ax.imshow(matrix, cmap="RdBu_r", vmin=-scale, vmax=scale)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.set_title(title, loc="center", fontsize=8)
        for spine in ax.spines.values():
            spine.set_visible(True)
    figure.colorbar(image, ax=axes, shrink=0.8, pad=0.015, aspect=12).ax.tick_params(labelsize=7)
    return figure
