"""The page, the figures and the film again, from the stored results and nothing else."""

import io
import shutil
import subprocess
from importlib.util import find_spec

import numpy as np
import pytest

from experiments.two_pictures_figures import film, scene
from thermojax.cli import main
from thermojax.estimate import Estimate
from thermojax.experiment.results.film import animate
from thermojax.experiment.results.report import report
from thermojax.experiment.results.store import Record, load, save
from thermojax.experiment.results.style import STYLE
from thermojax.experiment.results.tables import SideBySide, headline
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy


def facts(**more):
    return {
        "name": "x",
        "question": "Why?",
        "columns": ["density"],
        "labels": ["work"],
        "entries": ["work"],
        "warnings": [],
        "started": "now",
        "wall_time": 1.0,
        "device": "cpu",
        "seed": 0,
        "diverged": 0,
        "commit": "",
        **more,
    }


def results_of_a_density(times=3):
    """Results with a density that moves."""
    results, column = Record(), Record()
    x, t = np.linspace(-3, 3, 31), np.linspace(0, 1, times)
    rho = np.exp(-((x - t[:, None]) ** 2))
    column.put("x", x, "length", ("cell",))
    column.put("density", rho, "1/length", ("time", "cell"))
    column.put("equilibrium", rho, "1/length", ("time", "cell"))
    column["through"] = Record(time=t)
    column["control"] = Record(time=np.array([0, 0, 1, 1.0]), control=np.array([0, 0, 1, 1.0]))
    column.put("work", Estimate(1.5, 0.1, 9), "kT")
    results["density"] = column
    results.put("config", "a: 1\n")
    results["versions"] = Record()
    results.attributes = facts()
    return results


def test_the_report_again_from_the_results_alone(tiny_run, tmp_path, capsys):
    shutil.copy(tiny_run[0] / "results.h5", tmp_path)
    assert main(["report", str(tmp_path), "--svg", "--pdf"]) == 0
    assert "report.html" in capsys.readouterr().out
    again, first = (folder / "report.html" for folder in (tmp_path, tiny_run[0]))
    assert again.read_bytes() == first.read_bytes()
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"schedule.svg", "schedule.pdf", "training.svg"} <= names and len(names) == 8
    assert (tmp_path / "figures" / "ledger.pdf").read_bytes().startswith(b"%PDF")
    assert main(["report", str(tmp_path), "--animate"]) == 2
    assert "has no film to show" in capsys.readouterr().err


def test_a_film(tmp_path):
    results = results_of_a_density()
    file = animate(tmp_path, results, film, "density")
    assert [x.name for x in tmp_path.iterdir()] == [file.name]
    if file.suffix == ".gif":
        from PIL import Image

        with Image.open(file) as image:
            assert getattr(image, "n_frames", 1) == 3


def test_a_film_of_two_controls(tmp_path):
    """A curve and a dot for each, where the dense curve is at that time."""
    import matplotlib

    results = results_of_a_density(2)
    t = np.linspace(0, 1, 401)
    both = np.stack([np.sin(3 * t), 1 + t], axis=1)
    time, control = np.concatenate([[0], t, [1]]), np.concatenate([both[:1], both, both[-1:]])
    results["density"]["control"] = Record(time=time, control=control)
    with matplotlib.rc_context(STYLE):
        figure, draw, _ = scene(results["density"])
        draw(1)
    lines = figure.axes[1].get_lines()
    dots = [line.get_xydata()[0] for line in lines if len(line.get_xydata()) == 1]
    np.testing.assert_allclose(dots, [[1, np.sin(3)], [1, 2]])
    said = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert said == ["λ₁", "λ₂"]


def test_bounds_stand_beside_the_numbers(tmp_path):
    results = results_of_a_density()
    assert headline(results) == [["", "density"], ["work", "1.50 ± 0.10"]]
    results["bounds"] = bounds = Record()
    bounds.put("work", 1.25, "kT")
    bounds.attributes["note"] = "By the second law."
    save(tmp_path / "results.h5", results)
    back = load(tmp_path)
    assert headline(back)[1] == ["work", "1.50 ± 0.10", "at least 1.25"]
    page = report(back, AbstractStudy)
    assert "at least 1.25" in page and "By the second law." in page
    assert "work 1.50 ± 0.10 kT, density" in page  # the answer, where there is no log evidence


def test_studies_that_call_one_entry_differently_share_a_column(tmp_path):
    for name, label in (("one", "work"), ("two", "mean work")):
        results = results_of_a_density()
        results.attributes["labels"] = [label]
        (tmp_path / name).mkdir()
        save(tmp_path / name / "results.h5", results)
    rows = SideBySide.of([tmp_path / "one", tmp_path / "two"]).every_column()
    assert rows[0] == ["run", "of", "work"]
    assert [row[-1] for row in rows[1:]] == ["1.50 ± 0.10"] * 2


def test_what_results_look_like_when_printed(tiny_run):
    text = repr(load(tiny_run[0]))
    assert "  position: array (64, 31) over path, coordinate length" in text
    assert "config: text of 28 lines" in text


def test_extras(tiny_run):
    """With the package, its objects; without it, a word on how to get it."""
    results = load(tiny_run[0])
    if find_spec("pandas") is None:
        with pytest.raises(ImportError, match=r"pip install 'thermojax\[pandas\]'"):
            results.to_pandas()
    else:
        table = results.to_pandas()
        row = table[(table.column == "optimized") & (table.quantity == "work")].iloc[0]
        assert row.value == float(results["optimized"]["work"].value) and row.unit == "kT"
    with pytest.raises((ImportError, ValueError), match=r"thermojax\[arviz\]|column = 'none'"):
        results.to_arviz("none")


def test_draws_for_arviz(tiny_run, monkeypatch):
    """Both generations of `arviz.from_dict` are called as they want it."""
    results, seen = load(tiny_run[0]), []

    class Stub:
        __version__ = "0.23.4"

        @staticmethod
        def from_dict(*arguments, **named):
            seen.append((arguments, named))

    for room in ("experiment.results.convert", "interop.arviz"):
        monkeypatch.setattr(f"thermojax.{room}.needed", lambda *names: Stub)
    results.to_arviz("linear")
    monkeypatch.setattr(Stub, "__version__", "1.0.0")
    results.to_arviz()
    (_, old), (new, _) = seen
    assert old["posterior"]["position"].shape == (1, 64, 31)
    assert set(new[0]) == {"posterior", "sample_stats"}
    assert new[0]["sample_stats"]["work"].shape == (1, 64)
    # Draws have the moments of the weighted paths, as far as 64 draws can.
    paths = results["linear"]["paths"]
    weight = np.exp(paths["log_weight"] - paths["log_weight"].max())
    mean = weight @ paths["position"] / weight.sum()
    spread = np.ptp(paths["position"], axis=0)
    assert np.all(np.abs(old["posterior"]["position"][0].mean(0) - mean) < spread / 16)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_and_a_line_elsewhere():
    for stream in (Terminal(), io.StringIO()):
        with Progress(stream).phase("training", 4, "steps") as phase:
            phase.reach(1)
            phase.advance(3, "work 1.0 ± 0.1")
        said = stream.getvalue()
        assert ("\r" in said) == stream.isatty()
        assert said.split("\r")[-1].startswith("training: 4 steps in ")
        assert said.endswith("work 1.0 ± 0.1\n")


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_phone_shows_it_without_scrolling_sideways(tiny_run, tmp_path):
    """In a frame of 390 pixels: no console message, figures as wide as they should be."""
    page = (tiny_run[0] / "report.html").read_text(encoding="utf-8")
    probe = (
        "<script>const d = document.documentElement;"
        "const f = [...document.querySelectorAll('figure svg')];"
        "parent.postMessage([d.clientWidth, d.scrollWidth, ...f.map(x => x.clientWidth)], '*')"
        "</script></body>"
    )
    (tmp_path / "page.html").write_text(page.replace("</body>", probe), encoding="utf-8")
    (tmp_path / "frame.html").write_text(
        "<body><script>addEventListener('message', e => document.title = e.data.join(' '))</script>"
        "<iframe src='page.html' style='width:390px;height:900px;border:0'></iframe></body>"
    )
    done = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        + ["--virtual-time-budget=3000", "--dump-dom", f"file://{tmp_path}/frame.html"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    client, scroll, *figures = map(int, title.split())
    assert client <= 390 and scroll <= client
    assert len(figures) == 4 and min(figures) > 300
