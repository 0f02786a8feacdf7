"""The studies of what uses a solver, at a reduced size: natural gradients, programs in a box."""

from pathlib import Path

import numpy as np
import pytest

from experiments.natural_gradient import verdict
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def run(name, folder, *overrides):
    assert main(["run", str(CONFIGS / name), *overrides, "--out", str(folder)]) == 0
    return load(folder)


@pytest.mark.slow
def test_a_program_in_a_box(tmp_path, capsys):
    settings = ["dim=3", "condition=3", "temperatures=[0.05]", "time=20", "pull=2.0"]
    results = run("box_qp.yaml", tmp_path, *settings)
    found = results["kT = 0.05"]
    exact = np.asarray(results["problem"]["minimum"])
    assert found["distance"] == pytest.approx(
        np.linalg.norm(np.asarray(found["value"].value) - exact), rel=1e-3
    )
    assert found["distance"] < 4.5 * found["noise"] < found["warm"]
    assert found["distance"] <= found["bound"]
    assert 1 < found["lbfgsb"] < 30 < found["products"]
    assert "L-BFGS-B comes as near" in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text().count("<figure") == 2


@pytest.mark.slow
def test_natural_gradients_of_a_network(tmp_path, capsys):
    training = ["products=300", "steps=[5]", "overdamped_steps=5", "rates=[0.1]",
                "adam_rates=[0.1]", "goal=0.3"]  # fmt: skip
    settings = ["network.hidden=2", "network.copies=2", *(f"training.{x}" for x in training)]
    results = run("natural_gradient.yaml", tmp_path, *settings)
    assert list(results.attributes["columns"]) == [
        "Adam", "Cholesky", "conjugate gradients (5 steps)", "device (5 steps)",
        "overdamped (5 steps)",
    ]  # fmt: skip
    for name in results.attributes["columns"]:
        column = results[name]
        curve = np.asarray(column["curve"])
        assert len(curve) == column["updates"] + 1
        assert column["updates"] == max(1, 300 // column["products_of_update"])
        assert curve[-1] < curve[0]
    # A weight costs a product: 31 x 2 + 3.
    assert results["Cholesky"]["products_of_update"] == 66
    assert float(results["device (5 steps)"]["heat"].value) > 0
    said = capsys.readouterr().out
    assert "mean loss" in said and "inf" not in said


def test_who_reached_a_loss():
    results = Record()
    counts = {"Adam": 1345, "Cholesky": "not reached", "device (5 steps)": 536}
    for name, count in counts.items():
        results[name] = Record()
        results[name].put("to_goal", count, "products")
    results.attributes.update(goal=0.034, columns=list(results))
    assert verdict(results) == (
        "Products until the mean loss is 0.034, fewest first: device (5 steps): 536; Adam: 1,345. "
        "Cholesky did not reach it."
    )
