"""`thermojax init` writes what runs as it is, and never over anything."""

import os
import sys
from typing import Any

import pytest

from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.run.experiment import read_experiment

SMALL = ["training=null", "evaluation.batch=64", "evaluation.chunk=64", "dt=0.1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_potential", None)
    sys.path[:] = [p for p in sys.path if str(tmp_path) not in p]


def refused(capsys, *arguments):
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_starter_runs_as_it_is(here, capsys):
    assert main(["init", "my study é"]) == 0
    said = capsys.readouterr().out
    assert "thermojax run 'my study é/my study é.yaml'" in said
    config = here / "my study é" / "my study é.yaml"
    study: Any = read_experiment(config).study  # at its full size
    assert study.training.steps == 50
    assert main(["run", str(config), *SMALL]) == 0
    assert load(here / "runs" / "my study é")["linear"]["paths_total"] == 64
    capsys.readouterr()
    os.chdir(here / "my study é")
    assert main(["check", "my_potential:MyPotential", "--position", "0.5"]) == 0


def test_nothing_is_replaced(here, capsys):
    assert main(["init", "one"]) == 0
    before = (here / "one" / "one.yaml").read_text()
    capsys.readouterr()
    assert "holds files already" in refused(capsys, "init", "one")
    assert (here / "one" / "one.yaml").read_text() == before
    (here / "file").write_text("")
    assert "is a file already" in refused(capsys, "init", "file")
    assert "cannot be written" in refused(capsys, "init", "file/inside")
    assert "a name for a new folder" in refused(capsys, "init", "..")
    assert "NAME" in refused(capsys, "init")
    assert sorted(p.name for p in here.iterdir()) == ["file", "one"]


def test_nothing_half_written(here, capsys, monkeypatch):
    real = open

    def fail(file, *rest, **options):
        if str(file).endswith("my_potential.py"):
            raise OSError("no space left on device")
        return real(file, *rest, **options)

    monkeypatch.setattr("builtins.open", fail)
    assert "no space left" in refused(capsys, "init", "a/b")
    assert list(here.iterdir()) == []
