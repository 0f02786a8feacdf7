"""Rows of small square images as one picture, for the studies of digits."""

from __future__ import annotations

import numpy as np


def framed(rows: np.ndarray, side: int) -> np.ndarray:
    """Rows of images `(rows, images, pixels)` as one picture, with a gap around each image."""
    gap = gap_of(side)
    picture = np.full((len(rows) * (side + gap), rows.shape[1] * (side + gap)), np.nan)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (side + gap), j * (side + gap)
            picture[top : top + side, left : left + side] = image.reshape(side, side)
    return picture


def gap_of(side: int) -> int:
    """Pixels between two images."""
    return max(1, side // 8)


def show_rows(axis, rows: np.ndarray, side: int, names: list[str], low: float, high: float) -> None:
    """Draw rows of images on an axis, each with its name; black is `low` and white `high`."""
    axis.imshow(framed(rows, side), cmap="gray", vmin=low, vmax=high)
    axis.set_yticks(np.arange(len(rows)) * (side + gap_of(side)) + side / 2 - 0.5, names)
    axis.set(xticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
