"""Dissipated work against duration of a small logistic regression, from its config."""

from pathlib import Path

import numpy as np
import pytest

import thermojax as tj
from experiments.inference_frontier import InferenceFrontier
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.run import checkpoints
from thermojax.experiment.study.data import Table

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "inference_frontier.yaml"


@pytest.fixture
def data(tmp_path):
    """Forty rows of one feature and a label that follows it, with noise."""
    x = np.random.default_rng(0).standard_normal(40)
    label = (2 * x + np.random.default_rng(1).logistic(size=40) > 0).astype(int)
    rows = "\n".join(f"{a:.6f},{b}" for a, b in zip(x, label, strict=True))
    (tmp_path / "points.csv").write_text(f"feature,label\n{rows}\n")
    return tmp_path / "points.csv"


@pytest.mark.slow
def test_a_small_regression_stopped_and_taken_up(data, tmp_path, capsys, monkeypatch):
    """Stopped after its first duration it goes on to the numbers of a run that was not."""
    few = ["schedules=[linear,learned]", "durations=[20,60]", "samples=512"]
    table = Table(data, "label").load()
    model = tj.bayes.Model(tj.Gaussian(np.zeros(2), 1.0), tj.LogisticRegression(*table[:2]))
    known = f"log_evidence={evidence(model)}"
    given = [f"data.file={data}", "data.target=label", known, *few]
    saves, save = [], checkpoints.PhaseCheckpoint.save

    def stopping(self, state, *, last=False):
        saves.append(last)
        self.run.stop.requested = len(saves) == 1
        save(self, state, last=last)

    monkeypatch.setattr(checkpoints.PhaseCheckpoint, "save", stopping)
    out = str(tmp_path / "out")
    assert main(["run", str(CONFIG), *given, "--out", out]) == 130
    assert main(["resume", out]) == 0
    assert saves == [False, True]  # one duration, and the other after it
    results = load(tmp_path / "out")
    for name in ("linear", "learned"):
        record = results[name]
        lost = record["dissipated_work"]
        assert np.all(lost.value > record["bound"] - 4.5 * lost.error)
        assert lost.value[0] > lost.value[1] > 0
        control = record["control"]
        assert np.all(control[:, 0] == 0) and np.all(control[:, -1] == 1)
    linear, learned = (results[n]["dissipated_work"] for n in ("linear", "learned"))
    assert learned.value[0] + 3 * learned.error[0] < linear.value[0] - 3 * linear.error[0]
    assert "Transport alone takes" in capsys.readouterr().out
    assert 'id="inference_frontier"' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_evidence_that_is_found_first(data, tmp_path):
    few = ["schedules=[linear]", "durations=[20]", "samples=64", "error=0.05"]
    given = [f"data.file={data}", "data.target=label", *few]
    assert main(["run", str(CONFIG), *given, "--out", str(tmp_path / "out")]) == 0
    table = Table(data, "label").load()
    model = tj.bayes.Model(tj.Gaussian(np.zeros(2), 1.0), tj.LogisticRegression(*table[:2]))
    found = load(tmp_path / "out")["log_evidence"]
    assert abs(float(found.value) - evidence(model)) < 4.5 * float(found.error)


def evidence(model) -> float:
    """ln p(y) on a grid of both weights."""
    line = np.linspace(-6, 6, 401)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    signed = np.asarray(model.likelihood.signed_features)
    log_density = -np.logaddexp(0, -grid @ signed.T).sum(1) - 0.5 * (grid**2).sum(1)
    return float(np.log(np.exp(log_density).sum() * (line[1] - line[0]) ** 2 / (2 * np.pi)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(durations=[3.0, 1.0]), "durations = "),
        (dict(durations=[]), "durations = "),
        (dict(schedules=["linear", "linear"]), "each once"),
        (dict(schedules=[]), "schedules = "),
    ],
)
def test_refused_settings(data, change, words):
    given = dict(data=Table(data, "label"), prior_variance=1.0, durations=[1.0])
    given |= dict(schedules=["linear"], samples=64, error=0.1)
    with pytest.raises(ValueError, match=words):
        InferenceFrontier(**(given | change))
