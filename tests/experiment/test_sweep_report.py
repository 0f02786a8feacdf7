"""The table and the page of a sweep: numbers for programs, what matters first for readers."""

import csv
import re
from pathlib import Path

import numpy as np

from thermojax.estimate import Estimate
from thermojax.experiment.results.store import Record, save
from thermojax.experiment.results.tables import SideBySide
from thermojax.experiment.sweep.report import sweep_figures, write_sweep

LABELS = {
    "total work": "total_work",
    "work saved": "work_saved",
    "free energy difference": "free_energy_change",
    "effective samples": "effective_samples",
    "verdict": "verdict",
}


def point(friction, optimized=True):
    """Results of a run at one friction, as a study stores them."""
    results = Record()
    names = ["linear", "optimized"] if optimized else ["linear"]
    for i, name in enumerate(names):
        results[name] = column = Record()
        column.put("total_work", Estimate(np.float64(friction / 3 - i), 0.125, 9), "kT")
        column.put("free_energy_change", 0.0, "kT")
        column.put("effective_samples", 12.5 * friction, "paths")
        column.put("paths_total", 100, "paths")
        column.put("verdict", "fine")
    if optimized:
        results["optimized"].put("work_saved", Estimate(np.float64(1.0), 0.1768, 9), "kT")
    results.put("config", f"bath:\n  friction: {friction}\ntraining: {optimized}\n")
    results.attributes = {
        "question": "Why?",
        "columns": names,
        "labels": list(LABELS),
        "entries": list(LABELS.values()),
        "warnings": [],
        "wall_time": 1.0,
    }
    return results


def stored(folder, *results):
    folders = []
    for i, one in enumerate(results):
        folders.append(folder / f"point {i}")
        folders[-1].mkdir(parents=True)
        save(folders[-1] / "results.h5", one)
    return folders


def test_numbers_are_numbers(tmp_path):
    """Each column of the CSV but names and texts can be read as floats, in full precision."""
    rows = write_sweep(tmp_path, "s", stored(tmp_path, *map(point, (1, 2, 3))), {})
    with open(tmp_path / "sweep.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [float(row["total_work"]) for row in found] == [x / 3 - 1 for x in (1, 2, 3)]
    assert [float(row["linear.total_work"]) for row in found] == [x / 3 for x in (1, 2, 3)]
    for row in found:
        assert float(row["total_work_error"]) == 0.125 and float(row["work_saved"]) == 1
        assert float(row["work_saved_error"]) == 0.1768 and "of" not in row
        assert "±" not in "".join(row.values())
        texts = {"run", "verdict", "linear.verdict"}
        assert all(np.isfinite(float(x)) for name, x in row.items() if name not in texts)
    assert rows[0] == ["bath.friction", "total work", "work saved", "effective samples"]
    assert rows[1] == ["1", "-0.67 ± 0.12", "1.0 ± 0.2", "12 of 100"]


def test_points_that_lack_a_column(tmp_path):
    """Where a point was not trained its only column is what it is about; nothing is lost."""
    write_sweep(tmp_path, "s", stored(tmp_path, point(1), point(2, optimized=False)), {})
    with open(tmp_path / "sweep.csv", newline="") as stream:
        one, two = csv.DictReader(stream)
    assert float(one["linear.total_work"]) == 1 / 3 and float(two["total_work"]) == 2 / 3
    assert two["linear.total_work"] == two["work_saved"] == two["work_saved_error"] == ""


def test_the_page_shows_what_matters_first(tmp_path):
    folders = stored(tmp_path, *map(point, (1, 2, 3)))
    write_sweep(tmp_path, "s", folders, {})
    page = (tmp_path / "sweep.html").read_text("utf-8")
    head = re.findall(r"<th>(.*?)</th>", page.partition("<thead>")[2].partition("</thead>")[0])
    assert head[1:3] == ["total work", "work saved"] and "of" not in head
    assert "The same at all points: free energy difference 0, verdict fine." in page
    assert "max-width: 76rem" in page and "work saved" in page
    assert page.count("<svg") == 3  # none of what is constant


def test_ticks_stand_at_the_values(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "thermojax.experiment.sweep.report.as_svg",
        lambda figure, name: seen.setdefault(name, figure) and "",
    )
    folders = [Path(str(i)) for i in range(3)]
    sweep_figures(SideBySide.of(folders, [point(x) for x in (1, 2, 3)]))
    (axes,) = seen["sweep-total_work"].axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "3"]
    (legend,) = seen["sweep-total_work"].legends
    assert [text.get_text() for text in legend.get_texts()] == ["optimized", "linear"]
    seen.clear()
    sweep_figures(SideBySide.of(folders, [point(x) for x in (1, 10, 100)]))
    (axes,) = seen["sweep-total_work"].axes
    assert axes.get_xscale() == "log" and list(axes.get_xticks()) == [1, 10, 100]
    seen.clear()
    near = [point(x) for x in (1, 1.01, 3)]  # their labels would meet
    sweep_figures(SideBySide.of(folders, near))
    (axes,) = seen["sweep-total_work"].axes
    assert 1.01 not in axes.get_xticks()


def test_a_single_point_keeps_everything():
    rows, same = SideBySide.of([Path("only")], [point(2)]).last_columns()
    assert rows[0][0] == "run" and rows[1][0] == "only" and not same
    assert "free energy difference" in rows[0]
