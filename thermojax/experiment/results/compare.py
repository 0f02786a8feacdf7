"""Several runs side by side: what was set differently, and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError, one_line
from .store import Record, load_run
from .summary import cell

MISSING = "-"


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Dotted keys of a config and their values as text."""
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
        return found
    return {prefix: str(value)}


def settings_of(results: Record) -> dict[str, str]:
    """Every setting of a run by its dotted key."""
    from ..config.yaml_file import from_yaml

    return flat(from_yaml(results["config"]))


def differing(settings: list[dict[str, str]]) -> list[str]:
    """The keys that do not have the same value in all runs, in the order of the configs."""
    keys = list(dict.fromkeys(key for one in settings for key in one))
    return [key for key in keys if len({one.get(key) for one in settings}) > 1]


def compare(folders: list[Path], only_last: bool = False) -> list[list[str]]:
    """A table of runs: a header, then a row for each run and each of its columns.

    **Arguments:** `folders` of finished runs; `only_last`, only the last column of each, which is
    the one that a study is about.

    **Raises:** UserError where a folder holds no results.
    """
    runs = [load_run(folder) for folder in folders]
    settings = [settings_of(results) for results in runs]
    keys = differing(settings)
    labels: dict[str, str] = {}  # two studies may call one entry differently: the first one wins
    for results in runs:
        facts = results.attributes
        for label, entry in zip(facts["labels"], facts["entries"], strict=True):
            labels.setdefault(entry, label)
    shown = [entry for entry in labels if any(has(results, entry) for results in runs)]
    rows = [["run", *keys, "of", *(labels[entry] for entry in shown)]]
    for folder, results, one in zip(folders, runs, settings, strict=True):
        columns = [name for name in results.attributes["columns"] if name in results]
        for name in columns[-1:] if only_last else columns:
            first = name == (columns[-1] if only_last else columns[0])
            lead = [folder.name or str(folder), *(one.get(key, MISSING) for key in keys)]
            rows.append(
                [
                    *(lead if first else [""] * len(lead)),
                    name,
                    *(cell(results[name], entry) or MISSING for entry in shown),
                ]
            )
    return rows


def runs_among(paths: list[Path]) -> tuple[list[Path], list[str]]:
    """The finished runs among what a shell has made of `runs/*`, and what is passed over, and why.

    **Raises:** UserError, that of the first, where there is no run at all.
    """
    found, passed = [], []
    first: UserError | None = None
    for path in paths:
        try:
            load_run(path)
        except UserError as error:
            first = first or error
            passed.append(one_line(error))
        else:
            found.append(path)
    if first is not None and not found:
        raise first
    return found, passed


def has(results: Record, entry: str) -> bool:
    return any(entry in results.get(name, {}) for name in results.attributes["columns"])
