"""Results as tables: of one run, of several runs side by side, and as numbers for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...estimate import Estimate
from ..errors import UserError, one_line
from .store import Record, is_estimate, load_run

MISSING = "-"
BOUNDS = "bounds"  # the record of lower bounds: one entry for each entry that has one
Rows = list[list[str]]


def cell(column: Record, entry: str) -> str:
    """One entry of a column as text."""
    value = column.get(entry)
    if value is None:
        return ""
    if is_estimate(value):
        return str(value)
    if entry == "effective_samples":
        return f"{value:,.0f} of {column['paths_total']:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def entry_of(estimate: Estimate, index: int) -> Estimate:
    """One of the estimates that are kept as arrays."""
    value, error = (np.asarray(x)[index] for x in (estimate.value, estimate.error))
    return Estimate(value, error, estimate.count)


def records_of(results: Record) -> dict[str, Record]:
    """The columns that are there, by their names."""
    return {name: results[name] for name in columns_of(results)}


def columns_of(results: Record) -> list[str]:
    """The names of the columns that are there, the one that the study is about being last."""
    return [name for name in results.attributes["columns"] if name in results]


def labels_of(results: Record) -> dict[str, str]:
    """The labels of the headline numbers that any column holds, by their entries."""
    facts, held = results.attributes, [results[name] for name in columns_of(results)]
    labels = zip(facts["entries"], facts["labels"], strict=True)
    return {entry: label for entry, label in labels if any(entry in column for column in held)}


def headline(results: Record) -> Rows:
    """The table of headline numbers: a header, then one row per quantity."""
    columns, bounds = columns_of(results), results.get(BOUNDS, Record())
    rows = [["", *columns, *(["bound"] if bounds else [])]]
    for entry, label in labels_of(results).items():
        least = [f"at least {cell(bounds, entry)}" if entry in bounds else ""] if bounds else []
        rows.append([label, *(cell(results[name], entry) for name in columns), *least])
    return rows


def settings_of(results: Record) -> dict[str, str]:
    """Every setting of a run as text, by its dotted key."""
    from ..config.yaml_file import from_yaml

    def flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
        if not isinstance(value, dict) or not value:
            yield key, str(value)
        else:
            for name, inner in value.items():
                yield from flat(inner, f"{key}.{name}" if key else str(name))

    return dict(flat(from_yaml(results["config"])))


def finished_among(paths: list[Path]) -> tuple[dict[Path, Record], list[str]]:
    """The finished runs among what a shell has made of `runs/*`, and why others are passed over.

    **Raises:** UserError, that of the first, where there is no run at all.
    """
    found, passed = {}, []
    for path in paths:
        try:
            found[path] = load_run(path)
        except UserError as error:
            passed.append(error)
    if passed and not found:
        raise passed[0]
    return found, [one_line(error) for error in passed]


@dataclass(frozen=True)
class SideBySide:
    """Several runs, by what they differ in and what they have in common.

    - `names`, `runs`, `settings`: of each run; `keys`: the settings that differ.
    - `columns`: the names of the groups of results, those that the studies are about being last.
    - `labels`: what is shown of a column, entry -> what to call it.
    """

    names: list[str]
    runs: list[Record]
    settings: list[dict[str, str]]
    keys: list[str]
    columns: list[str]
    labels: dict[str, str]

    @classmethod
    def of(cls, folders: Sequence[Path], runs: Sequence[Record] | None = None) -> SideBySide:
        """The runs in these folders. **Raises:** UserError where a folder holds no results."""
        runs = [load_run(folder) for folder in folders] if runs is None else list(runs)
        settings = [settings_of(results) for results in runs]
        every = dict.fromkeys(key for one in settings for key in one)
        keys = [key for key in every if len({one.get(key) for one in settings}) > 1]
        there = [columns_of(results) for results in runs]
        lasts = dict.fromkeys(names[-1] for names in there if names)
        columns = [*dict.fromkeys(c for names in there for c in names if c not in lasts), *lasts]
        labels: dict[str, str] = {}  # studies may call one entry differently: the first one wins
        for results in runs:
            for entry, label in labels_of(results).items():
                labels.setdefault(entry, label)
        return cls([x.name or str(x) for x in folders], runs, settings, keys, columns, labels)

    def last(self, i: int) -> tuple[str | None, Record]:
        """Name and content of the column that run i is about; None and nothing without columns."""
        names = columns_of(self.runs[i])
        return (names[-1], self.runs[i][names[-1]]) if names else (None, Record())

    def given(self, i: int, missing: str = MISSING) -> list[str]:
        """The settings of run i that differ."""
        return [self.settings[i].get(key, missing) for key in self.keys]

    def every_column(self) -> Rows:
        """A header, then a row for each run and each of its columns."""
        rows = [["run", *self.keys, "of", *self.labels.values()]]
        for i, results in enumerate(self.runs):
            lead = [self.names[i], *self.given(i)]
            for name in columns_of(results):
                rows.append(
                    [*lead, name, *(cell(results[name], e) or MISSING for e in self.labels)]
                )
                lead = [""] * len(lead)  # said once for each run
        return rows

    def last_columns(self) -> tuple[Rows, dict[str, str]]:
        """A header and a row for each run, of the column that it is about.

        **Returns:** the rows, and apart from them what is the same in all runs, without error: to
        read it once is enough.
        """
        abouts = [self.last(i)[1] for i in range(len(self.runs))]
        same: dict[str, str] = {}
        shown: dict[str, list[str]] = {}
        for entry, label in self.labels.items():
            cells = [cell(about, entry) or MISSING for about in abouts]
            exact = not any(is_estimate(about.get(entry)) for about in abouts)
            if exact and len(set(cells)) == 1 and len(cells) > 1:
                same |= {label: cells[0]} if cells[0] != MISSING else {}
            elif set(cells) != {MISSING}:
                shown[label] = cells
        # The settings that differ say which run it is; the name of its folder says no more.
        rows = [[*(self.keys or ["run"]), *shown]]
        for i, name in enumerate(self.names):
            rows.append([*(self.given(i) or [name]), *(cells[i] for cells in shown.values())])
        return rows, same

    def numbers(self) -> Rows:
        """A header and a row for each run, values and errors apart, in full precision.

        The entries of the column that a run is about have their own names, those of others stand
        behind the name of the column: `total_work`, `total_work_error`, `linear.total_work`, ...
        """
        table = [["run", *self.keys]]
        table += [[name, *self.given(i, "")] for i, name in enumerate(self.names)]
        abouts = [self.last(i) for i in range(len(self.runs))]
        groups = {"": [record for _, record in abouts]}
        for name in self.columns:
            groups[f"{name}."] = [
                Record() if name == last else results.get(name, Record())
                for results, (last, _) in zip(self.runs, abouts, strict=True)
            ]
        for prefix, records in groups.items():
            for entry in self.labels:
                values = [record.get(entry) for record in records]
                if all(value is None for value in values):
                    continue
                parts = 1 + any(is_estimate(value) for value in values)
                table[0] += [f"{prefix}{entry}", f"{prefix}{entry}_error"][:parts]
                for row, value in zip(table[1:], values, strict=True):
                    row += value_and_error(value)[:parts]
        return table


def value_and_error(value: Any) -> list[str]:
    """A value and its error as a program reads them; empty for what is not there."""
    if is_estimate(value):
        return [full_precision(value.value), full_precision(value.error)]
    return ["" if value is None else full_precision(value), ""]


def full_precision(value: Any) -> str:
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    return repr(array.item()) if array.ndim == 0 else str(array.tolist())
