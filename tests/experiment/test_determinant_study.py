"""The study of determinants, at a reduced size."""

from pathlib import Path

import numpy as np
import pytest

from thermojax.cli import main
from thermojax.experiment import load

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "logdet.yaml"
SMALL = ["matrix.dim=4", "matrix.condition=4", "times=[3,12]", "conditions=[4,8]"]
SMALL += ["trajectories=512", "devices=32", "repetitions=8", "steps_time=3"]


@pytest.mark.parametrize(
    "dynamics", ["overdamped", pytest.param("underdamped", marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_logdet(tmp_path, capsys, dynamics):
    settings = [*SMALL, "steps_trajectories=64", f"dynamics={dynamics}"]
    assert main(["run", str(CONFIG), *settings, "--out", str(tmp_path / "out")]) == 0
    results, said = load(tmp_path / "out"), capsys.readouterr().out
    exact = -np.log(4) * 2  # eigenvalues in equal ratios from 1/4 to 1
    for column in ("linear", "geodesic", "trained", "device"):
        found = results[column]["log_determinant"]
        assert abs(float(found.value) - exact) < 4.5 * float(found.error)
    lost = results["dissipation"]
    assert np.all(lost["trained"] <= lost["geodesic"] + 1e-12)
    assert np.all(lost["trained"][:, 1] < lost["trained"][:, 0])
    law, error = results["convergence"]["law"], results["convergence"]["error"]
    assert np.all(np.abs(error.value - law) < 4.5 * error.error)
    assert "factors the matrix exactly" in said and "Cholesky" in said
    assert "works" in (tmp_path / "out" / "report.html").read_text()
