"""What the evidence benchmark computes by itself: the bridge, Laplace's Gaussian, coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import thermojax as tj
from benchmarks.evidence import laplace, whitened
from benchmarks.evidence_peers import bridge

CONSTANT = 1.7  # the logarithm that each of these estimates


def correlated_draws(random, chains: int, draws: int) -> np.ndarray:
    """`(chains, draws, 2)` of a skewed law: AR(1) normals with rho = 0.8, through its quantiles."""
    normals = random.normal(size=(chains, draws, 2))
    for i in range(1, draws):
        normals[:, i] = 0.8 * normals[:, i - 1] + 0.6 * normals[:, i]
    return stats.gamma.ppf(stats.norm.cdf(normals), 9)


def test_the_bridge_finds_a_normalizer_and_its_own_error_from_correlated_draws():
    def log_density(x):
        with np.errstate(invalid="ignore"):
            return stats.gamma.logpdf(x, 9).sum(-1) + CONSTANT

    found = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        found.append(bridge(log_density, correlated_draws(random, 4, 500), random))
    values, errors, evaluations = np.array(found).T
    spread = values.std(ddof=1)
    assert abs(values.mean() - CONSTANT) < 4.5 * spread / 40**0.5
    # The spread of 40 is known to 11 %; twice its error and a little for the error's own bias.
    assert 0.65 < np.sqrt(np.mean(errors**2)) / spread < 1.5
    assert set(evaluations) == {2000}


def test_the_gaussian_of_a_gaussian_is_itself_and_its_weights_are_the_evidence():
    covariance = jnp.array([[2.0, 0.6], [0.6, 0.5]])
    density = tj.Gaussian(jnp.array([1.0, -3.0]), covariance)
    log_density = lambda x: CONSTANT - density.energy(x, None)
    mode, root = laplace(log_density, 2)
    np.testing.assert_allclose(mode, density.mean, atol=1e-5)
    np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-5)
    z = jax.random.normal(jax.random.key(0), (5, 2))
    unit, target = tj.Gaussian(jnp.zeros(2)), whitened(log_density, mode, root)
    weights = [unit.energy(each, None) - target.energy(each, None) for each in z]
    np.testing.assert_allclose(weights, CONSTANT, atol=1e-4)
