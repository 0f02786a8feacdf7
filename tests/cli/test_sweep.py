"""A grid of runs: what is finished stays, what failed is told, and one table shows the rest."""

import csv
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from tests import resuming
from thermojax.cli import main
from thermojax.experiment import UserError
from thermojax.experiment.run import runner
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.sweep.grid import folder_name, grid, last_line, plan, split_values, sweep
from thermojax.experiment.sweep.report import write_sweep

STUDY = """
from thermojax.estimate import Estimate
from thermojax.experiment import AbstractStudy, Record

class Parabola(AbstractStudy):
    question = "How high is a parabola?"
    columns = ("curve",)
    headline = {"height": "height"}

    def __init__(self, x: float, offset: list[float], power: int = 2):
        if x < 0:
            raise ValueError(f"x = {x}: expected a positive number")
        self.height = x**power + sum(offset)

    def run(self, key, progress):
        results = Record(curve=Record())
        results["curve"].put("height", Estimate(self.height, 0.5, 4), "length")
        return results
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "parabolas.py").write_text(STUDY)
    (tmp_path / "p.yaml").write_text("kind: parabolas:Parabola\nx: 1\noffset: [0]\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("parabolas", None)
    sys.path[:] = [p for p in sys.path if p != str(tmp_path)]


def test_grids():
    assert grid(["a=1,2", "b=3"]) == [("a=1", "b=3"), ("a=2", "b=3")]
    assert grid([]) == [()]
    assert split_values("[1,2],[3]") == ["[1,2]", "[3]"]
    assert split_values("'a,b',c") == ["'a,b'", "c"]
    assert grid(["a=1,1"]) == [("a=1",)]
    for words, said in (
        (["a"], "expected key=value"),
        (["a=1,,2"], "a value between two commas is missing"),
        (["a=1", "a=2"], "a is given twice"),
        (["a=" + ",".join(map(str, range(101))), "b=" + ",".join(map(str, range(100)))], "10,000"),
    ):
        with pytest.raises(UserError, match=said):
            grid(words)


def test_folder_names():
    assert folder_name(("a.b=1", "c=-1e-3")) == "a.b-1,c--1e-3" and folder_name(()) == "point"
    assert folder_name(("c=[1, 2]",)).startswith("c-_1,_2-")
    odd = ("../x", "..-x", "a/b", "a_b", "x" * 500, "a b", "$HOME", "a'b", "*", "é", "[1,2]", "1,2")
    names = [folder_name((f"file={name}",)) for name in odd] + [folder_name(("-x=.",))]
    assert len(set(names)) == len(odd) + 1 and not any(len(name) > 140 for name in names)
    assert all(shlex.quote(name) == name and name[0] not in ".-" for name in names)


def in_this_process(calls):
    """Runs the commands without the cost of an interpreter each."""

    def work(todo):
        for point, words in todo:
            calls.append(point.name)
            try:
                assert words[3] == "run"
                runner.run(point.experiment, point.folder)
                yield point, 0
            except UserError as error:
                point.log.write_text(f"thermojax: {error}\n")
                yield point, 2

    return work


def test_a_sweep(place, capsys):
    words, calls = ["x=1,2,-1", "offset=[0],[1,1]"], []
    folder, points = plan("p.yaml", words, "out")
    failed = sweep("p.yaml", points, Progress(), in_this_process(calls))
    assert len(calls) == 6 and [point.name[:5] for point in failed] == ["x--1,", "x--1,"]
    assert all("expected a positive number" in why for why in failed.values())
    done = [point.folder for point in points if point not in failed]
    rows = write_sweep(folder, "p", done, {point.name: why for point, why in failed.items()})
    assert rows[0] == ["x", "offset", "height"] and len(rows) == 5
    assert rows[4] == ["2", "[1, 1]", "6.0 ± 0.5"]
    page = (folder / "sweep.html").read_text()
    assert "How high is a parabola?" in page and page.count("<svg") == 1
    assert "Failed: x--1" in page and "offset = [1, 1]" in page
    with open(folder / "sweep.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert list(found[0]) == ["run", "x", "offset", "height", "height_error"] and len(found) == 4
    assert [float(row["height"]) for row in found] == [1, 3, 4, 6]
    assert all(float(row["height_error"]) == 0.5 for row in found)
    assert [row["run"] for row in found] == [file.name for file in done]
    # Again, with another value: only what is missing is run, what failed too.
    calls.clear()
    _, points = plan("p.yaml", ["x=1,2,3", "offset=[0],[1,1]"], "out")
    assert not sweep("p.yaml", points, Progress(), in_this_process(calls))
    assert calls == [folder_name(("x=3", f"offset={one}")) for one in ("[0]", "[1,1]")]
    assert "4 of 6 points are there already" in capsys.readouterr().err
    # Another config under the same names is refused.
    Path("p.yaml").write_text("kind: parabolas:Parabola\nx: 1\noffset: [0]\npower: 3\n")
    with pytest.raises(UserError, match="is another config than the one of this point now"):
        plan("p.yaml", words, "out")
    # The table of the command, of two of the folders.
    folders = [str(folder / folder_name((x, "offset=[0]"))) for x in ("x=1", "x=3")]
    assert main(["compare", *folders]) == 0
    table = capsys.readouterr().out
    assert table.startswith("run ") and "9.0 ± 0.5" in table and "offset  " not in table


def test_in_processes(place, capsys):
    """The command itself, one point good and one bad."""
    assert main(["sweep", "p.yaml", "x=2,-1", "--jobs", "2", "--out", "grid"]) == 2
    out, err = capsys.readouterr()
    assert "4.0 ± 0.5" in out and "sweep.html" in out
    assert "1 of 2 points failed: x--1: " in err and "Traceback" not in err


@pytest.mark.slow
def test_an_interrupted_sweep_continues(tmp_path):
    """Its runs save what they have; the same command again resumes them."""
    resuming.write_study(tmp_path, "kind: drag_study:Drag\nsteps: 100000\nchunks: 2\n")
    words = ["sweep", "drag.yaml", "stiffness=1,2", "--jobs", "2", "--out", "o"]
    kept = [tmp_path / "o" / f"stiffness-{i}" / ".checkpoint" for i in (1, 2)]
    for turn in range(2):
        before = [file.stat().st_mtime for folder in kept for file in folder.glob("01-*")]
        process = resuming.start(tmp_path, *words)
        while process.poll() is None:
            time.sleep(0.1)
            now = [file.stat().st_mtime for folder in kept for file in folder.glob("01-*")]
            if len(now) == 2 and all(a > b for a, b in zip(now, before or [0, 0], strict=True)):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130, (turn, err)
        assert err.endswith("interrupted; the same command again continues the sweep\n")
        for i in (1, 2):
            assert "continue with" in (tmp_path / "o" / f"stiffness-{i}.log").read_text()


def test_bad_sweeps(place, capsys):
    for arguments, said in (
        (["sweep", "p.yaml", "x=1,", "--out", "o"], "a value between two commas is missing"),
        (["sweep", "p.yaml", "x=1", "--jobs", "0"], "--jobs 0: expected a positive number"),
        (["sweep", "none.yaml", "x=1"], "no such config file"),
        (["sweep", ".", "x=1"], ".: is a folder: expected a config file in YAML"),
        (["sweep", "p.yaml", "x=1", "--out", "p.yaml"], "exists and is no folder"),
        (["sweep", "p.yaml", "x=1", "--slurm", "time"], "expected key=value"),
    ):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and said in err
    assert not (place / "o").exists() and not (place / "runs").exists()
    assert last_line(place / "nothing.log") == ""
