"""The numbers of a sweep side by side: as text for a reader, as numbers for a program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..results.compare import MISSING, differing, settings_of
from ..results.store import Record, is_estimate
from ..results.summary import cell


@dataclass(frozen=True)
class Points:
    """The finished points of a sweep.

    - `folders`, `runs`, `settings`: of each point; `keys`: the settings that differ.
    - `columns`: the names of the groups of results, the one that the study is about being last.
    - `labels`: what is shown of a column, entry -> what to call it.
    """

    folders: list[Path]
    runs: list[Record]
    settings: list[dict[str, str]]
    keys: list[str]
    columns: list[str]
    labels: dict[str, str]

    @classmethod
    def of(cls, folders: list[Path], runs: list[Record]) -> Points:
        settings = [settings_of(results) for results in runs]
        columns: list[str] = []
        labels: dict[str, str] = {}
        for results in runs:
            facts = results.attributes
            columns += [c for c in facts["columns"] if c in results and c not in columns]
            for label, entry in zip(facts["labels"], facts["entries"], strict=True):
                labels.setdefault(entry, label)
        # A column that is last in any run is last in the table.
        lasts = dict.fromkeys(c for r in runs if (c := last_column(r)) is not None)
        columns = [*(c for c in columns if c not in lasts), *lasts]
        held = {e: label for e, label in labels.items() if any(shown(r, e) for r in runs)}
        return cls(folders, runs, settings, differing(settings), columns, held)

    def last(self, i: int) -> Record:
        """What point i is about."""
        name = last_column(self.runs[i])
        return Record() if name is None else self.runs[i][name]


def last_column(results: Record) -> str | None:
    names = [name for name in results.attributes["columns"] if name in results]
    return names[-1] if names else None


def shown(results: Record, entry: str) -> bool:
    return any(entry in results[c] for c in results.attributes["columns"] if c in results)


def as_text(points: Points) -> tuple[list[list[str]], dict[str, str]]:
    """A header and a row for each point, numbers with their errors.

    **Returns:** the rows, and apart from them what is the same at all points, without error: to
    read it once is enough.
    """
    count = len(points.runs)
    rows = [[cell(points.last(i), e) or MISSING for e in points.labels] for i in range(count)]
    same = {}
    kept = []
    for j, (entry, label) in enumerate(points.labels.items()):
        values = {row[j] for row in rows}
        exact = not any(is_estimate(points.last(i).get(entry)) for i in range(count))
        if values == {MISSING}:
            continue
        if exact and len(values) == 1 and count > 1:
            same[label] = rows[0][j]
        else:
            kept.append(j)
    labels = list(points.labels.values())
    # The settings that differ say which point it is; the name of its folder says no more.
    lead = points.keys or ["run"]
    table = [[*lead, *(labels[j] for j in kept)]]
    for i, row in enumerate(rows):
        own = [points.settings[i].get(key, MISSING) for key in points.keys]
        table.append([*(own or [points.folders[i].name]), *(row[j] for j in kept)])
    return table, same


def as_numbers(points: Points) -> list[list[str]]:
    """A header and a row for each point, values and errors apart, in full precision.

    The entries of the column that the study is about have their own names, those of others stand
    behind the name of the column: `total_work`, `total_work_error`, `linear.total_work`, ...
    """
    header = ["run", *points.keys]
    numbers: list[list[str]] = [
        [folder.name, *(one.get(key, "") for key in points.keys)]
        for folder, one in zip(points.folders, points.settings, strict=True)
    ]
    about = [last_column(results) for results in points.runs]
    groups = [("", about)]
    for name in points.columns:
        groups.append((f"{name}.", [None if name == last else name for last in about]))
    for prefix, names in groups:
        for entry in points.labels:
            values = [
                None if name is None else results.get(name, Record()).get(entry)
                for results, name in zip(points.runs, names, strict=True)
            ]
            if all(value is None for value in values):
                continue
            title, parts = f"{prefix}{entry}", 1 + any(is_estimate(value) for value in values)
            header += [title, f"{title}_error"][:parts]
            for row, value in zip(numbers, values, strict=True):
                row += written(value)[:parts]
    return [header, *numbers]


def written(value) -> list[str]:
    """A value and its error as a program reads them; empty for what is not there."""
    if value is None:
        return ["", ""]
    if is_estimate(value):
        return [full(value.value), full(value.error)]
    return [full(value), ""]


def full(value) -> str:
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    return repr(array.item()) if array.ndim == 0 else str(array.tolist())
