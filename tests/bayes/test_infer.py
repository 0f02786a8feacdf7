"""Posteriors, evidence and accounts by ramps, REFERENCE section 6: R5, R11.

Nearly all of the time is compiling: what shares the programs of R5, of 256 samples in two
dimensions, is quick, and energies of their own are slow.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(27)
SIGMA = 4.5
SAMPLES = 256
# R5: two Gaussian weights, observed once.
PRIOR = tj.Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 1.0]]))
LIKELIHOOD = tj.GaussianLikelihood(jnp.array([1.0, -1.0]), jnp.array([[0.5, -0.2], [-0.2, 0.8]]))
EVIDENCE = -3.064678613858
MEAN = np.array([0.4597701149, -0.2873563218])
COVARIANCE = np.array([[0.2816091954, 0.0114942529], [0.0114942529, 0.3678160920]])
# The same, seen sharply.
SEEN, NOISE = np.array([1.0, -1.0]), 0.01 * np.eye(2)
SHARP, TOTAL = tj.GaussianLikelihood(SEEN, NOISE), NOISE + np.array([[1.0, 0.5], [0.5, 1.0]])
SHARP_EVIDENCE = -0.5 * (
    SEEN @ np.linalg.solve(TOTAL, SEEN) + np.linalg.slogdet(2 * np.pi * TOTAL)[1]
)
# R11: the logistic regression of one weight.
FEATURES = jnp.array([[-2.0], [-1.0], [0.5], [1.0], [2.0], [3.0]])
LABELS = jnp.array([0, 0, 1, 0, 1, 1])


def off(estimate, value):
    """The distance from a known value, in standard errors."""
    return np.max(np.abs(np.asarray(estimate.value) - value) / np.asarray(estimate.error))


@pytest.fixture(scope="module")
def gaussian():
    return tj.bayes.infer(PRIOR, LIKELIHOOD, KEY, samples=SAMPLES)


def test_evidence_and_moments_of_r5(gaussian):
    assert off(gaussian.log_evidence, EVIDENCE) < SIGMA and gaussian.log_evidence.error < 0.02
    assert off(gaussian.mean(gaussian.position), MEAN) < SIGMA
    away = gaussian.position - MEAN
    assert off(gaussian.mean(away[:, :, None] * away[:, None, :]), COVARIANCE) < SIGMA
    assert gaussian.warnings == ()
    assert gaussian.effective_samples > 0.5 * len(gaussian.log_weight)


def test_the_account_of_r5(gaussian):
    """Entropies of Gaussians; the refrigerator's balance; the second law."""
    account = gaussian.account
    before = np.linalg.slogdet(np.array([[1.0, 0.5], [0.5, 1.0]]))[1]
    drop = 0.5 * (before - np.linalg.slogdet(COVARIANCE)[1])
    assert off(account.entropy_drop, drop) < SIGMA
    inverse = np.linalg.inv(np.array([[1.0, 0.5], [0.5, 1.0]]))
    gained = 0.5 * (np.trace(inverse @ COVARIANCE) + MEAN @ inverse @ MEAN - 2) + drop
    assert off(account.information, gained) < SIGMA
    assert float(account.dissipated_work.value) > SIGMA * float(account.dissipated_work.error)
    balance = account.heat.value - account.entropy_drop.value - account.dissipated_work.value
    np.testing.assert_allclose(balance, 0, atol=1e-6)


def test_the_evidence_scatters_as_its_error_says():
    found = [
        tj.bayes.infer(PRIOR, LIKELIHOOD, key, samples=SAMPLES).log_evidence
        for key in jax.random.split(KEY, 16)
    ]
    z = np.array([float((e.value - EVIDENCE) / e.error) for e in found])
    assert abs(np.mean(z)) < SIGMA / 4
    assert np.mean(z**2) < 1 + SIGMA * np.sqrt(2 / 16)


@pytest.mark.slow
def test_r11():
    model = tj.bayes.Model(tj.Gaussian(jnp.zeros(1), 4.0), tj.LogisticRegression(FEATURES, LABELS))
    found = tj.bayes.infer(model, KEY)
    assert off(found.log_evidence, -3.4725454303) < SIGMA
    x = found.position
    assert off(found.mean(x), 1.3790973691) < SIGMA
    assert off(found.mean((x - 1.3790973691) ** 2), 0.7111709575) < SIGMA
    third = 0.7400150772 * 0.7111709575**1.5
    assert off(found.mean((x - 1.3790973691) ** 3), third) < SIGMA


def test_a_flat_prior_has_a_posterior_and_no_evidence():
    found = tj.bayes.infer(None, PRIOR + LIKELIHOOD, KEY, samples=SAMPLES)
    assert np.isnan(found.log_evidence.value) and found.account is None
    assert off(found.mean(found.position), MEAN) < SIGMA


class Spike(tj.AbstractPotential):
    """A broad likelihood and a narrow one of as much evidence again, in 10 dimensions."""

    def energy(self, x, control):
        broad = -0.5 * jnp.sum(x**2) / 0.25 - 10 * jnp.log(0.5)
        narrow = -0.5 * jnp.sum((x - 0.02) ** 2) / 0.01**2 - 10 * jnp.log(0.01)
        return -jnp.logaddexp(broad, narrow + 2.0)


@pytest.mark.slow
def test_a_spike_that_ramps_do_not_find_is_told():
    with pytest.warns(UserWarning, match="the core of the mode at"):
        found = tj.bayes.infer(tj.Gaussian(jnp.zeros(10)), Spike(), KEY)
    assert any("samples and evidence miss it" in doubt for doubt in found.warnings)


@pytest.mark.slow
def test_a_budget_that_ends_is_told():
    with pytest.warns(UserWarning, match=r"the budget of 3e\+04 gradients is spent"):
        tj.bayes.infer(PRIOR, LIKELIHOOD, KEY, samples=SAMPLES, budget=3e4, error=1e-4)


def test_ramps_back_count_for_the_error_that_is_asked_for():
    """Both ways together have it, the way there alone has not; and no batch is made for nothing."""
    found = tj.bayes.infer(PRIOR, LIKELIHOOD, KEY, samples=SAMPLES, error=0.004)
    there = tj.free_energy.jarzynski(found.log_weight).log_ratio
    assert found.log_evidence.error < 0.004 < there.error and len(found.log_weight) == SAMPLES
    assert off(found.log_evidence, EVIDENCE) < SIGMA and not found.warnings


@pytest.mark.slow
def test_positions_of_any_shape_and_names():
    """A pytree of weights in float32, by the names of its leaves."""
    likelihood = tj.LogDensity(lambda x: -0.5 * jnp.sum((x["a"] - 1) ** 2) - 2 * x["b"] ** 2)
    prior = tj.LogDensity(lambda x: -0.5 * jnp.sum(x["a"] ** 2) - 0.5 * x["b"] ** 2)
    like = {"a": jnp.zeros(2, jnp.float32), "b": jnp.zeros((), jnp.float32)}
    model = tj.bayes.Model(prior, likelihood, template=like)
    found = tj.bayes.infer(model, KEY, samples=256)
    assert set(found.samples) == {"a", "b"} and found.samples["a"].dtype == jnp.float32
    assert off(found.mean(found.samples["a"]), 0.5) < SIGMA
    exact = 2 * (np.log(0.5) / 2 - 0.25) + np.log(1 / 5) / 2
    assert off(found.log_evidence, exact) < SIGMA


def test_schedules_at_equal_time():
    """The works of all obey one evidence; of sharp data the linear schedule dissipates most."""
    ramps = ("constant dissipation", "linear", "geometric", "learned")
    settings = {"samples": SAMPLES, "duration": 30.0, "error": 0.1}
    lost = []
    for ramp in ramps:
        found = tj.bayes.infer(PRIOR, SHARP, KEY, schedule=ramp, **settings)
        assert found.account is not None and found.time == pytest.approx(30.0, rel=1e-5)
        assert off(found.log_evidence, SHARP_EVIDENCE) < SIGMA
        taken = found.schedule
        assert taken is not None and taken.initial == 0 and taken.final == 1
        assert float(taken.duration) == pytest.approx(found.time, rel=1e-5)
        lost.append(found.account.dissipated_work)
    again = tj.bayes.infer(PRIOR, SHARP, KEY, schedule=taken, **settings)
    assert again.schedule is not None
    assert np.max(np.abs(again.schedule.values - taken.values)) < 2e-3
    assert again.gradients < found.gradients  # without the ramps that taught the schedule
    even, linear = lost[:2]
    assert even.value + 3 * even.error < linear.value - 3 * linear.error


@pytest.mark.slow
def test_resampled_ramps_are_an_account(gaussian):
    """Copies take over less energy than they take the place of, and less heat leaves."""
    settings = {"samples": SAMPLES - 5, "duration": 60.0, "resample": 1.0, "error": 0.1}
    resampled: Any = tj.bayes.infer(PRIOR, SHARP, KEY, **settings)
    assert len(resampled.prior_position) == SAMPLES  # a multiple of 16
    assert off(resampled.log_evidence, SHARP_EVIDENCE) < SIGMA and resampled.warnings == ()
    one, other = resampled.account, gaussian.account
    heat = one.entropy_drop.value + one.dissipated_work.value + one.copied_energy.value
    np.testing.assert_allclose(one.heat.value, heat, atol=1e-6)
    assert one.copied_energy.value < -3 * one.copied_energy.error < 0
    assert other.copied_energy.value == 0
    assert one.dissipated_work.value > 5 * one.dissipated_work.error


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"error": 0.0}, "error = 0.0: expected a positive"),
        ({"effective": 1.0}, "effective = 1.0: expected a share"),
        ({"samples": 10}, "samples = 10"),
        ({"budget": -1.0}, "budget = -1.0"),
        ({"schedule": "fast"}, "schedule = 'fast': expected 'constant dissipation'"),
        ({"schedule": tj.Linear(0.0, 2.0, 1.0)}, r"final control 2\.0: expected 1"),
        ({"duration": 0.0}, "duration = 0.0: expected a positive, finite time"),
    ],
)
def test_refusals(settings, words):
    with pytest.raises(ValueError, match=words):
        tj.bayes.infer(PRIOR, LIKELIHOOD, KEY, **settings)


def test_what_is_no_model():
    with pytest.raises(ValueError, match="likelihood"):
        tj.bayes.infer(PRIOR, "gaussian", KEY)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="key must be a typed key"):
        tj.bayes.infer(PRIOR, LIKELIHOOD, 0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="takes two arguments"):
        tj.bayes.infer(tj.bayes.Model(PRIOR, LIKELIHOOD), KEY, KEY)  # pyright: ignore
