"""What `init` and `run` say works as it stands: the starter study, continued from any folder."""

import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from tests import resuming
from thermojax.cli import main
from thermojax.experiment import Record, load
from thermojax.experiment.command_line import program
from thermojax.experiment.run import checkpoints
from thermojax.experiment.run.experiment import read_experiment
from thermojax.experiment.study.driven import Driven

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "a place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def stops(monkeypatch):
    """Ctrl-C at the first boundary of each sitting, as long as it says so."""
    asked = {"stop": True}
    save = checkpoints.PhaseCheckpoint.save

    def stopping(self, state, *, last=False):
        self.run.stop.requested = asked["stop"]
        save(self, state, last=last)

    monkeypatch.setattr(checkpoints.PhaseCheckpoint, "save", stopping)
    return asked


@pytest.fixture
def counts(monkeypatch):
    """The general study with nothing to compile: it counts to ten, and asks its own potential."""

    def run(self, key, progress):
        with progress.phase("counting", 10) as phase:
            state = phase.checkpoint.load(like={"n": 0}) or {"n": 0}
            for n in range(state["n"] + 1, 11):
                phase.checkpoint.save({"n": n}, last=n == 10)
        results = Record(linear=Record())
        energy = self.system.potential.energy(jnp.array([2.0]), 1.0)
        results["linear"].put("work", float(energy), "kT")
        return results

    monkeypatch.setattr(Driven, "run", run)


def forget(name):
    """As a new process would."""
    sys.modules.pop(name, None)


def last_words(capsys) -> list[str]:
    """The words of the command that was printed last, after the program's name."""
    _, err = capsys.readouterr()
    said = err.splitlines()[-1].strip()
    assert said.startswith(program() + " ")
    return shlex.split(said.removeprefix(program()))


def test_the_starter_study_goes_on_from_any_folder(here, stops, counts, capsys, monkeypatch):
    """From beside the config, from elsewhere, and from where another class has its name."""
    assert main(["init", "my demo"]) == 0
    other = here / "another"
    other.mkdir()
    (other / "my_potential.py").write_text("raise RuntimeError('not this one')\n")
    assert main(["run", "my demo/my demo.yaml"]) == 130
    for folder in (here / "my demo", Path("/"), here / "runs", other):
        forget("my_potential")
        monkeypatch.chdir(folder)
        words = last_words(capsys)
        assert words == ["resume", str(here / "runs" / "my demo")]
        if folder.name == "runs":
            words = ["resume", "my demo"]
        stops["stop"] = folder != other
        assert main(words) == (130 if stops["stop"] else 0)
    assert load(here / "runs" / "my demo")["linear"]["work"] == 2.0 * 9 - 2
    assert {file.name for file in (here / "runs" / "my demo").iterdir()} >= {"results.h5"}


def test_a_point_of_a_sweep_goes_on(here, stops, counts, capsys, monkeypatch):
    """By the command of its own, which it has said, and which needs no quotes for its folder."""
    assert main(["init", "demo"]) == 0
    words = ["run", "demo/demo.yaml", "seed=3", "--out", "runs/demo-sweep/seed-3"]
    assert main(words) == 130
    said = last_words(capsys)
    forget("my_potential")
    monkeypatch.chdir("/")
    stops["stop"] = False
    assert main(said) == 0
    monkeypatch.chdir(here)
    assert main(["sweep", "demo/demo.yaml", "seed=3"]) == 0
    assert "1 of 1 points are there already" in capsys.readouterr().err


def test_a_class_in_the_working_folder(here, stops, counts, capsys, monkeypatch):
    """The config lies elsewhere, and so does who continues."""
    assert main(["init", "demo"]) == 0
    (here / "configs" / "deep").mkdir(parents=True)
    (here / "demo" / "demo.yaml").rename(here / "configs" / "deep" / "demo.yaml")
    monkeypatch.chdir(here / "demo")
    assert main(["run", "../configs/deep/demo.yaml", "--out", "../out"]) == 130
    forget("my_potential")
    monkeypatch.chdir("/")
    stops["stop"] = False
    assert main(last_words(capsys)) == 0
    assert load(here / "out")["linear"]["work"] == 16.0


def test_a_class_of_the_repository_runs_from_a_copied_config(here, stops, capsys, monkeypatch):
    """Where thermojax is used from its repository, as after `pip install -e .`."""
    # A path without the repository, as a script's is.
    monkeypatch.setattr(sys, "path", [p for p in sys.path if Path(p).resolve() != ROOT])
    shutil.copy(ROOT / "configs" / "frontier_stiffness.yaml", here / "copied.yaml")
    assert read_experiment("copied.yaml").study
    shutil.copy(ROOT / "configs" / "logistic_breast_cancer.yaml", here / "data.yaml")
    assert main(["run", "data.yaml", "bath.temperature=2"]) == 2  # its table was found
    assert "expected 1, since energies" in capsys.readouterr().err


def test_the_device_is_remembered(here, stops, counts, capsys):
    from thermojax.experiment.run.folder import device_of

    assert main(["init", "demo"]) == 0
    assert main(["run", "demo/demo.yaml", "--out", "out", "--device", "cpu"]) == 130
    assert device_of("out") == "cpu"
    stops["stop"] = False
    capsys.readouterr()
    assert main(["resume", "out"]) == 0


@pytest.mark.slow
def test_killed_as_a_process_from_three_folders(tmp_path):
    """The same with Ctrl-C, a shell, and what was printed, word by word."""
    say = lambda folder, words: subprocess.Popen(
        words, shell=True, cwd=folder, env=resuming.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    begun = resuming.start(tmp_path, "init", "my demo")
    assert "thermojax run 'my demo/my demo.yaml'" in begun.communicate()[0]
    small = "training.steps=100000 training.batch=8"
    words = f"exec {shlex.quote(sys.executable)} -m thermojax run 'my demo/my demo.yaml' {small}"
    kept = tmp_path / "runs" / "my demo" / ".checkpoint" / "01-training.ckpt"
    for folder in (tmp_path, tmp_path / "my demo", Path("/"), Path.home()):
        old = kept.stat().st_mtime_ns if kept.exists() else 0
        process = say(folder, words)
        while process.poll() is None and (not kept.exists() or kept.stat().st_mtime_ns == old):
            signal.sigtimedwait([], 0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        words = "exec " + err.splitlines()[-1].strip()
