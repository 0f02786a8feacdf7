"""Results as other libraries know them: ArviZ and pandas, each an extra."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def needed(package: str, extra: str) -> Any:
    """A package that an extra brings. **Raises:** ImportError that says how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{package} is missing ({error}): install it with pip install 'thermojax[{extra}]'"
        ) from None


def data_frame(numbers: Iterable[Mapping[str, Any]]) -> Any:
    """A table of pandas with a row per number; see `Record.to_pandas`."""
    pandas = needed("pandas", "pandas")
    columns = ["column", "quantity", "value", "error", "count", "unit"]
    return pandas.DataFrame(list(numbers), columns=columns)


def draws(columns: Mapping[str, Mapping[str, Any]], column: str | None = None) -> Any:
    """The paths of one of the columns as draws of ArviZ; see `Record.to_arviz`."""
    arviz = needed("arviz", "arviz")
    kept = [name for name, entries in columns.items() if "position" in entries.get("paths", {})]
    if not kept or (column is not None and column not in kept):
        raise ValueError(
            f"column = {column!r}: expected one that keeps the positions of its paths: "
            f"{', '.join(kept) or 'this study stores none'}"
        )
    column = column or kept[-1]
    paths = columns[column]["paths"]
    alive = np.asarray(paths["alive"]) > 0
    chosen = drawn_by_weight(np.where(alive, np.asarray(paths["log_weight"], float), -np.inf))
    position = np.asarray(paths["position"])[chosen][None]
    names = paths.get("coordinate")  # where the study names its coordinates
    dims = {"position": ["coordinate"]} if position.ndim == 3 else {}
    coords = {"coordinate": list(names)} if dims and names is not None else {}
    skipped = ("position", "alive", "log_weight", "coordinate")
    stats = {n: np.asarray(x)[chosen][None] for n, x in paths.items() if n not in skipped}
    groups = {"posterior": {"position": position}, "sample_stats": stats}
    if int(arviz.__version__.partition(".")[0]) >= 1:
        return arviz.from_dict(groups, coords=coords, dims=dims)
    return arviz.from_dict(**groups, coords=coords, dims=dims)


def drawn_by_weight(log_weight: np.ndarray) -> np.ndarray:
    """Indices of as many draws as there are paths, each about as often as its weight says.

    Systematic resampling with the offset one half (G. Kitagawa, J. Comput. Graph. Stat. 5, 1
    (1996)): path i is drawn floor or ceil of n w_i times.
    """
    weight = np.exp(log_weight - np.max(log_weight))
    count = weight.size
    reached = np.cumsum(weight) / np.sum(weight)
    found = np.searchsorted(reached, (np.arange(count) + 0.5) / count)
    return np.minimum(found, count - 1)
