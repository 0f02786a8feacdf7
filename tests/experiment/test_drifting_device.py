"""The studies of Lyapunov equations and exponentials: their law, and what a small run stores."""

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm

from experiments.drifting_device import Watching, mean_square
from thermojax.experiment.results.report import answer
from thermojax.experiment.results.store import load
from thermojax.experiment.run.experiment import read_experiment
from thermojax.experiment.run.runner import run
from thermojax.experiment.study.base import study_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = [
    "matrix.dim=3",
    "watching.times=[32, 64]",
    "watching.pictures=[64]",
    "watching.devices=4",
    "answer.rtol=0.3",
]


def test_the_law_of_the_error():
    """REFERENCE section 5: c = 2.4681 of many samples, and by hand of a single one."""
    decay = expm(-np.array([[1.0, -0.5], [0.3, 0.8]]))
    assert np.sqrt(1e6 * mean_square(decay, np.eye(2), 10**6, lag=1)) == pytest.approx(
        2.4681, abs=1e-4
    )
    assert mean_square(decay, np.eye(2), 1, lag=1) == pytest.approx(4 + np.sum(decay**2))
    assert mean_square(decay, np.eye(2), 1, lag=0) == pytest.approx(4 + 2)


@pytest.mark.parametrize("name", ["lyapunov", "exponential"])
def test_a_small_run(tmp_path, name):
    folder = run(read_experiment(CONFIGS / f"{name}.yaml", SMALL), tmp_path / "out")
    results = load(folder)
    assert results["pictures"]["value"].shape == (1, 3, 3)
    error, law = results["convergence"]["error"], results["convergence"]["law"]
    at = np.interp(64, results["convergence"]["law_time"], law)
    assert abs(error.value[-1] - at) < 5 * max(error.error[-1], at / np.sqrt(8 * 9))
    assert results["device"]["relative_error"] < 0.3
    assert results["device"]["products"] > 100 * results["digital"]["products"]
    page = (folder / "report.html").read_text()
    assert 'id="pictures"' in page and 'id="convergence"' in page and "The time of a device" in page
    # What was asked for, in a sentence; an exact power without an error; no eps as a measurement.
    said = " ".join(answer(results, study_of(results)[0]).split())
    assert "asked for: 0.3 with probability 0.9" in said and "to rounding by" in said
    assert "± 0 " not in said and "relative_error" not in results["digital"]
    assert "The diamond is the answer" in page and "scatter of the squares" in page


def test_pictures_are_of_times():
    with pytest.raises(ValueError, match=r"pictures = \[3.0\]: expected some of times"):
        Watching([1.0, 2.0], [3.0], 4)
    with pytest.raises(ValueError, match=r"times = \[2.0, 1.0\]: expected positive times"):
        Watching([2.0, 1.0], [1.0], 4)
