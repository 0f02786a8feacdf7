"""The benchmark of energy-based models at a tiny size: equal trainings, and both tables."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import energy_models
from benchmarks.energy_models import Case, field_samples, main, ours, plain, spins_of

TINY = Case(2, 8, 64, 3)


def test_both_trainings_begin_as_the_same():
    """Two clouds of one model: losses of like size, of which the first is not trained yet."""
    data = TINY.data()
    assert data.shape == (4096, 2) and data.dtype == np.float32
    # Clouds at -1 and 1 on all axes at once, of width .5: covariance 1 off the diagonal.
    np.testing.assert_allclose(np.cov(data.T), [[1.25, 1], [1, 1.25]], atol=0.1)
    for way in (ours, plain):
        losses = np.asarray(way(TINY, 4)())
        assert losses.shape == (4,) and np.all(np.isfinite(losses)) and np.ptp(losses) > 0


def test_magnetization_by_the_field_is_that_of_enumeration():
    """<m^2> of a 2 x 2 lattice at beta = .2, 16 states, within 4.5 errors of its chains."""
    model = spins_of(2, 0.2)
    found = np.asarray(field_samples(model, 64, 200)(jax.random.key(0)))[50:] ** 2
    states = 2.0 * np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4) - 1
    coupling = np.asarray(model.coupling)
    weight = np.exp(0.1 * np.einsum("ki,ij,kj->k", states, coupling, states))
    exact = np.sum(weight * states.mean(1) ** 2) / weight.sum()
    mean = found.mean(0)
    assert abs(mean.mean() - exact) < 4.5 * mean.std() / 8


@pytest.mark.slow
def test_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(energy_models, "CASES", (TINY,))
    words = ["--steps", "3", "--rounds", "1", "--betas", ".2", "--side", "2", "--chains", "4"]
    files = ["--report", str(tmp_path / "a.md"), "--json", str(tmp_path / "a.json")]
    main([*words, "--samples", "20", *files])
    rows = json.loads((tmp_path / "a.json").read_text())
    assert rows["a"][0]["ours / peer"] > 0 and rows["b"][0]["samples / s"] > 0
    assert (tmp_path / "a.md").read_text() in capsys.readouterr().out
    assert jnp.isfinite(rows["b"][0]["effective / s"])
