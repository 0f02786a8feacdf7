"""The table and the figures of a sweep, from the results of its points alone."""

from __future__ import annotations

import csv
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..results.drawing import as_svg, set_backend_aside
from ..results.report import figure, page, warned
from ..results.store import Record, is_estimate, write_whole
from ..results.style import BLUE, GREEN, ORANGE, PURPLE, SKY, STYLE, VERMILION, legend, new
from ..results.tables import Rows, SideBySide

LINES = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
MARKS = "osD^vP"
MOST_FAILURES = 8  # told in full on the page; the table on the console tells all
MOST_TICKS = 12
CLOSEST_TICKS = 0.05  # of the axis, below which their labels run into each other


def write_sweep(folder: Path, name: str, folders: list[Path], failed: dict[str, str]) -> Rows:
    """Write `sweep.csv` and `sweep.html`; the table of the finished points."""
    points = SideBySide.of(folders)
    rows, same = points.last_columns()
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(points.numbers())
    write_whole(folder / "sweep.csv", lambda path: path.write_text(stream.getvalue(), "utf-8"))
    text = sweep_page(name, points, rows, same, failed)
    write_whole(folder / "sweep.html", lambda path: path.write_text(text, "utf-8"))
    return rows


def sweep_page(
    name: str, points: SideBySide, rows: Rows, same: dict[str, str], failed: dict[str, str]
) -> str:
    runs = points.runs
    shared = dict(points.settings[0]) if runs else {}
    for key in points.keys:
        shared.pop(key, None)
    figures = "\n".join(figure(svg, caption) for svg, caption in sweep_figures(points))
    said = f"{len(runs)} of {len(runs) + len(failed)} points"
    return page(
        width="76rem",  # a table of many columns
        name=f"{name}, a sweep",
        question=(runs[0].attributes["question"] if runs else "") or name,
        answer=said + (f", {len(failed)} failed" if failed else ""),
        warnings=warnings(points, failed),
        numbers=rows,
        note=note(points, same),
        details="",
        figures=f'<div class="figures">{figures}</div>',
        settings=[["setting of all points", "value"], *map(list, shared.items())],
        footer=f"Each point is a run in a folder of its own, with a report. {total_time(runs)}",
    )


def note(points: SideBySide, same: dict[str, str]) -> str:
    """Of which column the table is, and what is the same at all points."""
    names = dict.fromkeys(name for i in range(len(points.runs)) if (name := points.last(i)[0]))
    text = ""
    if any(len(results.attributes["columns"]) > 1 for results in points.runs):
        text = f"Of the {', '.join(names)} schedule or column of each run; sweep.csv has them all. "
    if same:
        listed = ", ".join(f"{label} {value}" for label, value in same.items())
        text += f"The same at all points: {listed}."
    return text.strip()


def warnings(points: SideBySide, failed: dict[str, str]) -> str:
    """The failures in full; the warnings of the runs, folded away, since they are many."""
    sentences = [f"Failed: {point}: {why}" for point, why in failed.items()]
    if len(sentences) > MOST_FAILURES:
        sentences[MOST_FAILURES:] = [f"Failed: {len(sentences) - MOST_FAILURES} more."]
    lines = [warned(text) for text in sentences]
    of_runs = [results.attributes["warnings"] for results in points.runs]
    if count := sum(map(len, of_runs)):
        said = f"{count} warnings, in {sum(map(bool, of_runs))} of {len(of_runs)} runs"
        lines.append(f'<details class="warning"><summary>{said}</summary>')
        for name, texts in zip(points.names, of_runs, strict=True):
            lines += [f"<p>{escape(name)}: {escape(text)}</p>" for text in texts]
        lines.append("</details>")
    return "\n".join(lines)


def total_time(runs: list[Record]) -> str:
    facts = [results.attributes for results in runs]
    seconds = sum(one["wall_time"] / one.get("computed_together", 1) for one in facts)
    return f"{seconds:.0f} s of runs in all."


def sweep_figures(points: SideBySide) -> list[tuple[str, str]]:
    """A figure for each headline number against the setting that takes the most numbers."""
    numeric = {key: [float_or_none(one.get(key)) for one in points.settings] for key in points.keys}
    numeric = {key: x for key, x in numeric.items() if None not in x}
    if not numeric:
        return []
    set_backend_aside()
    along = max(numeric, key=lambda key: len(set(numeric[key])))
    others = [key for key in points.keys if key != along]
    groups: dict[str, list[int]] = {}
    for i, one in enumerate(points.settings):
        groups.setdefault(", ".join(f"{key} = {one.get(key)}" for key in others), []).append(i)
    made = (against(points, entry, along, numeric[along], groups) for entry in points.labels)
    return [figure for figure in made if figure is not None]


def against(
    points: SideBySide, entry: str, along: str, places: list, groups: dict[str, list[int]]
) -> tuple[str, str] | None:
    """One number against a setting, a line for each group and column; None where it is constant."""
    import matplotlib

    label = points.labels[entry]
    values = {
        name: [value_of(results.get(name, {}).get(entry)) for results in points.runs]
        for name in points.columns
        if any(entry in results.get(name, {}) for results in points.runs)
    }
    *others, last = values
    # What is the same in all columns, such as one free energy difference for all, is drawn once.
    names = [*(name for name in others if values[name] != values[last]), last]
    seen = [point for name in names for point in values[name] if point is not None]
    if not seen or (len(points.runs) > 1 and len(set(seen)) == 1 and seen[0][1] == 0):
        return None
    missing = sum(not np.isfinite(error) for _, error in seen)
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = new()
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
                kind = j if len(groups) > 1 else k
                style = {"color": LINES[kind % len(LINES)], "marker": MARKS[kind % len(MARKS)]}
                style |= {"alpha": 0.6, "linestyle": "--"} if k else {"linestyle": "-"}
                line = axes.errorbar(x, y, error, markersize=4, capsize=2.5, **style)
                said = [*([name] if len(names) > 1 else []), *([group] if group else [])]
                entries += [(line, ", ".join(said))] if said else []
        ticks(axes, np.unique(np.asarray(places, float)))
        records = [r[name] for r in points.runs for name in names if entry in r.get(name, {})]
        unit = records[0].units.get(entry, "1")
        axes.set(xlabel=along, ylabel=label if unit == "1" else f"{label} ({unit})")
        legend(figure, entries)
        svg = as_svg(figure, f"sweep-{entry}")
    caption = f"{label[:1].upper()}{label[1:]} against {along}, with standard errors"
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


def float_or_none(text: str | None) -> float | None:
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
