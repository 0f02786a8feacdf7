"""The study of energies of digits at a tiny size, what it doubts, and what it refuses."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from experiments.digits import digits, held_out
from experiments.energy_model import EnergyModel, Training, drawn
from experiments.energy_model_figures import doubtful, in_words
from experiments.image_rows import framed
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "energy_model.yaml"
TINY = ["width=8", "walkers=64", "witnesses=32", "samples=40", "ramp=20", "moves=2"]


@pytest.mark.slow
def test_a_small_energy_from_its_config(tmp_path, capsys):
    """Before it has learned much, its likelihood is that of the Gaussian that it tilts."""
    given = [*TINY, "training.steps=8", "training.batch=32", "training.learning_rate=1e-6"]
    given += ["methods=[nonequilibrium,scores]", "precision=float64"]
    assert main(["run", str(CONFIG), *given, "--out", str(tmp_path)]) == 0
    results, said = load(tmp_path), capsys.readouterr().out
    found = digits("digits")
    apart = held_out(found)
    key = jax.random.split(jax.random.key(0), 6)[0]
    images = found.images + 0.3 * np.asarray(jax.random.normal(key, found.images.shape))
    law = np.cov(images[~apart].T), images[~apart].mean(0)
    off = images[apart] - law[1]
    log_p = -0.5 * np.einsum("ki,ij,kj->k", off, np.linalg.inv(law[0]), off)
    exact = log_p.mean() - 0.5 * np.linalg.slogdet(2 * np.pi * law[0])[1]
    assert float(results["judge"]["gaussian"].value) == pytest.approx(exact, rel=1e-6)
    for name in ("nonequilibrium", "scores"):
        likelihood = results[name]["likelihood"]
        assert abs(float(likelihood.value) - exact) < 0.2 + 4.5 * float(likelihood.error)
    assert "likelihood_witnessed" not in results["scores"]
    assert results["nonequilibrium"]["moments"].shape == (5, 12, 64)
    # Upper halves are as they were.
    rows = np.asarray(results["nonequilibrium"]["inpainted"])
    np.testing.assert_array_equal(rows[1][:, :32], rows[2][:, :32])
    assert (
        "the Gaussian has" in said and (tmp_path / "report.html").read_text().count("<figure") == 3
    )


def column(**changes) -> Record:
    one = lambda value, error=0.01: tj.Estimate(value, error, 100)
    record = Record(
        likelihood=one(-48.0), likelihood_witnessed=one(-48.02), recognized=one(0.9),
        likeness=one(0.8), filled=one(0.7), half_empty=one(0.6), **changes,
    )  # fmt: skip
    record["training"] = Record()
    record["training"].attributes["stopped"] = "all 8 steps done"
    return record


def results_of(record: Record) -> Record:
    results = Record()
    results["judge"] = Record(
        real_recognized=0.98, real_likeness=0.87, gaussian=tj.Estimate(-51.0, 0.1, 100)
    )
    results["persistent"] = record
    results.attributes["columns"] = ["persistent"]
    return results


def test_doubts_in_words():
    assert doubtful(results_of(column())) == []
    record = column()
    record["likelihood_witnessed"] = tj.Estimate(-49.0, 0.05, 100)
    record["likeness"] = tj.Estimate(0.95, 0.01, 100)
    record["recognized"] = tj.Estimate(0.3, 0.01, 100)
    record["training"].attributes["stopped"] = "40% of the walkers diverged; the model is kept"
    said = doubtful(results_of(record))
    assert len(said) == 4 and "diverged" in said[0] and "most are no digits" in said[1]
    assert "it copies" in said[2] and "by witnesses of the training" in said[3]
    assert "By persistent training ln p of images not seen is -48.000" in in_words(
        results_of(record)
    )


def test_walkers_are_drawn_by_their_weights():
    walkers = jnp.arange(4.0)[:, None]
    assert drawn(walkers, jnp.array([1.0, 0.0, 2.0, 1.0]), 4).ravel().tolist() == [0, 2, 2, 3]


def test_images_are_put_side_by_side():
    picture = framed(np.arange(8.0).reshape(1, 2, 4), 2)
    np.testing.assert_array_equal(picture[:2, :2], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(picture[:2, 3:5], [[4, 5], [6, 7]])


def test_refused():
    with pytest.raises(ValueError, match="each once"):
        EnergyModel(Training(1), methods=("scores", "scores"))


@pytest.mark.parametrize(("override", "word"), [("methods=[pcd]", "methods"), ("noise=0", "noise")])
def test_refused_in_a_config(override, word, tmp_path, capsys):
    assert main(["run", str(CONFIG), override, "--out", str(tmp_path / "out")]) == 2
    assert word in capsys.readouterr().err
