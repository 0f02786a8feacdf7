"""What the ramps of an inference went through, against Gaussians and Crooks' theorem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(271)
SIGMA = 4.5
COVARIANCE = np.array([[1.0, 0.5], [0.5, 1.0]])
NOISE = 0.01 * np.array([[0.5, -0.2], [-0.2, 0.8]])  # so sharp that fast ramps lag behind
DATA = np.array([1.0, -1.0])
SPREAD = COVARIANCE + NOISE
EVIDENCE = -0.5 * (DATA @ np.linalg.solve(SPREAD, DATA) + np.linalg.slogdet(2 * np.pi * SPREAD)[1])


@pytest.fixture(scope="module")
def found():
    prior = tj.Gaussian(jnp.zeros(2), jnp.asarray(COVARIANCE))
    likelihood = tj.GaussianLikelihood(jnp.asarray(DATA), jnp.asarray(NOISE))
    # As many as in test_infer, whose programs these are.
    return tj.bayes.infer(prior, likelihood, KEY, samples=256, duration=20.0)


@pytest.mark.slow
def test_the_law_on_the_way(found):
    """At every coupling the weighted paths have its mean and covariance; they start and end with
    the works of the account."""
    seen = found.snapshots
    control = np.asarray(seen.control)
    assert len(control) > 2 and control[0] == 0 and control[-1] == 1
    assert np.all(np.diff(control) > 0)
    assert seen.position.shape == (len(control), 256, 2)
    for at, x, w in zip(control, np.asarray(seen.position), np.asarray(seen.weights), strict=True):
        precision = np.linalg.inv(COVARIANCE) + at * np.linalg.inv(NOISE)
        covariance = np.linalg.inv(precision)
        mean = covariance @ (at * np.linalg.inv(NOISE) @ DATA)
        scale = np.linalg.inv(np.linalg.cholesky(covariance))
        z = (x - mean) @ scale.T  # standard normal
        error = np.sqrt(np.sum(w**2))
        assert np.all(np.abs(w @ z) < SIGMA * error)
        assert np.all(np.abs(z.T @ (w[:, None] * z) - np.eye(2)) < SIGMA * np.sqrt(2) * error)
    assert not np.any(np.asarray(seen.work[0])) and not np.any(np.asarray(seen.heat[0]))
    np.testing.assert_allclose(jnp.mean(seen.work[-1]), found.account.work.value, rtol=1e-12)
    np.testing.assert_allclose(jnp.mean(seen.heat[-1]), found.account.ramp_heat.value, rtol=1e-12)


def test_ramps_there_and_back_obey_crooks(found):
    """Densities of log weights there, and of minus those back, differ by exp(log weight - ln p)."""
    theorem = tj.fluctuation.crooks(-found.log_weight, -found.reverse_log_weight)
    for estimate, value in ((theorem.slope, 1), (theorem.crossing, -EVIDENCE)):
        assert abs(float(estimate.value) - value) < SIGMA * float(estimate.error)


def test_of_many_weights_few_paths_are_kept():
    from thermojax.bayes.snapshots import INSTANTS, NUMBERS, Recorder
    from thermojax.bayes.stage import Books

    recorder, dim = Recorder(), NUMBERS // (4 * INSTANTS)
    for stage in range(41):
        recorder(stage, 40, stage / 40, jnp.zeros((8, dim)), Books.opened(8, float))
    seen = recorder.snapshots(jnp.zeros(dim))
    assert seen.position.shape == (INSTANTS, 4, dim)
    np.testing.assert_allclose(seen.control, np.linspace(0, 1, INSTANTS))
