"""The study of two islands from its config: weights learned with weights, and not without."""

from pathlib import Path

import jax
import numpy as np
import pytest

import thermojax as tj
from experiments.islands import Islands, summed
from experiments.islands_figures import doubtful, in_words
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "islands.yaml"


@pytest.mark.slow
def test_weights_of_far_islands_are_learned_with_weights_and_not_without(tmp_path, capsys):
    """.8 within .02 by nonequilibrium training; ln Z agrees with quadrature all the while."""
    assert main(["run", str(CONFIG), "--out", str(tmp_path)]) == 0
    results, said = load(tmp_path), capsys.readouterr().out
    weighted, plain = results["nonequilibrium"], results["persistent"]
    assert abs(float(weighted["share"]) - 0.8) < 0.02
    # Walkers that cannot cross keep their shares, and the model runs away from them.
    assert abs(float(plain["share"]) - 0.8) > 0.1
    assert "persistent: the right island has a share of" in said
    assert "nonequilibrium: the right island" not in said
    training = weighted["training"]
    error = np.maximum(np.asarray(training["log_z_error"]), 2e-3)
    off = np.abs(np.asarray(training["log_z_off"])) / error
    # Sixteen groups know their error to a fifth: 4.5 errors of a Student's t are about 6.
    assert len(off) == 31 and off.max() < 6 and off.mean() < 1.5
    assert (tmp_path / "report.html").read_text().count("<figure") == 2


def test_the_sum_over_a_grid_is_that_of_a_gaussian():
    """Of a normalized Gaussian around (1, 0): ln Z = 0, and the share of an error function."""
    log_z, share, density = summed(tj.DiagonalGaussian(np.array([1.0, 0.0]), np.ones(2)))
    assert float(log_z) == pytest.approx(0, abs=1e-9)
    # The share of half a cell at the border is known to the square of its width.
    assert float(share) == pytest.approx(0.8413447461, abs=5e-4)
    assert density.shape == (401, 401)


def column(share: float, off: float) -> Record:
    record = Record(share=share, share_of_walkers=0.8, off=tj.Estimate(off, 0.01, 100))
    record["training"] = Record()
    record["training"].attributes["stopped"] = "all 8 steps done"
    return record


def test_shares_and_doubts_in_words():
    results = Record()
    results["nonequilibrium"] = column(0.79, 0.01)
    results.attributes.update(weight=0.8, columns=["nonequilibrium"])
    assert doubtful(results) == []
    assert "it is 0.790 by nonequilibrium training" in in_words(results)
    results["nonequilibrium"] = column(0.7, 0.1)
    said = doubtful(results)
    assert len(said) == 2 and "was not learned" in said[0] and "ln Z" in said[1]
    with pytest.raises(ValueError, match="each once"):
        Islands(methods=())


def test_data_have_exactly_the_weight():
    data = np.asarray(Islands(weight=0.7).data(jax.random.key(0)))
    assert (data[:, 0] > 0).mean() == 0.7 and data.shape == (4000, 2)
