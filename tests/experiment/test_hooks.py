"""Studies show their own results: figures, tables, sentences and doubts; the core knows none."""

import re
import shutil
import sys
from pathlib import Path

import pytest

import thermojax.experiment
from thermojax.cli import main
from thermojax.experiment import AbstractStudy, load
from thermojax.experiment.study.base import study_of
from thermojax.experiment.study.driven import Driven

HOUSE = Path(thermojax.experiment.__file__).parent
STUDY = """
from thermojax.experiment import AbstractStudy, Record
from thermojax.experiment.results.style import BLUE, new

def squares(results):
    figure, (axes,) = new()
    axes.plot(results["all"]["squares"], color=BLUE)
    return figure, "The squares of the first numbers."

class Squares(AbstractStudy):
    columns = ("all",)
    headline = {"sum": "sum"}
    figures = {**AbstractStudy.figures, "squares": squares}
    tables = {"Every square": lambda results: [["n", "square"], ["2", "4"]]}
    sentences = (lambda results: "", lambda results: "squares add up.", lambda results: "Again")
    doubts = (lambda results: ["numbers may be squared."],)

    def run(self, key, progress):
        results = Record(all=Record())
        results["all"].put("squares", [float(n**2) for n in range(4)], "1", ("n",))
        results["all"].put("sum", 14.0)
        return results
"""
TEN_LINES = """
from thermojax.experiment import AbstractStudy, Record

class Plain(AbstractStudy):
    columns = ("all",)
    headline = {"sum": "sum"}

    def run(self, key, progress):
        results = Record(all=Record())
        results["all"].put("sum", 3.5, "kT")
        return results
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "squares.py").write_text(STUDY)
    (folder / "plain.py").write_text(TEN_LINES)
    (folder / "s.yaml").write_text("kind: squares:Squares\n")
    (folder / "p.yaml").write_text("kind: plain:Plain\n")
    monkeypatch.chdir(folder)
    yield folder
    for name in ("squares", "plain"):
        sys.modules.pop(name, None)


def test_a_study_needs_no_hooks(here, capsys):
    assert main(["run", "p.yaml", "--out", "out"]) == 0
    page = Path("out/report.html").read_text()
    assert '<p class="answer">sum 3.5 kT, all</p>' in page and "<figure" not in page
    assert "sum  3.5" in capsys.readouterr().out


def test_what_a_study_shows(here, capsys, monkeypatch, tmp_path):
    assert main(["run", "s.yaml", "--out", "out"]) == 0
    printed = capsys.readouterr().out
    assert "n  square\n2  4" in printed and "squares add up.\n\nAgain" in printed
    assert "Warning: numbers may be squared." in printed
    first = Path("out/report.html").read_text()
    assert '<p class="answer">squares add up. Again</p>' in first
    assert first.count("<figure") == 1 and '<figure id="squares">' in first
    assert "<summary>Every square</summary>" in first and "Warning: numbers may be" in first
    # From elsewhere the same page: the results say where their study was found.
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("squares", None)
    assert main(["report", str(here / "out"), "--svg"]) == 0
    assert (here / "out" / "report.html").read_text() == first
    assert (here / "out" / "figures" / "squares.svg").exists()


def test_a_study_that_is_gone(here, capsys):
    """Its numbers are shown, and one warning says what is left out; nothing is an error."""
    assert main(["run", "s.yaml", "--out", "out"]) == 0
    capsys.readouterr()
    (here / "squares.py").unlink()
    sys.modules.pop("squares", None)
    assert main(["report", "out"]) == 0
    page = Path("out/report.html").read_text()
    assert "<td>14</td>" in page and "<figure" not in page and "squares add up" not in page
    said = "its study cannot be imported here, so that figures and tables of its own are left out"
    for text in (capsys.readouterr().err, page):
        assert text.count(said) == 1 and "no module" in text
    shutil.copy(here / "plain.py", here / "squares.py")  # another class by now
    assert study_of(load("out"))[0] is AbstractStudy


def test_results_of_before_know_their_kind():
    """Files of versions that did not note the class: the registered name leads to it."""
    results = thermojax.experiment.Record()
    results.attributes = {"kind": "Driven", "columns": []}
    assert study_of(results) == (Driven, "")


OWN = r"log.?evidence|two.pictures|frontier|posterior|rehears|optimized|accuracy|erasure|nestbench"
# A package of its own names its groups so, and a docstring gives an example of what is loaded.
MEANT = ("ArviZ", "`posterior` holds", 'groups = {"posterior"', 'load("runs/x")["optimized"]')


def test_the_core_names_nothing_of_a_study():
    """But for the general study, and what is said of ramps from prior to posterior."""
    files = [file for file in HOUSE.rglob("*") if file.suffix in (".py", ".pyi", ".html", ".css")]
    of_studies = {HOUSE / "study" / name for name in ("driven.py", "evidence.py")}
    assert of_studies < set(files) and len(files) > 30
    found = [
        f"{file.relative_to(HOUSE)}, line {i}: {line.strip()}"
        for file in files
        if file not in of_studies and file.parent.name not in ("config",)
        for i, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if re.search(OWN, line, re.IGNORECASE) and not any(text in line for text in MEANT)
    ]
    assert not found, "\n".join(found)
