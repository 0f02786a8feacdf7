"""The study of driven inversion: nothing below the least, transport on it, starts by the law."""

from pathlib import Path

import numpy as np
import pytest

import thermojax as tj
from experiments.slow_mode_start import starts, waited
from tests import resuming
from thermojax.cli import main
from thermojax.experiment.results.store import load
from thermojax.experiment.run.experiment import read_experiment
from thermojax.experiment.run.runner import run

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "driven_inversion.yaml"


def test_the_time_of_a_single_mode():
    """e^-t = 1/1000, and half of it for the square."""
    assert waited(lambda t: np.exp(-t), 1e-3) == pytest.approx(np.log(1e3), rel=1e-9)
    assert waited(lambda t: np.exp(-2 * t), 1e-3) == pytest.approx(np.log(1e3) / 2, rel=1e-9)
    assert waited(lambda t: 0.5 * np.exp(-t), 1.0) == 0


def test_starts_of_a_small_matrix():
    """As many products as dimensions leave nothing to wait for; the plain start is the law."""
    import jax

    random = np.random.default_rng(0)
    values = np.array([1.0, 3.0, 10.0, 30.0])
    vectors = np.linalg.qr(random.normal(size=(4, 4)))[0]
    record = starts(values, vectors, b := random.normal(size=4), [2, 4], jax.random.key(0))
    assert record["slow_solve"][1] == record["conjugate_solve"][1] == record["slow_inverse"][1] == 0
    answer, t = (vectors.T @ b) / values, record["plain_solve"]
    left = np.linalg.norm(np.exp(-values * t) * answer) / np.linalg.norm(answer)
    assert left == pytest.approx(1e-3, rel=1e-6)
    assert record["plain"][0] == pytest.approx(1)


@pytest.mark.slow
def test_a_small_run(tmp_path):
    small = ["delays=[0.5,2]", "weights=[10]", "trajectories=2000", "training_steps=40",
             "time_steps=200", "slow_modes.dimension=40", "slow_modes.products=[8,40]"]  # fmt: skip
    folder = run(read_experiment(CONFIG, small), tmp_path / "out")
    results = load(folder)
    for name in results.attributes["columns"]:
        record = results[name]
        for i in range(2):
            spent, least = record[f"dissipation_{i}"], record[f"least_{i}"]
            assert spent >= least * (1 - 1e-6) and spent >= record[f"bound_{i}"] * (1 - 1e-6)
            off = float(record[f"work_{i}"].value) - record[f"exact_work_{i}"]
            # The step adds its own error, of second order in time_steps.
            assert abs(off) < 4.5 * float(record[f"work_{i}"].error) + 0.03
            if name == "transport":
                assert spent == pytest.approx(least, rel=1e-6)
            if name == "trained":
                assert spent < 1.2 * least
    curves = results["curves"]
    assert np.all(np.diff(curves["least"]) < 0)
    page = (folder / "report.html").read_text()
    for figure in ("covariance", "energy_delay_deficiency", "slow_mode_start"):
        assert f'id="{figure}"' in page
    assert "Cholesky" in page


@pytest.mark.slow
def test_what_an_interrupted_run_has_is_kept(tmp_path, monkeypatch):
    """Stopped while it trains and while it steers, it goes on to the same numbers."""
    monkeypatch.setenv("THERMOJAX_CHECKPOINT_SECONDS", "0")
    small = ["dimension=3", "delays=[0.5,2]", "weights=[10]", "trajectories=200", "time_steps=20",
             "training_steps=3", "slow_modes.dimension=10", "slow_modes.products=[4,10]",
             "slow_modes.conditions=[10]"]  # fmt: skip
    called = {"trained_steering": 0, "simulate": 0}
    stops = set()

    def counted(name, function):
        def call(*arguments, **options):
            if (name, called[name]) in stops:
                stops.remove((name, called[name]))
                raise KeyboardInterrupt
            called[name] += 1
            return function(*arguments, **options)

        return call

    for place, name in ((tj.linalg, "trained_steering"), (tj, "simulate")):
        monkeypatch.setattr(place, name, counted(name, getattr(place, name)))
    assert main(["run", str(CONFIG), *small, "--out", str(tmp_path / "whole")]) == 0
    total = dict(called)
    called.update(trained_steering=0, simulate=0)
    stops |= {("trained_steering", 1), ("simulate", 3)}
    assert main(["run", str(CONFIG), *small, "--out", str(tmp_path / "out")]) == 130
    assert main(["resume", str(tmp_path / "out")]) == 130
    assert main(["resume", str(tmp_path / "out")]) == 0
    assert called == total and not stops
    resuming.assert_identical(load(tmp_path / "whole"), load(tmp_path / "out"))
