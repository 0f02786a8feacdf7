"""The shipped studies of linear algebra, at a reduced size, against what is known of them."""

from pathlib import Path

import numpy as np
import pytest

from experiments.device_scaling import averaging_time, device_of, powers
from experiments.linear_algebra_figures import vectors
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def run(name, folder, *overrides):
    assert main(["run", str(CONFIGS / name), *overrides, "--out", str(folder)]) == 0
    return load(folder)


def off(convergence):
    """How many standard errors the found errors are from the law."""
    found = convergence["error"]
    return (found.value - convergence["law"]) / found.error


def test_solve(tmp_path, capsys):
    results = run("solve.yaml", tmp_path / "out", "times=[10,100]")
    target = np.linalg.solve(2 * np.eye(8) + 0.5 * (np.eye(8, k=1) + np.eye(8, k=-1)), np.ones(8))
    np.testing.assert_allclose(results["pictures"]["target"], target, rtol=1e-9)
    assert np.all(np.abs(off(results["convergence"])) < 4)
    device = results["device"]
    # REFERENCE: 1,046 on one device, relaxation time 1 / 1.0603
    assert device["averaging"] * device["relaxation"] * 16 == pytest.approx(1046, rel=2e-2)
    assert device["relative_error"] < 0.2 and results["digital"]["products"] == 3
    said = capsys.readouterr().out
    assert said.count("idle energy") == said.count("products of A with a vector  ") == 1
    assert "with a relative error of" in said and "one relaxation time" in said


def test_a_legend_is_not_cut():
    record = Record()
    record.put("time", [3, 30, 300, 3000])
    record.put("value", np.zeros((4, 8)))
    record.put("target", np.zeros(8))
    figure = vectors(record)
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().x1 < figure.bbox.x1


@pytest.mark.slow
def test_inverse(tmp_path):
    # The squares of few entries are far from normal: a spread of 1.3 times their mean.
    reduced = "times=[10,100]", "matrix.dim=4", "repetitions=300"
    results = run("inverse.yaml", tmp_path / "out", *reduced)
    assert np.all(np.abs(off(results["convergence"])) < 4)
    assert results["pictures"]["value"].shape == (2, 4, 4)


@pytest.mark.slow
def test_scaling(tmp_path):
    """Powers of random b without logarithms; runs of the device agree with the law."""
    reduced = "dims=[4,64,256]", "conditions=[2,10]", "wishart=[16]", "draws=2", "repetitions=100"
    results = run("device_scaling.yaml", tmp_path / "out", *reduced)
    overdamped, underdamped = results["overdamped"], results["underdamped"]
    assert abs(overdamped["solve_dim"].value - 1) < 0.01
    assert abs(overdamped["solve_scaled_dim"].value) < 0.02
    assert abs(underdamped["solve_condition"].value + 0.5) < 0.02
    found = results["checked"]["squared_error"]
    assert len(found.value) == 8 and np.all(np.abs(found.value - 1) < 4.5 * found.error)


def test_time_of_an_inverse():
    """The quadratic equation against the double sum, R3's matrix: E|C - A^-1|^2 by quadrature."""
    values = 2 + np.cos(np.arange(1, 9) * np.pi / 9)
    device = device_of(np.sort(values), "overdamped")
    time = averaging_time("inv", np.sort(values), device, 0.1)
    i, j = np.meshgrid(values, values)
    s = np.linspace(0, 60, 60001)[:, None, None]  # the memory is e^-120 at the end
    memory = np.trapezoid((1 - s / time) * np.exp(-(i + j) * s), s[:, 0, 0], axis=0)
    mean_square = np.sum(
        (1 + np.eye(8)[np.ix_(*(np.arange(8),) * 2)]) / (i * j) * 2 / time * memory
    )
    assert mean_square == pytest.approx(0.01 * np.sum(1 / values**2), rel=1e-5)


def test_powers_are_found():
    dims, conditions = np.repeat([4, 16, 64], 3), np.tile([2, 10, 50], 3)
    (p, _), (q, _) = powers(dims, conditions, 7 * dims**0.5 * conditions**1.5)
    assert (p, q) == (pytest.approx(0.5), pytest.approx(1.5))
    assert np.isnan(powers(dims, np.full(9, 2), dims.astype(float))[1][0])
