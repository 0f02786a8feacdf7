"""Estimators of the gradient against one another, and what each is for."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from thermojax.optimization.picture import Runs, prepare_picture

KEY = jax.random.key(12)
POINT = tj.Equilibrium(jnp.zeros(1))
ADAM = optax.adam(0.3)


def system_of(kind, leaves):
    values, stiffness = leaves
    protocol = tj.PiecewiseLinear(values, 1.0, 0.0, 1.0)
    return kind(tj.Harmonic(stiffness, control="center"), protocol, tj.Bath(friction=1.3))


LEAVES = (jnp.array([0.2, 0.5, 0.9]), jnp.array(1.4))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [tj.Overdamped, tj.Underdamped])
def test_the_score_gradient_is_the_pathwise_one(kind):
    """Of <x^2> at the end, in the schedule and in the stiffness, which moves the start as well."""
    _, paths = prepare_picture(
        system_of(kind, LEAVES),
        KEY,
        initial=POINT,
        batch=400,
        time_steps=8,
        integrator=tj.OBABO(),
    )
    scored = tj.ScoreFunction().picture(paths)

    def mean_square(leaves, key, picture):
        runs = Runs(system_of(kind, leaves), picture, key)
        out: Any = runs.counted
        return out.mean(out.position[:, 0] ** 2).value

    def gradient(picture):
        one = lambda key: jax.grad(mean_square)(LEAVES, key, picture)
        found = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(KEY, 100))
        return np.concatenate([found[0], found[1][:, None]], axis=1)

    by_score, by_path = gradient(scored), gradient(paths)
    error = by_score.std(axis=0) / 10
    difference = by_score.mean(axis=0) - by_path.mean(axis=0)
    assert np.all(abs(by_path.mean(axis=0)) > 8 * error)  # the test would see a gradient of zero
    # The ratio of means is biased by 1/batch.
    assert np.all(abs(difference) < 4.5 * np.hypot(error, by_path.std(axis=0) / 10) + 5e-3)


def dragged():
    protocol = tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=3)
    return tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())


def trained(objective, **options):
    common: dict[str, Any] = dict(time_steps=8, batch=400, steps=6, integrator=tj.OBABO())
    return tj.optimize(dragged(), objective, ADAM, KEY, initial=POINT, **(common | options))


@pytest.mark.slow
def test_a_count_needs_a_gradient_that_sees_it():
    """P(x < 1) of a trap: down by the score, and by smoothing; else refused."""
    error = tj.ErasureError("above", 1.0)
    with pytest.raises(ValueError, match="the objective counts paths"):
        trained(tj.MeanWork() + 2.0 * error)
    for gradient in (
        tj.ScoreFunction(),
        tj.Smoothed(optax.exponential_decay(1.0, 3, 0.5)),
    ):
        fit = trained(error, gradient=gradient)
        losses = fit.history["loss"]
        assert losses[-1] < losses[0] - 4 * fit.history["error"][0]
        counts = losses * 400
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)  # what is told is the count


@pytest.mark.slow
def test_forward_mode_is_reverse_mode():
    objective = tj.MeanWork()
    fits = [
        trained(objective, gradient=gradient, steps=2)
        for gradient in (tj.ForwardMode(), tj.Pathwise())
    ]
    np.testing.assert_allclose(fits[0].history["slope"], fits[1].history["slope"], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(integrator=tj.BAOAB()), "integrator=tj.OBABO"),
        (dict(picture=tj.ExactMoments(), batch=None, time_steps=8), "is for paths"),
    ],
)
def test_score_functions_refuse_in_words(options, words):
    with pytest.raises(ValueError, match=words):
        trained(tj.ErasureError("above", 1.0), gradient=tj.ScoreFunction(), **options)


def test_a_width_must_be_positive():
    with pytest.raises(ValueError, match="width = 0"):
        tj.Smoothed(0.0)


@pytest.mark.slow
def test_an_objective_that_does_not_depend_on_the_protocol():
    """Its own cost is a constant, whatever trains: said before training."""
    with pytest.raises(ValueError, match="ScaledCost does not depend on what trains"):
        trained(0.0 * tj.MeanWork())


@pytest.mark.slow
def test_a_network_trains_as_a_whole():
    protocol = tj.Neural.between(0.0, 5.0, 1.0, key=KEY, width=4, depth=1)
    system = tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    fit = tj.optimize(
        system, tj.MeanWork(), optax.lbfgs(), steps=25, picture=tj.ExactMoments(), initial=POINT
    )
    np.testing.assert_allclose(fit.value.value, 25 / 3, rtol=1e-3)
