"""The command: every mistake is one sentence and exit code 2, and leaves nothing behind."""

import contextlib
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from thermojax.cli import main
from thermojax.experiment import load

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "logistic_breast_cancer.yaml"


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Run a command that must fail in one line; the line."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        before = set(tmp_path.rglob("*"))
        assert main(list(map(str, arguments))) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and "Traceback" not in err
        assert err.startswith("thermojax: ")
        assert set(tmp_path.rglob("*")) == before, "something was left behind"
        return err

    return call


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("bath.temprature=1", ["unknown key 'bath.temprature'", "did you mean 'temperature'?"]),
        ("traning.steps=1", ["unknown key 'traning'", "did you mean 'training'?"]),
        ("training.step=1", ["unknown key 'training.step'", "did you mean 'steps'?"]),
        ("bath.temperature=-1", ["bath.temperature = -1:", "positive"]),
        ("bath.temperature=2", ["bath.temperature = 2", "expected 1"]),
        ("bath.mass={kind: Linear, start: 1, end: 2, duration: 100}", ["bath.mass is a schedule"]),
        ("duration=-3", ["duration = -3:", "positive number"]),
        ("training=[1,2]", ["expected a Training: a mapping with its settings"]),
        ("dt=200", ["dt = 200 is larger than the duration 100", "smaller dt"]),
        ("dt=-1", ["dt = -1: expected a positive number"]),
        ("training.dt=200", ["training.dt = 200 is larger than the duration 100"]),
        ("training.batch=0", ["training.batch = 0", "positive"]),
        ("evaluation.chunk=1000", ["evaluation.batch = ", "multiple of evaluation.chunk = 1000"]),
        ("knots=1", ["knots = 1: expected a whole number, 2 or more"]),
        ("data.file=none.csv", ["none.csv", "no such data file"]),
        ("data.target=benin", ["no column 'benin'", "did you mean 'benign'?"]),
        ("data.target=mean area", ["column 'mean area' = 1001", "0 or 1"]),
        ("seed=abc", ["seed = 'abc'", "whole number"]),
        ("precision=float23", ["precision = 'float23'", "did you mean 'float32'?"]),
        ("kind=experiments.posterior_ramp:Posterior", ["no 'Posterior'", "'PosteriorRamp'"]),
        ("kind=Bath", ["kind = Bath: expected an AbstractStudy"]),
        ("=3", ["override =3: expected key=value"]),
    ],
)
def test_bad_settings(refused, override, said):
    message = refused("run", CONFIG, override)
    for words in said:
        assert words in message


def test_bad_files(refused, tmp_path):
    assert "no such config file" in refused("run", "nothing.yaml")
    assert "expected a number" in refused("run", CONFIG, f"data.file={bad_table(tmp_path)}")
    (tmp_path / "bath.yaml").write_text("kind: Bath\n")
    assert "expected an AbstractStudy" in refused("run", "bath.yaml")


def bad_table(folder):
    file = folder / "bad.csv"
    file.write_text("a,benign\n1,0\nx,1\n")
    return file


def test_bad_folders(refused, tmp_path):
    used = tmp_path / "used"
    used.mkdir()
    (used / "results.h5").write_text("")
    assert "already holds another run" in refused("run", CONFIG, "--out", used)
    (tmp_path / "file").write_text("")
    assert "not an empty folder" in refused("run", CONFIG, "--out", tmp_path / "file")
    assert "file/inside" in refused("run", CONFIG, "--out", tmp_path / "file" / "inside")


def test_bad_commands(refused):
    assert "did you mean 'run'?" in refused("rn")
    assert "CONFIG" in refused("run")
    assert "--outt" in refused("run", CONFIG, "--outt=x")
    assert "expected numbers" in refused("check", "a:b", "--position", "x")


USER = """
import jax.numpy as jnp
import thermojax as tj
from thermojax.experiment import AbstractStudy, Record

class Vector(tj.AbstractPotential):
    def energy(self, x, control):
        return control * x**2

class Drive(AbstractStudy):
    def __init__(self, potential: tj.AbstractPotential, fail: str = "no"):
        self.potential, self.fail = potential, fail
    def run(self, key, progress):
        if self.fail == "bug":
            return {}["nothing"]
        if self.fail == "interrupt":
            raise KeyboardInterrupt  # twice Ctrl-C
        if self.fail == "disk":
            raise OSError("no space left on device")
        system = tj.Overdamped(self.potential, tj.Linear(1.0, 2.0, 1.0), tj.Bath())
        out = tj.simulate(system, key, dt=0.1, initial=jnp.ones((4, 2)))
        record = Record()
        record.put("work", out.mean(out.ledger.work), "kT")
        return record
"""
CONFIG_OF_A_USER = "kind: my_study:Drive\npotential:\n  kind: my_study:Vector\n"


@pytest.fixture
def user(tmp_path):
    (tmp_path / "my_study.py").write_text(USER)
    (tmp_path / "my.yaml").write_text(CONFIG_OF_A_USER)
    yield tmp_path
    sys.modules.pop("my_study", None)
    sys.path[:] = [p for p in sys.path if p != str(tmp_path)]


def test_potential_that_is_not_scalar(user, refused):
    message = refused("run", "my.yaml", "--out", "a/b")
    assert "Vector.energy returned shape (2,)" in message and "sum over the coordinates" in message


def test_a_study_of_ones_own(user, capsys, monkeypatch):
    monkeypatch.chdir(user)
    assert main(["run", "my.yaml", "potential.kind=Harmonic", "--out", "out"]) == 0
    assert "out/results.h5" in capsys.readouterr().out
    assert (user / "out" / "report.html").exists()
    assert main(["run", "my.yaml", "potential.kind=Harmonic", "--out", "out"]) == 2


def test_full_disk_and_interrupt(user, refused, capsys):
    assert "no space left" in refused("run", "my.yaml", "fail=disk")
    assert main(["run", "my.yaml", "fail=interrupt"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (user / "runs").exists()


def test_check(user, capsys, monkeypatch):
    monkeypatch.chdir(user)
    assert main(["check", "my_study:Vector", "--control", "-1"]) == 2
    out, err = capsys.readouterr()
    assert "WRONG" in out and err.count("\n") == 1 and "(2,)" in err
    assert main(["check", "DoubleWell", "--position", "-1,0.5"]) == 0
    assert "WRONG" not in capsys.readouterr().out


def test_nothing_to_check(user, refused):
    assert "did you mean 'Vector'?" in refused("check", "my_study:Vectr")
    assert "there is no module 'nowhere'" in refused("check", "nowhere:Vector")
    assert "needs mean without a default" in refused("check", "Gaussian")


def test_list_and_help(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for name in ("Harmonic", "PiecewiseLinear", "Bath", "temperature, friction and mass"):
        assert name in listed
    assert main([]) == 0 and main(["--help"]) == 0 and main(["--version"]) == 0
    assert main(["run", "--help"]) == 0
    assert "key=value" in capsys.readouterr().out


def test_as_a_process(tmp_path):
    """The same through the interpreter, from another folder."""
    done = subprocess.run(
        [sys.executable, "-m", "thermojax", "run", str(CONFIG), "bath.mass=-2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        "thermojax: override bath.mass=-2: bath.mass = -2: expected a positive number, or a list\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_users_own_code(user, capsys, monkeypatch):
    monkeypatch.chdir(user)
    assert main(["run", "my.yaml", "potential.kind=Harmonic", "fail=bug"]) == 1
    out, err = capsys.readouterr()
    first, file, line = err.splitlines()
    assert out == "" and first == "thermojax: KeyError: 'nothing'"
    assert file.endswith('my_study.py", line 15, in run') and line.strip().startswith("return {}")
    assert not (user / "runs").exists()
    with pytest.raises(KeyError):
        main(["run", "my.yaml", "fail=bug", "--verbose"])
    assert "compiled programs: " in capsys.readouterr().err


def test_flags(user, refused, capsys, monkeypatch):
    assert "seed = 'x': expected a whole number" in refused("run", "my.yaml", "--seed", "x")
    assert "--device tpu: expected cpu or gpu" in refused("run", "my.yaml", "--device", "tpu")
    monkeypatch.chdir(user)
    arguments = ["run", "my.yaml", "potential.kind=Harmonic", "--seed", "7", "--x64", "--no-cache"]
    before = dict(os.environ)
    assert main([*arguments, "--device", "cpu", "--out", "out"]) == 0
    results = load(user / "out")
    assert results.attributes["seed"] == 7
    assert "precision: float64" in results["config"] and "seed: 7" in results["config"]
    assert dict(os.environ) == before


@pytest.mark.parametrize("wish", ["off", "some folder"])
def test_cache(tmp_path, monkeypatch, wish):
    import jax

    from thermojax.experiment.run.runner import computing

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THERMOJAX_CACHE", wish)
    settings: Any = jax.config  # made at run time
    before = settings.jax_compilation_cache_dir
    with computing("float64"):
        if wish == "off":
            assert not settings.jax_enable_compilation_cache
        else:
            assert before or settings.jax_compilation_cache_dir == "some folder"
    assert settings.jax_compilation_cache_dir == before and settings.jax_enable_compilation_cache


def test_a_damaged_cache_is_emptied_and_not_complained_of(tmp_path, monkeypatch, request):
    """As a run leaves it that is killed while it writes one of its compiled programs."""
    import jax

    from thermojax.experiment.run.runner import computing

    monkeypatch.setenv("THERMOJAX_CACHE", str(tmp_path / "cache"))
    own = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_compilation_cache_dir", None)  # that of the tests
    request.addfinalizer(lambda: jax.config.update("jax_compilation_cache_dir", own))
    kept, other = tmp_path / "cache" / "jit_run-0-cache", tmp_path / "cache" / "thesis"
    for words, stays in (
        ("of another kind", True),
        ("Error reading persistent compilation cache entry for 'jit_run': zlib.error", False),
    ):
        shown = pytest.warns(UserWarning, match=words) if stays else contextlib.nullcontext()
        with shown, computing("float64"):
            kept.write_text("")
            other.write_text("")
            warnings.warn(words, stacklevel=1)
        assert kept.exists() == stays and other.exists()
