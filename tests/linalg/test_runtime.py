"""How long a device must run: the law of its error, Markov's bound, and tolerances."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import thermojax as tj
from thermojax.linalg.device.chi_square import chi_square_sum_cdf

KEY = jax.random.key(26)
A = jnp.array([[3.0, 2.0], [2.0, 4.0]])
B = jnp.array([1.0, 2.0])
ANSWERS = {"solve": np.array([0.0, 0.5]), "inv": np.array([[0.5, -0.25], [-0.25, 0.375]])}
DYNAMICS = ["overdamped", "underdamped"]


def distance(found, problem):
    answer = ANSWERS[problem]
    return float(np.linalg.norm(found.value - answer) / np.linalg.norm(answer))


def run(problem, key, a: Any = A, **how):
    if problem == "solve":
        return tj.linalg.solve(a, B, key, **how)
    return tj.linalg.inv(a, key, **how)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100, 1000, 30000])
def test_equal_weights_are_chi_square(count):
    for share in (1e-6, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9):
        level = float(scipy.stats.chi2.ppf(share, count))
        assert chi_square_sum_cdf(np.ones(count), level) == pytest.approx(share, rel=1e-8)


@pytest.mark.parametrize(
    "weights",
    [
        np.logspace(-6, 0, 50),
        np.r_[1.0, np.full(1000, 1 / 2000)],
        np.r_[1.0, np.full(100000, 1 / 2000)],  # the steepest parabola grows, and is bent less
        np.r_[np.full(3, 1.0), np.full(10, 1e-3), np.full(1000, 1e-6), 0.0],
    ],
)
def test_any_weights(weights):
    """Against 200,000 draws, whose share below a level has a binomial error."""
    rng, count = np.random.default_rng(0), 200_000
    squares = np.zeros(count)
    for value, times in zip(*np.unique(weights, return_counts=True), strict=True):
        squares += value * rng.chisquare(times, count)
    for share in (0.01, 0.5, 0.9, 0.999):
        found = chi_square_sum_cdf(weights, np.quantile(squares, share))
        assert abs(found - share) < 4.5 * np.sqrt(share * (1 - share) / count)


def test_r3():
    tridiagonal = 2 * jnp.eye(8) + 0.5 * (jnp.eye(8, k=1) + jnp.eye(8, k=-1))
    for rtol, probability, markov, exact in ((0.1, 0.9, 5817, 1046), (0.05, 0.95, 46537, 5075)):
        found = tj.linalg.runtime(
            "solve", tridiagonal, jnp.ones(8), rtol=rtol, probability=probability
        )
        assert found.markov == pytest.approx(markov, rel=1e-2)
        assert found.averaging == pytest.approx(exact, rel=1e-2)


def test_r2_is_the_mean_of_the_law_of_an_inverse():
    """Markov's time is where E|C - A^-1|_F^2 is what is allowed: REFERENCE, R2."""
    for time, mean_square in ((10.0, 0.073053999920), (1000.0, 0.000754777498)):
        allowed = np.sqrt(mean_square / 0.5) / np.linalg.norm(ANSWERS["inv"])
        found = tj.linalg.runtime("inv", A, rtol=allowed, probability=0.5)
        assert found.markov == pytest.approx(time, rel=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("problem", ANSWERS)
def test_how_often_a_runtime_is_enough(problem, dynamics):
    """Over 1,000 runs: P within 3 standard errors by the law, more than P by Markov's bound.

    The law of an inverse is that of a long average, here of hundreds of relaxation times.
    """
    rtol, probability = (0.2, 0.8) if problem == "solve" else (0.1, 0.8)
    times = tj.linalg.runtime(problem, A, B, rtol=rtol, probability=probability, dynamics=dynamics)
    apart = {} if problem == "solve" else {"interval": 0.1 * times.relaxation}
    for time, least, most, count in (
        (times.averaging, -3, 3, 1000),
        (times.markov, 0, np.inf, 1000 if problem == "solve" else 200),
    ):
        near = 0
        for key in jax.random.split(KEY, count):
            found = run(problem, key, time=time, dynamics=dynamics, **apart)
            near += distance(found, problem) <= rtol
        off = (near / count - probability) / np.sqrt(probability * (1 - probability) / count)
        assert least < off < most


@pytest.mark.slow
@pytest.mark.parametrize("problem", ANSWERS)
def test_a_tolerance_in_place_of_a_time(problem):
    """By the law 100 answers are as often right as said."""
    probability, near = 0.8, 0
    for key in jax.random.split(KEY, 100):
        near += distance(run(problem, key, rtol=0.2, probability=probability), problem) <= 0.2
    assert abs(near / 100 - probability) < 3.5 * np.sqrt(probability * (1 - probability) / 100)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ANSWERS)
def test_by_steps_a_tolerance_holds_at_least_as_often(problem):
    probability, near = 0.8, 0
    for key in jax.random.split(KEY, 20):
        found = run(problem, key, rtol=0.3, probability=probability, method="steps",
                    trajectories=256)  # fmt: skip
        near += distance(found, problem) <= 0.3
    assert near / 20 > probability - 3 * np.sqrt(probability * (1 - probability) / 20)


@pytest.mark.slow
def test_by_steps_all_runs_are_billed():
    """The runs that were too short, too: a tolerance takes more products than its last run."""
    found = run("solve", KEY, lambda x: A @ x, rtol=0.1, trajectories=32)
    again = run("solve", KEY, lambda x: A @ x, trajectories=32,
                time=found.time.averaging * found.time.relaxation)  # fmt: skip
    assert found.products > 1.2 * again.products
    assert np.linalg.norm(found.error) < 0.1 * np.linalg.norm(found.value)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "neither given"),
        ({"time": 1.0, "rtol": 0.1}, "both given"),
        ({"rtol": 1.5}, "rtol = 1.5.*relative tolerance"),
        ({"rtol": 0.1, "probability": 1.0}, "probability = 1.0.*between 0 and 1"),
        ({"time": 1e12, "method": "steps"}, "more than max_products"),
        ({"time": 10.0, "method": "steps", "max_products": 10}, "more than max_products = 10"),
        ({"rtol": 1e-7, "method": "steps"}, "more than max_products"),
        ({"time": 1e300}, "relaxation times"),
    ],
)
def test_what_would_take_too_long_is_said_before(how, words):
    with pytest.raises(ValueError, match=words):
        tj.linalg.solve(A, B, KEY, **how)


def test_what_a_tolerance_would_take_is_not_called_a_time_that_was_given():
    with pytest.raises(ValueError, match=r"rtol = 1e-07 takes a time of .*expected a larger rtol"):
        tj.linalg.solve(A, B, KEY, rtol=1e-7)


def test_a_runtime_has_no_steps():
    with pytest.raises(ValueError, match=r"runtime decomposes a matrix: pass its entries, \(dim"):
        tj.linalg.runtime("solve", lambda x: A @ x, B, rtol=0.1)


def test_zero_has_no_relative_error():
    for method in ("steps", "exact"):
        with pytest.raises(ValueError, match="b is zero"):
            tj.linalg.solve(A, jnp.zeros(2), KEY, rtol=0.1, method=method)
    with pytest.raises(ValueError, match="b is zero"):
        tj.linalg.runtime("solve", A, jnp.zeros(2), rtol=0.1)
