"""The study of the talk's figure: the table of REFERENCE R11, from paths and from the density."""

import re
from pathlib import Path

import numpy as np
import pytest

from experiments.two_pictures import largest_of
from thermojax.experiment.results.store import load
from thermojax.experiment.run.experiment import read_experiment
from thermojax.experiment.run.runner import run

ROOT = Path(__file__).resolve().parents[2]

CONFIG = ROOT / "configs" / "logistic_1d.yaml"
# t, beta W, Q, F, F_eq, KL
TABLE = [
    (0.25, 2.16828, 0.17523, 2.04440, 1.24702, 0.79738),
    (0.5, 3.98542, 0.99140, 3.20441, 2.04982, 1.15459),
    (1.0, 6.2241, 3.2574, 3.7140, 3.4725, 0.2415),
    (2.0, 6.2241, 3.6744, 3.4751, 3.4725, 0.00252),
]
COLUMNS = ("work", "heat", "free_energy", "equilibrium_free_energy", "divergence")


def test_the_largest_of_many():
    """The median of max |z|: of 20,000 drawn sets of 50, and in closed form for one."""
    z = np.abs(np.random.default_rng(0).normal(size=(20_000, 50))).max(axis=1)
    assert largest_of(50) == pytest.approx(np.median(z), abs=0.02)
    assert largest_of(1) == pytest.approx(0.67449, abs=1e-5) and largest_of(0) == 0


def compared(results, tolerance):
    density, paths = (results[name]["through"] for name in ("density", "paths"))
    for t, *row in TABLE:
        at = int(np.argmin(np.abs(density["time"] - t)))
        for name, value in zip(COLUMNS, row, strict=True):
            assert density[name][at] == pytest.approx(value, abs=tolerance), (t, name)
            estimate = paths[name]
            off = abs(estimate.value[at] - value) / max(estimate.error[at], 1e-12)
            assert off < 4, (t, name, off)


def test_a_small_run(tmp_path):
    """Coarse in time and space: the density within a percent, the paths within 4 errors."""
    small = ["batch=2000", "cells=200", "dt=0.01", "snapshots=9"]
    folder = run(read_experiment(CONFIG, small), tmp_path / "out")
    compared(results := load(folder), 0.02)
    # How far, of how many comparisons, and what is to be expected of so many.
    paths = results["paths"]
    assert paths["comparisons"] > 20 and 2 < paths["expected_deviation"] < 4
    said = rf"{paths['largest_deviation']:.1f} standard errors, the largest of "
    assert re.match(rf"{said}{paths['comparisons']} \(\d\.\d expected of", paths["deviation"])
    page = (folder / "report.html").read_text()
    assert 'id="two_pictures"' in page and "Fokker-Planck" in page


@pytest.mark.slow
def test_the_shipped_run_reproduces_the_table(tmp_path):
    """REFERENCE R11: the density to 1e-4, the paths along the whole time axis within 4 errors."""
    results = load(run(read_experiment(CONFIG), tmp_path / "out"))
    compared(results, 1e-4)
    for name in COLUMNS:
        estimate, exact = (results[c]["through"][name] for c in ("paths", "density"))
        moving = estimate.error > 1e-9
        assert np.all(np.abs(estimate.value - exact)[moving] < 4 * estimate.error[moving]), name
