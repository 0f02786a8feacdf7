"""Studies of a device's error, at a reduced size: measured beside predicted."""

from pathlib import Path

import numpy as np
import pytest

import thermojax as tj
from experiments.ergodic_or_ensemble import ErgodicOrEnsemble
from experiments.imperfect_device import ImperfectDevice
from tests import resuming
from thermojax.cli import main
from thermojax.experiment import load

ROOT = Path(__file__).resolve().parents[2]


def run(name, folder, *overrides):
    assert main(["run", str(ROOT / "configs" / name), *overrides, "--out", str(folder)]) == 0
    return load(folder), (folder / "report.html").read_text(encoding="utf-8")


def deviations(record, law):
    value, error = (np.asarray(getattr(record["error"], name)) for name in ("value", "error"))
    return np.abs(value - record[law]) / error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:imperfections change A")
def test_imperfect_device(tmp_path):
    small = ["dimension=3", "times=[3,30]", "devices=96", "pool=192", "copies=[1,4]"]
    results, page = run("imperfect_device.yaml", tmp_path / "out", *small)
    for name in ImperfectDevice.columns:
        assert np.max(deviations(results[name], "predicted")) < 4.5
    for name in ("copies", "extrapolated", "nearest", "random"):
        # Means of four are 48 and 16: their errors are themselves uncertain.
        assert np.max(deviations(results["mitigation"][name], "predicted")) < 6
    assert results["perfect"]["floor"] < 1e-12 < results["components"]["floor"]
    assert 'id="through_time"' in page and 'id="mitigation"' in page
    assert "conjugate gradients reach" in page


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:imperfections change A")
def test_what_an_interrupted_run_has_is_kept(tmp_path, monkeypatch):
    """Stopped in either phase it goes on to the same numbers, and repeats nothing."""
    monkeypatch.setenv("THERMOJAX_CHECKPOINT_SECONDS", "0")
    solve, done = tj.linalg.solve, []

    def counted(*arguments, **options):
        if len(done) in stops:
            stops.remove(len(done))
            raise KeyboardInterrupt
        done.append(None)
        return solve(*arguments, **options)

    monkeypatch.setattr(tj.linalg, "solve", counted)
    small = ["dimension=2", "times=[3,6]", "devices=8", "pool=12", "copies=[1]", "time=3"]
    file, stops = str(ROOT / "configs" / "imperfect_device.yaml"), set()
    assert main(["run", file, *small, "--out", str(tmp_path / "whole")]) == 0
    total, stops = len(done), {4, 12}
    done.clear()
    assert main(["run", file, *small, "--out", str(tmp_path / "out")]) == 130
    assert main(["resume", str(tmp_path / "out")]) == 130
    assert main(["resume", str(tmp_path / "out")]) == 0
    assert len(done) == total and not stops
    resuming.assert_identical(load(tmp_path / "whole"), load(tmp_path / "out"))


def test_ergodic_or_ensemble(tmp_path):
    small = ["dimension=2", "times=[20]", "trajectories=[1,4]", "pool=800"]
    results, page = run("ergodic_or_ensemble.yaml", tmp_path / "out", *small)
    assert np.max(deviations(results["time 20"], "law")) < 4.5
    assert results["time 20"]["safe"][0] > results["time 20"]["law"][0]
    assert 'id="mixes"' in page


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (ImperfectDevice, {"times": [3.0, 1.0]}, "times = .* ascending"),
        (ImperfectDevice, {"copies": [1, 100]}, r"copies = \[1, 100\]: expected numbers of 1"),
        (ImperfectDevice, {"flicker_band": [1.0]}, "flicker_band has 1 numbers"),
        (ImperfectDevice, {"flicker_band": [1.0, 0.1]}, "flicker_band = .* low < high"),
        (ErgodicOrEnsemble, {"times": []}, r"times = \[\]: expected one to 4"),
        (ErgodicOrEnsemble, {"trajectories": [1, 100]}, "trajectories = .* pool / 16"),
    ],
)
def test_refused_settings(kind, given, words):
    valid = {"dimension": 3, "condition": 10.0, "signal": 3.0, "times": [1.0, 3.0], "pool": 192}
    if kind is ErgodicOrEnsemble:
        valid |= {"trajectories": [1, 2]}
    else:
        valid |= {
            "component_error": 0.01, "input_bits": 8, "flicker_noise": 0.1,
            "flicker_band": [0.1, 1.0], "drift": 1e-3, "devices": 8, "large_error": 0.05,
            "few_bits": 6, "time": 3.0, "copies": [1, 2],
        }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        kind(**valid | given)
