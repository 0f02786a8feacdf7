"""The shipped study of a circuit, at a reduced size, against the inverse and the first law."""

from pathlib import Path

import numpy as np
import pytest

from thermojax.cli import main
from thermojax.experiment import load

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "circuit.yaml"


@pytest.mark.slow
def test_eight_cells(tmp_path, capsys):
    assert main(["run", str(CONFIG), "samples=400", "--out", str(tmp_path / "out")]) == 0
    results = load(tmp_path / "out")
    found, device = results["inverse"], results["device"]
    value, error = found["value"].value, found["value"].error
    assert np.all(np.abs(value - found["law"]) < 4.5 * error)
    assert 0 < device["component_error"] < 0.01 < device["relative_error"] < 0.4
    # What the resistors have not got is in 16 nodes, twice k_B T / 2 each.
    kept = device["injected"] - device["heat"].value
    energy = 400 * 16 * (1.380649e-23 * 300 + 1e-14 * 1e3 / 2)
    assert abs(kept - energy) < 4.5 * device["heat"].error + 1e-3 * energy
    said = capsys.readouterr().out
    assert "duty cycle" in said and "joules" not in said and "2e+03 J" not in said
