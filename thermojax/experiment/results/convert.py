"""Results as other libraries know them: ArviZ and pandas, each an extra."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...interop.arviz import by_weight, inference_data
from ...interop.extras import needed


def data_frame(numbers: Iterable[Mapping[str, Any]]) -> Any:
    """A table of pandas with a row per number; see `Record.to_pandas`."""
    pandas = needed("pandas", "pandas")
    columns = ["column", "quantity", "value", "error", "count", "unit"]
    return pandas.DataFrame(list(numbers), columns=columns)


def draws(columns: Mapping[str, Mapping[str, Any]], column: str | None = None) -> Any:
    """The paths of one of the columns as draws of ArviZ; see `Record.to_arviz`."""
    needed("arviz", "arviz")
    kept = [name for name, entries in columns.items() if "position" in entries.get("paths", {})]
    if not kept or (column is not None and column not in kept):
        raise ValueError(
            f"column = {column!r}: expected one that keeps the positions of its paths: "
            f"{', '.join(kept) or 'this study stores none'}"
        )
    column = column or kept[-1]
    paths = columns[column]["paths"]
    # Each path about as often as its weight says: floor or ceil of n w times.
    log_weight = np.where(np.asarray(paths["alive"]) > 0, paths["log_weight"], -np.inf)
    chosen = by_weight(log_weight, len(log_weight))
    position = np.asarray(paths["position"])[chosen][None]
    names = paths.get("coordinate")  # where the study names its coordinates
    dims = {"position": ["coordinate"]} if position.ndim == 3 else {}
    coords = {"coordinate": list(names)} if dims and names is not None else {}
    skipped = ("position", "alive", "log_weight", "coordinate")
    stats = {n: np.asarray(x)[chosen][None] for n, x in paths.items() if n not in skipped}
    groups = {"posterior": {"position": position}, "sample_stats": stats}
    return inference_data(groups, coords, dims)
