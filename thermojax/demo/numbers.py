"""Numbers as the page takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..estimate import Estimate


def thousandths(values: Any) -> list:
    """Numbers as whole thousandths, in lists: short in JSON, and as fine as a screen."""
    scaled = np.rint(1000 * np.asarray(values, float))
    return np.clip(np.nan_to_num(scaled), -1e9, 1e9).astype(int).tolist()


def estimate_of(estimate: Estimate) -> list[float | None]:
    """[value, error] of an estimate; None for what is not known."""
    both = (float(np.asarray(x)) for x in (estimate.value, estimate.error))
    return [round(x, 5) if np.isfinite(x) else None for x in both]


def covariance_numbers(matrix) -> list[float]:
    """The entries 11, 12, 22 of a matrix."""
    matrix = np.asarray(matrix)
    return [round(float(matrix[i, j]), 5) for i, j in ((0, 0), (0, 1), (1, 1))]
