"""The study of an inference: a table in, posterior, evidence, account and figures out."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from experiments.inference import Inference, quantiles
from experiments.regressions import IndependentWeights, Linear
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.study.data import Table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SIGMA = 4.5
NOISE, VARIANCE = 0.5, 4.0


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Twelve rows of two features and a measured target."""
    file = tmp_path_factory.mktemp("data") / "small.csv"
    draws = np.random.default_rng(3)
    features = draws.normal(size=(12, 2)) * [3, 0.1] + [5, 1]
    targets = 1 + 0.4 * features[:, 0] + NOISE * draws.normal(size=12)
    lines = [f"{a!r},{b!r},{y!r}" for (a, b), y in zip(features.tolist(), targets.tolist(),
                                                       strict=True)]  # fmt: skip
    file.write_text("\n".join(["length,width,mass", *lines]))
    return file


@pytest.fixture(scope="module")
def ran(table, tmp_path_factory):
    """A run from the command, with two simulations of its calibration."""
    out = tmp_path_factory.mktemp("runs") / "x"
    settings = [f"data.file={table}", "data.target=mass", f"likelihood.noise={NOISE}",
                f"prior.variance={VARIANCE}", "samples=256", "calibrate=2"]  # fmt: skip
    assert main(["run", str(CONFIGS / "stopping_distance.yaml"), *settings, "--out", str(out)]) == 0
    return out


def exact(file):
    """ln p(y), mean and covariance of the weights, of standardized features with a bias."""
    cells = np.loadtxt(file, delimiter=",", skiprows=1)
    x, y = cells[:, :2], cells[:, 2]
    x = np.c_[np.ones(len(x)), (x - x.mean(0)) / x.std(0)]
    law = multivariate_normal(cov=NOISE**2 * np.eye(len(y)) + VARIANCE * x @ x.T)
    covariance = np.linalg.inv(x.T @ x / NOISE**2 + np.eye(3) / VARIANCE)
    return law.logpdf(y), covariance @ x.T @ y / NOISE**2, covariance


@pytest.mark.slow
def test_posterior_evidence_and_account_of_a_linear_regression(ran, table):
    results = load(ran)
    evidence, mean, covariance = exact(table)
    record = results["posterior"]
    found = record["log_evidence"]
    assert abs(found.value - evidence) < SIGMA * found.error and found.error < 0.025
    weights = record["weights"]
    assert weights["name"] == ["bias", "length", "width"]
    sd = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(weights["mean"].value - mean) < SIGMA * weights["mean"].error)
    assert np.all(np.abs(weights["sd"].value - sd) < SIGMA * weights["sd"].error)
    # The error of a median is sqrt(pi / 2) of that of the mean.
    off = np.abs(weights["quantile"][:, 2] - mean)
    assert np.all(off < SIGMA * np.sqrt(np.pi / 2) * weights["mean"].error)
    drop = 0.5 * (3 * np.log(VARIANCE) - np.linalg.slogdet(covariance)[1])
    found = record["entropy_drop"]
    assert abs(found.value - drop) < SIGMA * found.error
    paths = record["paths"]
    assert paths["position"].shape == (record["paths_total"], 3)
    w = np.exp(paths["log_weight"] - paths["log_weight"].max())
    np.testing.assert_allclose(w @ paths["position"] / w.sum(), weights["mean"].value, rtol=1e-9)
    crossing = record["back"]["crossing"]
    assert abs(crossing.value - evidence) < SIGMA * crossing.error
    through = results["through"]
    assert through["position"].shape == (*through["log_weight"].shape, 3)
    assert results["calibration"]["pit_distance"].shape == (2, 1)


def test_the_report_shows_and_says_it(ran):
    page = (ran / "report.html").read_text()
    for figure in ("weights", "marginals", "clouds", "account", "there_and_back", "calibration"):
        assert f'id="{figure}"' in page
    assert "the data tell" in page and "2 simulated data sets" in page and "length" in page


def test_weighted_quantiles():
    """Those of a uniform law, drawn unevenly."""
    x = np.linspace(0, 1, 2001)[:, None] ** 2
    density = 1 / np.sqrt(np.maximum(x[:, 0], 1e-12))
    weights = 1 / density / np.sum(1 / density)  # dx is proportional to sqrt(x)
    np.testing.assert_allclose(quantiles(x, weights)[0], [0.025, 0.16, 0.5, 0.84, 0.975], atol=2e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.target=weight"], "no column 'weight' for data.target"),
        (["likelihood.kind=experiments.regressions:Logistic"], "unknown key 'likelihood.noise'"),
        (["likelihood={kind: experiments.regressions:Logistic}"], "expected a binary target"),
        (["likelihood={kind: experiments.regressions:Poisson}"], "expected a count"),
        (["likelihood={kind: Bath}"], "likelihood is a Bath: expected kind: experiments.reg"),
        (["likelihood={kind: DoubleWell}"], "data is given: expected none"),
        (["data=null"], "likelihood is a Linear regression: expected data"),
        (["prior={kind: Gaussian, mean: [0]}"], "prior has positions of the shape (1,)"),
        (["prior=null", "calibrate=9"], "calibrate = 9: expected 0"),
        (["names=[a, b]"], "names = ['a', 'b']: expected 3 different ones"),
        (["schedule=fast"], "schedule = 'fast': expected one of 'constant dissipation'"),
        (["schedule={kind: Constant, value: 0}"], "schedule has the final control 0"),
        (["error=0"], "error = 0: expected a positive number"),
    ],
)
def test_mistakes_are_one_sentence(table, tmp_path, capsys, settings, said):
    config = str(CONFIGS / "stopping_distance.yaml")
    given = [f"data.file={table}", "data.target=mass", *settings]
    assert main(["run", config, *given, "--out", str(tmp_path / "x")]) != 0
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1 and not (tmp_path / "x").exists()


def test_a_target_of_nan_is_refused(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("a,y\n1,0\n2,nan\n")
    with pytest.raises(Exception, match=r"line 3 \(row 2\), column 'y' = nan: expected a finite"):
        Inference(IndependentWeights(), Linear(1.0), Table(file, "y"))


@pytest.mark.parametrize("name", ["inference", "warp_breaks", "own_model"])
def test_shipped_models(name):
    """They are built, with a name for every weight."""
    from thermojax.experiment.run.experiment import read_experiment

    study = read_experiment(CONFIGS / f"{name}.yaml").study
    assert isinstance(study, Inference)
    expected = {"inference": 31, "warp_breaks": 4, "own_model": 2}[name]
    assert len(study.names) == expected
