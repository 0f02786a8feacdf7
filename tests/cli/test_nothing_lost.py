"""What was computed stays: no figure, page, signal, stream or mistake afterwards takes it away."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from thermojax import Checkpoint
from thermojax.cli import main
from thermojax.experiment import Record, UserError, load
from thermojax.experiment.command_line import program
from thermojax.experiment.results import drawing, report, store
from thermojax.experiment.run import checkpoints
from thermojax.experiment.run.folder import check_free
from thermojax.experiment.run.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
STUDY = """
from thermojax.estimate import Estimate
from thermojax.experiment import AbstractStudy, Record

class Counted(AbstractStudy):
    columns = ("all",)
    headline = {"sum": "sum"}

    def __init__(self, size: int = 3, fail: str = "never"):
        self.size, self.fail = size, fail

    def run(self, key, progress):
        with progress.phase("counting", self.size) as phase:
            state = phase.checkpoint.load(like={"sum": 0, "n": 0}) or {"sum": 0, "n": 0}
            for n in range(state["n"], self.size):
                state = {"sum": state["sum"] + n, "n": n + 1}
                phase.checkpoint.save(state, last=n + 1 == self.size)
        if self.fail == "value":
            raise ValueError("this does not fit")
        if self.fail == "file":
            open("none.dat")
        if self.fail == "bug":
            return {}["nothing"]
        if self.fail == "save":
            return Record(all=Record(sum=object()))
        results = Record(all=Record())
        if self.fail == "names":  # entries of ours, with another meaning
            results["training"] = Record(loss=3.0)
        results["all"].put("sum", Estimate(float(state["sum"]), 0.5, self.size))
        return results
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counted.py").write_text(STUDY)
    (tmp_path / "c.yaml").write_text("kind: counted:Counted\n")
    return tmp_path


def raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


def repeated(err: str) -> list[str]:
    """The words of the command that a warning ends in."""
    said = err.splitlines()[-1].strip()
    assert said.startswith(program() + " ")
    return shlex.split(said.removeprefix(program()))


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ((drawing, "drawn_figures"), ValueError("Key backend: 'x' is not a valid value")),
        ((drawing, "drawn_figures"), UserError("a mistake of the style's author")),
        ((report, "svg_figures"), ImportError("no plugin")),
        ((report, "write_whole"), OSError(28, "no space left on device")),
    ],
)
def test_a_report_that_fails_is_a_warning(here, monkeypatch, capsys, place, error):
    with monkeypatch.context() as broken:
        broken.setattr(*place, raising(error))
        assert main(["run", "c.yaml", "--out", "my run"]) == 0
    out, err = capsys.readouterr()
    said = "warning: the results are stored, but their report could not be made"
    assert f"{said} ({type(error).__name__}: " in err
    assert "Written: my run/results.h5\n" in out and "3.0 ± 0.5" in out
    assert {file.name for file in (here / "my run").iterdir()} == {"config.yaml", "results.h5"}
    monkeypatch.chdir("/")
    words = repeated(err)
    assert words == ["report", str(here / "my run")] and main(words) == 0
    assert (here / "my run" / "report.html").exists()


def test_results_that_cannot_be_shown(here, monkeypatch, capsys):
    from thermojax.experiment.results import tables

    monkeypatch.setattr(tables, "headline", raising(TypeError("no table")))
    assert main(["run", "c.yaml", "--out", "a"]) == 0
    out, err = capsys.readouterr()
    assert out == "Written: a/results.h5, a/report.html\n"
    assert "cannot be shown (TypeError: no table)" in err
    assert float(load("a")["all"]["sum"].value) == 3


def test_entries_that_are_called_as_ours(here, capsys):
    """A study of one's own may call a record `training`, and put something else into it."""
    assert main(["run", "c.yaml", "fail=names", "--out", "a"]) == 0
    results = load("a")
    assert results["training"]["loss"] == 3 and float(results["all"]["sum"].value) == 3
    assert "could not be found out (KeyError: 'diverged')" in capsys.readouterr().out


def test_ctrl_c_in_the_report(here, monkeypatch, capsys):
    with monkeypatch.context() as stopped:
        stopped.setattr(report, "write_report", raising(KeyboardInterrupt()))
        assert main(["run", "c.yaml", "--out", "a"]) == 130
    words = repeated(capsys.readouterr().err)
    assert words[0] == "resume" and load("a")["all"]["sum"].count == 3
    assert main(words) == 0 and (here / "a" / "report.html").exists()
    assert not (here / "a" / ".checkpoint").exists()


@pytest.mark.parametrize("fail", ["value", "bug", "file", "save"])
def test_a_failure_after_the_computation_keeps_it(here, capsys, fail):
    """What was counted would have to be counted again; corrected, the run goes on from there."""
    assert main(["run", "c.yaml", f"fail={fail}", "--out", "a"]) in (1, 2)
    err = capsys.readouterr().err
    assert fail != "file" or "FileNotFoundError: [Errno 2] No such file" in err
    again = f"what was computed is kept: after a correction `{program()} resume {here}/a --anyway`"
    assert again in err and (here / "a" / ".checkpoint" / "01-counting.ckpt").exists()
    broken = "self.size, self.fail = size, fail"
    (here / "counted.py").write_text(STUDY.replace(broken, "self.size, self.fail = size, 'never'"))
    assert main(["resume", "a"]) == 2
    assert "the content of counted.py" in capsys.readouterr().err
    assert main(["resume", "a", "--anyway"]) == 0
    assert float(load("a")["all"]["sum"].value) == 3


def test_only_its_own_files_are_removed(here, capsys):
    """Of a run that fails before there is anything to keep, in a folder that was there already."""
    (here / "a").mkdir()
    (here / "counted.py").write_text(
        STUDY.replace(
            "        with", "        open('a/notes', 'w').close(); 1 / 0\n        with", 1
        )
    )
    assert main(["run", "c.yaml", "--out", "a"]) == 1
    assert [file.name for file in (here / "a").iterdir()] == ["notes"]
    (here / "a" / "notes").unlink()
    (here / "a" / ".checkpoint").mkdir()
    (here / "a" / ".checkpoint" / "01-x.ckpt").write_text("")
    with pytest.raises(UserError, match="holds checkpoints of a run without its notes"):
        check_free(here / "a")


def test_a_sweep_whose_page_fails(here, monkeypatch, capsys):
    from thermojax.experiment.sweep import report as sweep_report

    with monkeypatch.context() as broken:
        broken.setattr(sweep_report, "sweep_page", raising(ValueError("no figure")))
        assert main(["sweep", "c.yaml", "size=4", "--out", "my sweep"]) == 0
    out, err = capsys.readouterr()
    assert "6.0 ± 0.5" in out and "their page could not be made (ValueError: no figure)" in err
    place, _, said = err.splitlines()[-1].strip().partition(" && ")
    assert shlex.split(place) == ["cd", str(here)]
    assert main(shlex.split(said.removeprefix(program()))) == 0
    assert (here / "my sweep" / "sweep.html").exists()


def test_folders_that_a_shell_takes_as_they_stand(here, monkeypatch, capsys):
    assert main(["sweep", "c.yaml", "size=3,4", "fail=never", "--out", "s"]) == 0
    capsys.readouterr()
    everything = sorted(str(file) for file in (here / "s").iterdir())
    assert everything[0].endswith("s/size-3,fail-never") and shlex.join(everything) == " ".join(
        everything
    )
    assert main(["compare", *everything, "nowhere"]) == 0
    out, err = capsys.readouterr()
    assert out.count("± 0.5") == 2 and "size-4,fail-never" in out
    for name in ("size-3,fail-never.log", "sweep.csv", "sweep.html", "nowhere"):
        assert name in err
    assert err.count("passed over: ") == 5
    assert main(["compare", "s/sweep.csv", "nowhere"]) == 2
    # A sweep that was begun under the names of before goes on there.
    for size in (3, 4):
        (here / "s" / f"size-{size},fail-never").rename(here / "s" / f"size={size} fail=never")
    assert main(["sweep", "c.yaml", "size=3,4", "fail=never", "--out", "s"]) == 0
    assert "2 of 2 points are there already" in capsys.readouterr().err


def test_backends_that_are_not_there():
    """As in a shell of a notebook, from another environment: Matplotlib cannot even be imported."""
    program = (
        "from thermojax.experiment.results.drawing import set_backend_aside\n"
        "import os, sys\n"
        "set_backend_aside()\n"
        "from matplotlib.figure import Figure\n"
        "Figure().subplots().plot([1]).pop().figure.savefig(sys.stdout.buffer, format='svg')\n"
        "assert os.environ['MPLBACKEND'] == sys.argv[1]\n"
        "import matplotlib\n"
        "assert matplotlib.rcParams['backend'] == sys.argv[2], matplotlib.rcParams['backend']\n"
    )
    for name, backend in (("no_such_backend", None), ("svg", "svg")):
        code = program if backend else program.rpartition("import matplotlib\n")[0]
        done = subprocess.run(
            [sys.executable, "-c", code, name, str(backend)],
            env={**os.environ, "MPLBACKEND": name, "PYTHONPATH": str(ROOT)},
            capture_output=True,
        )
        assert done.returncode == 0 and b"<svg" in done.stdout, done.stderr


def test_streams_that_are_closed(here, monkeypatch):
    """A run in a terminal that has gone, or that was started without one."""
    closed = io.StringIO()
    closed.close()
    for i, stream in enumerate((closed, None)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(["run", "c.yaml", "--out", f"out-{i}"]) == 0
        assert (here / f"out-{i}" / "report.html").exists()

    class Gone(io.StringIO):
        def isatty(self):
            return True  # and so with a bar

        def write(self, text):
            raise OSError(5, "input/output error")

    progress = Progress(Gone())
    with progress.phase("counting", 2) as phase:
        phase.advance(2, "done")
    progress.line("all is well")
    # The numbers 0 to 2 are not left for the next file: a checkpoint would get what XLA says.
    code = "from thermojax.cli import main; main([]); import os; print(open(os.devnull).fileno())"
    done = subprocess.run(
        f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} 2>&- 0<&-",
        shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert int(done.stdout.split()[-1]) > 2


def test_variables_in_words(here, monkeypatch, capsys):
    from thermojax.compilation_cache import cache_folder

    for said in ("abc", "-1", "nan", "inf"):
        monkeypatch.setenv("THERMOJAX_CHECKPOINT_SECONDS", said)
        assert main(["run", "c.yaml", "--out", "a"]) == 2
        err = capsys.readouterr().err
        assert err == (
            f"thermojax: the environment variable THERMOJAX_CHECKPOINT_SECONDS = {said}: expected "
            "a number of seconds, 0 or more\n"
        )
        assert not (here / "a").exists()
    monkeypatch.setenv("THERMOJAX_CHECKPOINT_SECONDS", "0.5")
    assert checkpoints.interval() == 0.5
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("THERMOJAX_CACHE", "~/programs")
    assert cache_folder() == here / "programs" and not (here / "~").exists()


def test_long_names(here, capsys):
    long = "x" * 300
    for command in (
        *(["run", "c.yaml", "--out", name] for name in (long, f"a/{long}/b")),
        *(["run", long], ["sweep", "c.yaml", "--out", long], ["init", long], ["init", "x" * 252]),
        *([name, long] for name in ("resume", "report", "compare")),
    ):
        assert main(command) == 2, command
        err = capsys.readouterr().err
        assert "characters: expected a file or a folder whose name has 255 bytes at most" in err
        assert err.count("\n") == 1 and len(err) < 200
    assert {file.name for file in here.iterdir()} == {"c.yaml", "counted.py"}


def test_files_of_others(here, capsys):
    """HDF5 that somebody else has written, and records that are no run."""
    (here / "foreign").mkdir()
    with h5py.File(here / "foreign" / "results.h5", "w") as file:
        file["x"] = np.arange(3)
        file.create_group("group")["y"] = 1.0
    with h5py.File(here / "empty.h5", "w"):
        pass
    with h5py.File(here / "newer.h5", "w") as file:
        file.attrs["format"] = "thermojax results 2"
    with pytest.raises(UserError, match="holds no results of a run"):
        load("foreign")
    with pytest.raises(UserError, match="has not written it"):
        load("empty.h5")
    with pytest.raises(UserError, match="its format is 'thermojax results 2': expected 'thermojax"):
        load("newer.h5")
    record = Record()
    record.put("x", 3.0)
    store.save(here / "own.h5", record)
    assert load("own.h5") == {"x": 3.0} and load("own.h5").attributes == {}
    for name in ("foreign", "empty.h5", "newer.h5", "own.h5"):
        for command in ("compare", "report"):
            assert main([command, name]) == 2
            err = capsys.readouterr().err
            assert err.startswith(f"thermojax: {name}") and err.count("\n") == 1


def test_half_written_files_of_others_stay(tmp_path):
    """Two trainings that save in one folder: one that begins leaves what the other is writing."""
    one, other = Checkpoint(tmp_path / "a.ckpt"), Checkpoint(tmp_path / "b.ckpt")
    one.save({"x": 1}, last=True)
    other.save({"x": 2}, last=True)
    being_written, left = tmp_path / ".b.ckpt.abc.part", tmp_path / ".a.ckpt.abc.part"
    being_written.write_text("")
    left.write_text("")
    assert one.load(like={"x": 0}) == {"x": 1}
    assert being_written.exists() and not left.exists()
