"""Points of a sweep that share programs give what single runs give."""

import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from tests import resuming
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record, is_estimate

ROOT = Path(__file__).resolve().parents[2]


def same(a: Record, b: Record, tolerance: float):
    """Equal in form, and in every number to a relative tolerance of the largest."""
    assert list(a) == list(b) and a.units == b.units and a.axes == b.axes
    for name, one in a.items():
        if name in ("config", "versions"):
            continue
        if isinstance(one, Record):
            same(one, b[name], tolerance)
            continue
        values = [(x.value, x.error) if is_estimate(x) else (x,) for x in (one, b[name])]
        for u, v in zip(*values, strict=True):
            if np.asarray(u).dtype.kind in "OU":
                assert u == v
            else:
                np.testing.assert_allclose(u, v, rtol=tolerance, atol=tolerance, err_msg=name)


def small(folder: Path, **training) -> str:
    """A config of few paths and few steps."""
    (folder / "small.yaml").write_text(
        f"defaults: {ROOT}/configs/dragged_trap.yaml\nprecision: float64\ndt: 0.05\n"
        "protocol: {knots: 3}\nevaluation: {batch: 64, chunk: 32}\n"
        f"training: {training or 'null'}\n"
    )
    return str(folder / "small.yaml")


@pytest.mark.slow
def test_a_sweep_in_one_program(tmp_path, monkeypatch, capsys):
    """One point is refused, by a process of its own; the others are what single runs are."""
    monkeypatch.chdir(tmp_path)
    words = ["sweep", small(tmp_path), "seed=1", "--out", "o", "potential.stiffness=1,2"]
    assert main([*words[:-1], "potential.stiffness=1,2,-1"]) == 2
    out, err = capsys.readouterr()
    assert "2 points as one program" in err and "Traceback" not in out + err
    assert "1 of 3 points failed" in err and "potential.stiffness = -1" in err
    folders = [x for x in sorted((tmp_path / "o").iterdir()) if (x / "results.h5").exists()]
    assert len(folders) == 2 and not any((x / ".checkpoint").exists() for x in folders)
    assert all((x / "report.html").exists() for x in folders)
    assert len({float(load(x)["linear"]["work"].value) for x in folders}) == 2
    one = folders[-1]
    assert one.name == "seed-1,potential.stiffness-2"
    assert main(["run", words[1], "seed=1", "potential.stiffness=2", "--out", "alone"]) == 0
    runs = load(one), load("alone")
    # Compiled without optimizations, float32 noise rounds differently in one batch of both.
    same(*runs, 1e-6 if jax.config.values["jax_disable_most_optimizations"] else 1e-9)
    assert [run.attributes.pop("computed_together") for run in runs] == [2, 1]
    assert list(runs[0].attributes) == list(runs[1].attributes)
    # Again: only what is missing.
    assert main(words) == 0
    assert "2 of 2 points are there already" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_sweep_in_one_program_continues(tmp_path):
    """Killed and stopped in the middle of training, it ends in the numbers of single runs."""
    config = small(tmp_path, steps=400, batch=16)
    words = ["sweep", config, "potential.stiffness=1,2", "--out", "o"]
    begun = lambda: sorted((tmp_path / "o").glob("*/.checkpoint/01-training.ckpt"))
    for sent, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        old = {file: file.stat().st_mtime_ns for file in begun()}
        process = resuming.start(tmp_path, *words)
        new = lambda old=old: [f for f in begun() if f.stat().st_mtime_ns != old.get(f)]
        while process.poll() is None and len(new()) < 2:
            time.sleep(0.02)
        process.send_signal(sent)
        _, err = process.communicate(timeout=180)
        assert process.returncode == code, err
    assert err.endswith("interrupted; the same command again continues the sweep\n")
    process = resuming.start(tmp_path, *words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "2 points as one program" in err
    alone_ = str(tmp_path / "alone")
    assert main(["run", config, "potential.stiffness=2", "--out", alone_]) == 0
    same(load(tmp_path / "o" / "potential.stiffness-2"), load(alone_), 1e-6)
