"""A small Bayesian network, whose posterior has as many modes as units can change places."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(33)
UNITS, NOISE = 2, 0.4
RNG = np.random.default_rng(4)
INPUT = RNG.uniform(-2, 2, 12)
TARGETS = np.sin(1.5 * INPUT) + NOISE * RNG.normal(size=12)


def outputs(x, a):
    """The network at an input, `(draws,)`, by NumPy."""
    w, b, v = (x[:, i * UNITS : (i + 1) * UNITS] for i in range(3))
    return np.sum(np.tanh(w * a + b) * v, axis=1) + x[:, -1]


def by_draws_from_the_prior(draws=2_000_000, at=1.0):
    """ln p(y) and the mean prediction at one input, with errors, by draws from N(0, 1)."""
    density, predicted = [], []
    for _ in range(draws // 100_000):
        x = RNG.normal(size=(100_000, 3 * UNITS + 1))
        square = sum((y - outputs(x, a)) ** 2 for a, y in zip(INPUT, TARGETS, strict=True))
        density.append(np.exp(-0.5 * square / NOISE**2))
        predicted.append(outputs(x, at))
    p, f = np.concatenate(density), np.concatenate(predicted)
    mean, share = p.mean(), p / p.sum()
    value = np.log(mean) - 12 * np.log(NOISE) - 6 * np.log(2 * np.pi)
    middle = share @ f
    error = p.std() / mean / np.sqrt(len(p))
    return value, error, middle, np.sqrt(share**2 @ (f - middle) ** 2)


@pytest.mark.slow
def test_evidence_and_prediction_of_a_network():
    """The modes are copies of each other: ramps from the prior go to all of them."""
    network = eqx.nn.MLP(1, "scalar", UNITS, 1, activation=jnp.tanh, key=KEY)
    likelihood = tj.NetworkRegression(network, INPUT[:, None], TARGETS, noise=NOISE)
    prior = tj.DiagonalGaussian(likelihood.template(None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tj.bayes.infer(prior, likelihood, KEY, error=0.05, effective=0.2, budget=4e6)
    exact, error, middle, middle_error = by_draws_from_the_prior()
    evidence = found.log_evidence
    assert error < 0.02
    assert abs(evidence.value - exact) < 4.5 * np.hypot(evidence.error, error)
    at = jnp.array([1.0])
    static = eqx.filter(network, eqx.is_inexact_array, inverse=True)
    predicted = found.mean(lambda x: eqx.combine(x, static)(at))
    assert abs(predicted.value - middle) < 4.5 * np.hypot(predicted.error, middle_error)
