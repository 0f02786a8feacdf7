"""The table and the figures of a sweep, from the results of its points alone."""

from __future__ import annotations

import csv
import io
import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_whole
from .compare import compare, differing, settings_of
from .report import PAGE, table
from .store import Record, is_estimate, load
from .style import BLUE, GREEN, ORANGE, PURPLE, SKY, STYLE, VERMILION, as_svg

LINES = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
MARKS = "osD^vP"
MOST_FAILURES = 8  # told in full on the page; the table on the console tells all


def write_sweep(
    folder: Path, name: str, folders: list[Path], failed: dict[str, str]
) -> list[list[str]]:
    """Write `sweep.csv` and `sweep.html`; the table of the finished points."""
    rows = compare(folders, only_last=True) if folders else [["run"]]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    write_whole(folder / "sweep.csv", lambda path: path.write_text(stream.getvalue(), "utf-8"))
    names = ["run", *short_names(rows)]
    rows = [[name, *row[1:]] for name, row in zip(names, rows, strict=True)]
    text = page(name, folders, rows, failed)
    write_whole(folder / "sweep.html", lambda path: path.write_text(text, "utf-8"))
    return rows


def short_names(rows: list[list[str]]) -> list[str]:
    """The names of the runs: the settings that differ, by the last part of their keys."""
    words = [row[0].split(" ") for row in rows[1:]]
    shared = set.intersection(*map(set, words)) if len(words) > 1 else set()
    names = [" ".join(w for w in one if w not in shared) or " ".join(one) for one in words]
    shorter = [re.sub(r"(?<!\S)[\w.]+\.(?=\w+=)", "", name) for name in names]
    return shorter if len(set(shorter)) == len(set(names)) else names


def page(name: str, folders: list[Path], rows: list[list[str]], failed: dict[str, str]) -> str:
    runs = [load(folder) for folder in folders]
    drawn = draw(runs)
    question = runs[0].attributes["question"] if runs else ""
    shared = settings_of(runs[0]) if runs else {}
    for key in differing([settings_of(results) for results in runs]):
        shared.pop(key, None)
    count = len(folders) + len(failed)
    return PAGE.substitute(
        title=escape(f"{name}: thermojax"),
        name=escape(f"{name}, a sweep"),
        question=escape(question or name),
        answer=f"{len(folders)} of {count} points" + (f", {len(failed)} failed" if failed else ""),
        warnings=warnings(folders, runs, failed),
        headline=table(rows, numbers=True),
        bound="",
        posterior="",
        figures="\n".join(
            f"<figure>\n{svg}<figcaption>{escape(caption)}</figcaption>\n</figure>"
            for svg, caption in drawn
        ),
        settings=table([["setting of all points", "value"], *map(list, shared.items())]),
        footer=f"Each point is a run in a folder of its own, with a report. {total_time(runs)}",
    )


def warnings(folders: list[Path], runs: list[Record], failed: dict[str, str]) -> str:
    """What failed, in full; the warnings of the runs, folded away, since they are many."""
    told = list(failed.items())
    lines = [
        f'<p class="warning">Failed: {escape(point)}: {escape(why)}</p>'
        for point, why in told[:MOST_FAILURES]
    ]
    if len(told) > MOST_FAILURES:
        lines.append(f'<p class="warning">Failed: {len(told) - MOST_FAILURES} more.</p>')
    warned = [
        f"<p>{escape(folder.name)}: {escape(warning)}</p>"
        for folder, results in zip(folders, runs, strict=True)
        for warning in results.attributes["warnings"]
    ]
    if warned:
        runs_warned = sum(bool(results.attributes["warnings"]) for results in runs)
        said = f"{len(warned)} warnings, in {runs_warned} of {len(runs)} runs"
        lines.append(f'<details class="warning"><summary>{said}</summary>')
        lines += [*warned, "</details>"]
    return "\n".join(lines)


def total_time(runs: list[Record]) -> str:
    facts = [results.attributes for results in runs]
    seconds = sum(one["wall_time"] / one.get("computed_together", 1) for one in facts)
    return f"{seconds:.0f} s of runs in all."


def last_column(results: Record) -> Record:
    names = [name for name in results.attributes["columns"] if name in results]
    return results[names[-1]] if names else Record()


def draw(runs: list[Record]) -> list[tuple[str, str]]:
    """A figure for each headline number against the setting that takes the most numbers."""
    import matplotlib
    from matplotlib.figure import Figure

    settings = [settings_of(results) for results in runs]
    keys = differing(settings)
    numeric = {key: [number(one.get(key)) for one in settings] for key in keys}
    numeric = {key: x for key, x in numeric.items() if None not in x}
    if not numeric:
        return []
    along = max(numeric, key=lambda key: len(set(numeric[key])))
    others = [key for key in keys if key != along]
    groups: dict[str, list[int]] = {}
    for i, one in enumerate(settings):
        groups.setdefault(", ".join(f"{key} = {one.get(key)}" for key in others), []).append(i)
    found = []
    facts = runs[0].attributes
    for label, entry in zip(facts["labels"], facts["entries"], strict=True):
        points = [value_of(last_column(results).get(entry)) for results in runs]
        if all(point is None for point in points):
            continue
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(4.8, 3.1))
            axes: Any = figure.subplots()
            for j, (group, members) in enumerate(groups.items()):
                chosen = sorted(
                    (numeric[along][i], *point) for i in members if (point := points[i]) is not None
                )
                if chosen:
                    x, y, error = np.array(chosen, float).T
                    axes.errorbar(
                        x,
                        y,
                        error,
                        fmt=MARKS[j % len(MARKS)] + "-",
                        color=LINES[j % len(LINES)],
                        markersize=4,
                        capsize=2.5,
                        label=group or None,
                    )
            values = np.unique(np.asarray(numeric[along], float))
            if len(values) > 2 and values[0] > 0 and values[-1] / values[0] >= 20:
                axes.set_xscale("log")
            unit = last_column(runs[0]).units.get(entry, "1")
            axes.set(xlabel=along, ylabel=label if unit == "1" else f"{label} ({unit})")
            if others:
                axes.legend()
            svg = as_svg(figure, f"sweep-{entry}")
        caption = (
            f"{label.capitalize()} against {along}, with standard errors, in the column "
            f"'{facts['columns'][-1]}' of each run"
            + (f"; one line for each value of {', '.join(others)}." if others else ".")
        )
        found.append((svg, caption))
    return found


def number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def value_of(value: Any) -> tuple[float, float] | None:
    """(value, error) of what can be drawn."""
    if is_estimate(value) and np.ndim(value.value) == 0 and np.isfinite(value.value):
        return float(value.value), float(value.error)
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
        return float(value), 0.0
    return None
