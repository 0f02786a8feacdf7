"""The table and the figures of a sweep, from the results of its points alone."""

from __future__ import annotations

import csv
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..._files import write_whole
from ..results.report import PAGE, table
from ..results.store import Record, is_estimate, load
from ..results.style import BLUE, GREEN, ORANGE, PURPLE, SKY, STYLE, VERMILION, as_svg, legend
from .table import Points, as_numbers, as_text, last_column

LINES = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
MARKS = "osD^vP"
MOST_FAILURES = 8  # told in full on the page; the table on the console tells all
MOST_TICKS = 12
CLOSEST_TICKS = 0.05  # of the axis, below which their labels run into each other


def write_sweep(
    folder: Path, name: str, folders: list[Path], failed: dict[str, str]
) -> list[list[str]]:
    """Write `sweep.csv` and `sweep.html`; the table of the finished points."""
    points = Points.of(folders, [load(point) for point in folders])
    rows, same = as_text(points)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(as_numbers(points))
    write_whole(folder / "sweep.csv", lambda path: path.write_text(stream.getvalue(), "utf-8"))
    text = page(name, points, rows, same, failed)
    write_whole(folder / "sweep.html", lambda path: path.write_text(text, "utf-8"))
    return rows


def page(
    name: str,
    points: Points,
    rows: list[list[str]],
    same: dict[str, str],
    failed: dict[str, str],
) -> str:
    folders, runs = points.folders, points.runs
    question = runs[0].attributes["question"] if runs else ""
    shared = dict(points.settings[0]) if runs else {}
    for key in points.keys:
        shared.pop(key, None)
    count = len(folders) + len(failed)
    figures = "\n".join(
        f"<figure>\n{svg}<figcaption>{escape(caption)}</figcaption>\n</figure>"
        for svg, caption in draw(points)
    )
    return PAGE.substitute(
        width="76rem",  # a table of many columns
        title=escape(f"{name}: thermojax"),
        name=escape(f"{name}, a sweep"),
        question=escape(question or name),
        answer=f"{len(folders)} of {count} points" + (f", {len(failed)} failed" if failed else ""),
        warnings=warnings(folders, runs, failed),
        headline=table(rows, numbers=True),
        bound=f'<p class="soft">{escape(note(points, same))}</p>',
        posterior="",
        figures=f'<div class="figures">{figures}</div>',
        settings=table([["setting of all points", "value"], *map(list, shared.items())]),
        footer=f"Each point is a run in a folder of its own, with a report. {total_time(runs)}",
    )


def note(points: Points, same: dict[str, str]) -> str:
    """Of which column the table is, and what is the same at all points."""
    names = dict.fromkeys(c for r in points.runs if (c := last_column(r)) is not None)
    text = ""
    if any(len(results.attributes["columns"]) > 1 for results in points.runs):
        text = f"Of the {', '.join(names)} schedule or column of each run; sweep.csv has them all. "
    if same:
        listed = ", ".join(f"{label} {value}" for label, value in same.items())
        text += f"The same at all points: {listed}."
    return text.strip()


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


def draw(points: Points) -> list[tuple[str, str]]:
    """A figure for each headline number against the setting that takes the most numbers."""
    numeric = {key: [number(one.get(key)) for one in points.settings] for key in points.keys}
    numeric = {key: x for key, x in numeric.items() if None not in x}
    if not numeric:
        return []
    along = max(numeric, key=lambda key: len(set(numeric[key])))
    others = [key for key in points.keys if key != along]
    groups: dict[str, list[int]] = {}
    for i, one in enumerate(points.settings):
        groups.setdefault(", ".join(f"{key} = {one.get(key)}" for key in others), []).append(i)
    made = (against(points, entry, along, numeric[along], groups) for entry in points.labels)
    return [figure for figure in made if figure is not None]


def against(
    points: Points, entry: str, along: str, places: list, groups: dict[str, list[int]]
) -> tuple[str, str] | None:
    """One number against a setting, a line for each group and column; None where it is constant."""
    import matplotlib
    from matplotlib.figure import Figure

    label = points.labels[entry]
    names = [c for c in points.columns if any(entry in r.get(c, {}) for r in points.runs)]
    values = {
        name: [value_of(results.get(name, {}).get(entry)) for results in points.runs]
        for name in names
    }
    # What is the same in all columns, such as one free energy difference for all, is drawn once.
    names = [name for name in names[:-1] if values[name] != values[names[-1]]] + names[-1:]
    seen = [point for name in names for point in values[name] if point is not None]
    if not seen or (len(points.runs) > 1 and len(set(seen)) == 1 and seen[0][1] == 0):
        return None
    missing = sum(not np.isfinite(error) for _, error in seen)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.1))
        axes: Any = figure.subplots()
        entries = []
        # The column that the study is about comes first, in solid lines.
        for k, name in enumerate(reversed(names)):
            for j, (group, members) in enumerate(groups.items()):
                chosen = sorted(
                    (places[i], *point)
                    for i in members
                    if (point := values[name][i]) is not None and np.isfinite(point[1])
                )
                if not chosen:
                    continue
                x, y, error = np.array(chosen, float).T
                style = {"color": LINES[(j if len(groups) > 1 else k) % len(LINES)]}
                style |= {"alpha": 0.6, "linestyle": "--"} if k else {"linestyle": "-"}
                mark = MARKS[(j if len(groups) > 1 else k) % len(MARKS)]
                line = axes.errorbar(x, y, error, marker=mark, markersize=4, capsize=2.5, **style)
                said = [name] if len(names) > 1 else []
                said += [group] if group else []
                entries += [(line, ", ".join(said))] if said else []
        ticks(axes, np.unique(np.asarray(places, float)))
        unit = next((u for r in points.runs for c in names if (u := unit_of(r, c, entry))), "1")
        axes.set(xlabel=along, ylabel=label if unit == "1" else f"{label} ({unit})")
        legend(figure, entries)
        svg = as_svg(figure, f"sweep-{entry}")
    caption = f"{capital(label)} against {along}, with standard errors"
    if len(names) > 1:
        caption += f"; solid: {names[-1]}, dashed: {', '.join(names[:-1])}"
    caption += "; one line for each value of the other settings." if len(groups) > 1 else "."
    if missing:
        caption += f" {missing} without a finite error are not drawn."
    return svg, caption


def ticks(axes: Any, values: np.ndarray) -> None:
    """Ticks at the values that were swept, as long as their labels do not meet."""
    logarithmic = len(values) > 2 and values[0] > 0 and values[-1] / values[0] >= 20
    if logarithmic:
        axes.set_xscale("log")
    places = np.log(values) if logarithmic else values
    gaps = np.diff(places) / (places[-1] - places[0]) if len(values) > 1 else np.ones(1)
    if len(values) <= MOST_TICKS and np.min(gaps) >= CLOSEST_TICKS:
        axes.set_xticks(values, [f"{x:g}" for x in values])
        axes.minorticks_off()


def unit_of(results: Record, column: str, entry: str) -> str:
    """The unit of an entry; empty where the column does not hold it."""
    record = results.get(column, Record())
    return record.units.get(entry, "1") if entry in record else ""


def capital(text: str) -> str:
    """With a capital first, the others as they are."""
    return text[:1].upper() + text[1:]


def number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def value_of(value: Any) -> tuple[float, float] | None:
    """(value, error) of what can be drawn; the error may be infinite."""
    if is_estimate(value) and np.ndim(value.value) == 0 and np.isfinite(value.value):
        return float(value.value), float(value.error)
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
        return float(value), 0.0
    return None
