"""Two laws of inference: time and drawn energy against the logarithm of the dimension."""

from pathlib import Path

import numpy as np
import pytest

from experiments.posterior_time import PosteriorTime
from thermojax.cli import main
from thermojax.experiment import load

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "posterior_time.yaml"
DIMS = [1, 128, 16384]


def bisected(falls, goal):
    """Where a falling function of time comes to a goal."""
    low, high = 0.0, 10.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if falls(middle) > goal else (low, middle)
    return low


def closed_form(dim, shift):
    """(time, work, heat, drawn energy), per dimension: exponentials of the rates 4 and 8."""

    def kl(t):
        x, m = 3 * np.exp(-8 * t), shift * np.exp(-4 * t)
        return 0.5 * dim * (x - np.log1p(x) + 4 * m**2)

    time = bisected(kl, 0.01)
    y = shift * 4 / 3
    work = 0.5 * 3 * (1 + y**2) + 0.5 * np.log(2 * np.pi / 3)
    variance, mean = 0.25 + 0.75 * np.exp(-8 * time), shift * (1 - np.exp(-4 * time))
    energy = lambda v, m: 0.5 * (m**2 + v) + 1.5 * ((y - m) ** 2 + v)  # but for constants
    heat = energy(1.0, 0.0) - energy(variance, mean)
    drawn = time + 4 * shift**2 * (time - (1 - np.exp(-4 * time)) / 4)
    return time, work, heat, drawn


@pytest.mark.slow
def test_both_laws_from_one_config(tmp_path, capsys):
    """R7: .0625 and .125 per unit of ln d; the energy follows with its own slope."""
    assert main(["run", str(CONFIG), f"dims={DIMS}", "--out", str(tmp_path)]) == 0
    results = load(tmp_path)
    for name, shift, slope, energy_slope in (
        ("variance alone", 0.0, 0.0625, 0.0625),
        ("mean shift", 1.0, 0.125, 0.625),
    ):
        record = results[name]
        found = zip(*(record[x] for x in ("time", "work", "heat", "drawn")), strict=True)
        for dim, numbers in zip(DIMS, found, strict=True):
            # The drawn energy comes of a mean that was tabulated, in steps of 1/256 of the run.
            assert numbers == pytest.approx(closed_form(dim, shift), rel=2e-5), (name, dim)
        assert record["slope"] == pytest.approx(slope, rel=0.02)
        assert record["energy_slope"] == pytest.approx(energy_slope, rel=0.02)
        assert record["slope_law"] == slope and record["energy_slope_law"] == energy_slope
    said = capsys.readouterr().out
    assert "do not grow" in said and "off the derived one" not in said
    page = (tmp_path / "report.html").read_text()
    for figure in ("posterior_time", "posterior_energy"):
        assert f'id="{figure}"' in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(dims=[4, 1]), "dims = "),
        (dict(posterior_precision=0.5), "posterior_precision = 0.5"),
        (dict(goal=3.0), "goal = 3"),
    ],
)
def test_settings_that_make_no_sense(change, words):
    given = dict(dims=[1, 4], goal=0.01, prior_precision=1.0, posterior_precision=4.0, shift=1.0)
    with pytest.raises(ValueError, match=words):
        PosteriorTime(**(given | change))
