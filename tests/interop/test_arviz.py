"""What ArviZ gets: groups and weights for both generations, and its own functions on them."""

# The groups of ArviZ are what a test says they are.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportMissingImports=false, reportOptionalMemberAccess=false
# pyright: reportOptionalOperand=false

import functools
import sys
import warnings
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.interop.arviz import by_weight

KEY, PATHS = jax.random.key(0), 2000
FEATURES = np.random.default_rng(0).normal(size=(20, 2))
LIKELIHOOD = tj.LogisticRegression(FEATURES, (FEATURES @ [1.0, -1.0] > 0).astype(float))
MODEL = tj.bayes.Model(tj.Gaussian(jnp.zeros(2)), LIKELIHOOD)


class Recorder:
    """In place of the package `arviz`, of either generation."""

    def __init__(self, version):
        self.__version__ = version

    def from_dict(self, *groups, coords, dims, **named):
        assert (len(groups) == 1) == (self.__version__ >= "1")
        return groups[0] if groups else named


@pytest.fixture(params=["0.23.4", "1.3.0"])
def recorder(request, monkeypatch):
    found = Recorder(request.param)
    monkeypatch.setattr("thermojax.interop.arviz.needed", lambda *names: found)
    return found


@functools.cache
def ramp():
    potential = tj.Interpolation(MODEL.prior, MODEL.prior + LIKELIHOOD)
    system = tj.Underdamped(potential, tj.Linear(0.0, 1.0, 8.0), tj.Bath())
    return tj.simulate(system, KEY, dt=0.2, batch=PATHS)


@functools.cache
def posterior():
    out, none = ramp(), tj.Estimate(0.0, 0.0, 1.0)
    begun, energies = jnp.zeros((PATHS, 2)), {"heat": out.ledger.heat}
    return tj.bayes.Posterior(
        MODEL, out.position, out.log_weight, begun, none, None, 8.0, 40, (), energies
    )


@functools.cache
def trace():
    """Snapshots of an equilibrium."""
    system = tj.Overdamped(tj.Gaussian(jnp.zeros(2)), tj.Constant(duration=40.0), tj.Bath())
    return tj.simulate(system, KEY, dt=0.1, batch=4, save=101)


def test_weights_become_draws(recorder):
    """As many as are effective, each about as often as its weight says; errors are honest."""
    out, found = ramp(), posterior()
    groups = found.to_arviz()
    x, stats = groups["posterior"]["x"][0], groups["sample_stats"]
    draws = int(found.effective_samples)
    assert x.shape == (draws, 2) and 0.1 * PATHS < draws < PATHS
    error = x.std(0) / np.sqrt(draws)
    weighted = found.mean(found.position)
    assert np.all(abs(x.mean(0) - weighted.value) < 3 * error)
    np.testing.assert_allclose(error, weighted.error, rtol=0.3)
    path = stats["path"][0]
    np.testing.assert_array_equal(x, np.asarray(out.position)[path])
    np.testing.assert_array_equal(stats["heat"][0], out.ledger.heat[path])
    np.testing.assert_array_equal(stats["log_weight"][0], out.log_weight[path])
    rows = groups["log_likelihood"]["y"]
    assert rows.shape == (1, draws, 20) and groups["prior"]["x"].shape == (1, PATHS, 2)
    np.testing.assert_allclose(rows[0, 3], LIKELIHOOD.log_likelihood(x[3]))
    assert "log_likelihood" not in found.to_arviz(log_likelihood=False)


def test_or_all_paths_with_their_weights(recorder):
    groups = posterior().to_arviz(resampled=False)
    weight = np.exp(groups["sample_stats"]["log_weight"][0])
    mean = weight @ groups["posterior"]["x"][0] / weight.sum()
    np.testing.assert_allclose(mean, posterior().mean(posterior().position).value, rtol=1e-9)
    result = ramp().to_arviz(resampled=False)
    np.testing.assert_array_equal(result["sample_stats"]["work"][0], ramp().ledger.total_work)
    assert result["posterior"]["x"].shape == (1, PATHS, 2)
    assert result["sample_stats"]["diverging"].dtype == bool


def test_snapshots_are_chains(recorder):
    groups, saved = trace().to_arviz(snapshots=True), trace().saved
    assert groups["posterior"]["x"].shape == (4, 101, 2) and saved is not None
    np.testing.assert_array_equal(groups["posterior"]["x"][2, 50], saved.values[0].position[50, 2])
    assert groups["sample_stats"]["heat"].shape == (4, 101)
    with pytest.raises(ValueError, match="snapshots = True: expected a run with save="):
        ramp().to_arviz(snapshots=True)
    moving = tj.Overdamped(tj.Harmonic(1.0, control="center"), tj.Linear(0.0, 1.0, 1.0), tj.Bath())
    out = tj.simulate(moving, KEY, dt=0.1, batch=4, save=3, initial=tj.Equilibrium(jnp.zeros(1)))
    with pytest.raises(ValueError, match="the control changes from snapshot to snapshot"):
        out.to_arviz(snapshots=True)


def test_chains_and_pytrees(recorder):
    """Leaves by their path; a path that has diverged is drawn never."""
    position = {"a": jnp.arange(6.0).reshape(6, 1), "b": [jnp.zeros((6, 2, 2))]}
    energy = tj.LogDensity(lambda x: -jnp.sum(x["a"] ** 2) - jnp.sum(x["b"][0] ** 2))
    system = tj.Underdamped(energy, tj.Constant(), tj.Bath())
    chain = tj.start(system, KEY, initial=position)
    ledger = tj.Ledger(**{**vars(chain.ledger), "alive": jnp.array([1.0, 1, 0, 1, 1, 1])})
    chain = type(chain)(**{**vars(chain), "ledger": ledger})
    groups = chain.to_arviz()
    assert groups["posterior"]["b.0"].shape == (1, 5, 2, 2)
    assert groups["posterior"]["a"].ravel().tolist() == [0, 1, 3, 4, 5]


def test_draws_by_weight():
    """Floor or ceil of count w; one of weight zero never; few effective ones are said."""
    log_weight = np.log(np.random.default_rng(1).dirichlet(np.full(50, 0.5)))
    log_weight[[7, 49]] = -np.inf
    weight = np.exp(log_weight) / np.exp(log_weight).sum()
    for count in (1, 17, 400):
        often = np.bincount(by_weight(log_weight, count), minlength=50)
        assert often.sum() == count and often[[7, 49]].sum() == 0
        assert np.all(abs(often - count * weight) < 1 + 1e-9)
    assert len(by_weight(np.zeros(30))) == 30
    with pytest.raises(ValueError, match="no path has any weight"):
        by_weight(np.full(3, -np.inf))
    with pytest.raises(ValueError, match="log_weight holds nan"):
        by_weight(np.array([np.nan, 0.0]))


def test_few_effective_samples_are_said(recorder):
    found = posterior()
    steep = tj.bayes.Posterior(**{**vars(found), "log_weight": 40 * found.log_weight})
    with pytest.warns(UserWarning, match=rf"weights of {PATHS} paths are worth \d+ of equal"):
        steep.to_arviz()


def test_without_the_package_its_extra_is_named(monkeypatch):
    if find_spec("arviz") is not None:
        monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"pip install 'thermojax\[arviz\]'"):
        ramp().to_arviz()
    with pytest.raises(ValueError, match="resampled = 3: expected True or False"):
        ramp().to_arviz(resampled=3)


@pytest.fixture
def arviz():
    if find_spec("arviz") is None:
        pytest.skip("ArviZ is not installed")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    with warnings.catch_warnings():
        # Of its first generation, about the second; of both, about draws that are few.
        warnings.simplefilter("ignore")
        import arviz

        pyplot.switch_backend("agg")
        yield arviz
        pyplot.close("all")


def test_functions_of_arviz(arviz):
    """Summary, plots and leave-one-out of the package itself, whichever generation it is."""
    found, chains = posterior(), trace().to_arviz(snapshots=True)
    data = found.to_arviz()
    summary = arviz.summary(data, fmt="wide", round_to="none")
    weighted = found.mean(found.position)
    np.testing.assert_allclose(summary["mean"], weighted.value, atol=3 * weighted.error.max())
    assert arviz.summary(chains, round_to="none")["r_hat"].max() < 1.2
    assert "elpd" in str(arviz.loo(data))
    if int(arviz.__version__.partition(".")[0]) < 1:
        arviz.plot_trace(chains)
        arviz.plot_posterior(data)
        arviz.plot_dist_comparison(data)
        return
    arviz.plot_trace(chains, backend="matplotlib")
    arviz.plot_dist(data, backend="matplotlib")
    arviz.plot_prior_posterior(data, backend="matplotlib")
