"""Minibatches: the temperature and the heat of their noise, against exact second moments."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

import thermojax as tj

KEY = jax.random.key(29)
SIGMA = 4.5
N, ROWS, NOISE = 400, 40, 0.7
RNG = np.random.default_rng(8)
TARGETS = 0.5 + NOISE * RNG.normal(size=N)
FRICTION = 1.0


def off(estimate, value):
    """The distance from a known value, in standard errors."""
    return np.max(np.abs(np.asarray(estimate.value) - value) / np.asarray(estimate.error))


def second_moments(h, injected, noise):
    """<z^2> and the heat per time of BAOAB in a well z^2/2, a force of variance `noise` added.

    Between two kicks the map of (z, p) is linear: kick h, half drift, thermostat, half drift.
    """
    damping = np.exp(-FRICTION * h)
    kick = np.array([[1, 0], [-h, 1]])
    half = np.array([[1, h / 2], [0, 1]])
    rest = half @ np.diag([1, damping]) @ half
    by_kick, by_bath = rest @ [0, h], half @ [0, 1]
    scatter = noise * np.outer(by_kick, by_kick) + injected * np.outer(by_bath, by_bath)
    found = solve_discrete_lyapunov(rest @ kick, scatter)
    kicked = kick @ found @ kick.T + noise * np.diag([0, h**2])
    moving = kicked[1, 1]
    return found[0, 0], 0.5 * (moving - damping**2 * moving - injected) / h


def the_mean_of_numbers(compensated):
    """Rows that all push alike: the noise of their force is the same everywhere."""
    likelihood = tj.LinearRegression(np.ones((N, 1)), TARGETS, NOISE)
    prior = tj.Gaussian(jnp.zeros(1), 4.0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*constant.*|.*the samples have a temperature.*")
        return tj.bayes.minibatch(
            prior, likelihood, KEY, rows=ROWS, dt=0.04, samples=4096,
            center=False, compensated=compensated,
        )  # fmt: skip


PRECISION = N / NOISE**2 + 1 / 4
FORCE_NOISE = N**2 / ROWS * TARGETS.var() / NOISE**4 / PRECISION
MEAN = TARGETS.sum() / NOISE**2 / PRECISION


@pytest.mark.parametrize("compensated", [False, True])
def test_temperature_and_heat_of_the_noise(compensated):
    found = the_mean_of_numbers(compensated)
    injected = -np.expm1(-2 * FRICTION * found.dt)
    injected -= compensated * found.dt**2 * FORCE_NOISE
    hot, heat = second_moments(found.dt, injected, FORCE_NOISE)
    power = 0.5 * found.dt * FORCE_NOISE
    assert off(found.temperature, hot) < SIGMA
    assert off(found.heat, heat) < SIGMA and off(found.minibatch_heat, power) < SIGMA
    assert off(found.noise_temperature, 1 + power / FRICTION) < SIGMA
    away = (found.position - MEAN) ** 2 * PRECISION
    assert off(found.mean(away), hot) < SIGMA and off(found.mean(found.position), MEAN) < SIGMA
    # Compensated, the well is as warm as the bath; else the warning says that it is not.
    assert abs(hot - 1) < 0.01 if compensated else hot > 1.15
    assert bool(found.warnings) == (not compensated)
    assert heat == pytest.approx(power, rel=0.05)


@pytest.mark.parametrize("compensated", [False, True])
def test_a_center_leaves_a_noise_that_grows_from_the_mode(compensated):
    """Rows of different slopes, whose noise is kappa z^2: the second moments close all the same."""
    features = np.exp(0.8 * RNG.normal(size=(N, 1)))
    targets = features[:, 0] + NOISE * RNG.normal(size=N)
    prior = tj.Gaussian(jnp.zeros(1), 4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tj.bayes.minibatch(
            prior, tj.LinearRegression(features, targets, NOISE), KEY,
            rows=16, dt=0.2, samples=4096, compensated=compensated,
        )  # fmt: skip
    squares = features[:, 0] ** 2
    precision = squares.sum() / NOISE**2 + 1 / 4
    kappa = N**2 / 16 * squares.var() / NOISE**4 / precision**2
    hot, injected = 1.0, -np.expm1(-2 * FRICTION * 0.2)
    for _ in range(100):
        left = injected - compensated * 0.2**2 * kappa * hot
        hot, heat = second_moments(0.2, left, kappa * hot)
    assert off(found.temperature, hot) < SIGMA and off(found.heat, heat) < SIGMA
    assert off(found.minibatch_heat, 0.5 * 0.2 * kappa * hot) < SIGMA
    assert heat > 5 * found.heat.error
    assert abs(hot - 1) < 0.02 if compensated else hot > 1.03


def test_positions_of_any_shape_in_float32():
    """A network without hidden units is a linear regression, whose posterior is Gaussian."""
    features = RNG.normal(size=(N, 3)) @ np.array([[1, 0.9, 0], [0, 0.5, 0], [0, 0, 2.0]])
    targets = features @ [0.5, -1.0, 0.2] + 0.3 + NOISE * RNG.normal(size=N)
    parameters = {"slope": jnp.zeros(3, jnp.float32), "offset": jnp.zeros((), jnp.float32)}
    likelihood = tj.NetworkRegression(
        lambda x, row: x["slope"] @ row + x["offset"],
        features.astype(np.float32), targets.astype(np.float32), NOISE, parameters=parameters,
    )  # fmt: skip
    model = tj.bayes.Model(tj.DiagonalGaussian(parameters), likelihood)
    found = tj.bayes.minibatch(model, KEY, rows=96)
    table = np.column_stack([features, np.ones(N)])
    covariance = np.linalg.inv(table.T @ table / NOISE**2 + np.eye(4))
    mean = covariance @ table.T @ targets / NOISE**2
    assert found.samples["slope"].dtype == jnp.float32 and found.warnings == ()
    x = jnp.column_stack([found.samples["slope"], found.samples["offset"]])
    assert off(found.mean(x), mean) < SIGMA
    away = x - mean
    assert off(found.mean(away[:, :, None] * away[:, None, :]), covariance) < SIGMA
    assert off(found.temperature, 1) < SIGMA


LINE = tj.LinearRegression(np.ones((N, 1)), TARGETS, NOISE)
PRIOR = tj.Gaussian(jnp.zeros(1))


@pytest.mark.filterwarnings("ignore:tj.bayes.minibatch")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 12}, "rows = 12: expected a multiple of 8 below 400"),
        ({"rows": 400}, "for all of them use tj.bayes.infer"),
        ({"rows": 0}, "rows = 0"),
        ({"samples": 0}, "samples = 0"),
        ({"dt": 2.0}, "dt = 2.0: expected a time step between 0 and 1"),
        ({"center": 1}, "center = 1: expected True or False"),
        ({"compensated": None}, "compensated = None"),
        ({"dt": 1.0, "rows": 8, "center": False}, "times that of the bath"),
        ({"key": 0}, "key must be a typed key"),
        ({"likelihood": tj.Gaussian(jnp.zeros(1))}, "likelihood is a Gaussian: expected a tj.Abs"),
    ],
)
def test_refusals(change, words):
    given = {"likelihood": LINE, "key": KEY, "rows": ROWS} | change
    likelihood, key = given.pop("likelihood"), given.pop("key")
    with pytest.raises(ValueError, match=words):
        tj.bayes.minibatch(PRIOR, likelihood, key, **given)
