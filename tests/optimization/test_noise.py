"""Opposite noise and one noise for all steps: what they do to the variance, where theory says it.

A dragged trap: x is linear in the noise, so dW/d(schedule) is, too, and W itself up to the second
order of the shadow work. Pairs of opposite noise then leave nothing of the gradient's variance. The
work of a stiffness is even in the noise: there a pair is one path, run twice.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from tests.optimization.test_optimize import trap_work
from thermojax.optimization.picture import Runs, prepare_picture

KEY = jax.random.key(31)
POINT = tj.Equilibrium(jnp.zeros(1))
VALUES = jnp.array([0.2, 0.5, 0.9])
STEPS, BATCH = 10, 64


def dragged(values=VALUES):
    protocol = tj.PiecewiseLinear(values, 1.0, 0.0, 1.0)
    return tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())


def squeezed(values=VALUES):
    protocol = tj.PiecewiseLinear(1 + values, 1.0, 1.0, 2.0)
    return tj.Overdamped(tj.Harmonic(control="stiffness"), protocol, tj.Bath())


@functools.cache
def estimator(build, antithetic):
    """keys -> (mean work, its error, its gradient) of each, at some values of the schedule."""
    _, paths = prepare_picture(
        build(), KEY, initial=POINT, batch=BATCH, time_steps=STEPS, antithetic=antithetic
    )

    def work(values, key):
        found = tj.MeanWork().of(Runs(build(values), paths, key))
        return found.value, found.error

    one = lambda values, key: jax.value_and_grad(work, has_aux=True)(values, key)
    return jax.jit(lambda values, keys: jax.lax.map(lambda key: one(values, key), keys))


@pytest.mark.slow
def test_opposite_noise_leaves_a_dragged_trap_no_variance():
    keys = jax.random.split(KEY, 40)
    (plain, error), slope = estimator(dragged, False)(VALUES, keys)
    (paired, paired_error), paired_slope = estimator(dragged, True)(VALUES, keys)
    assert np.all(np.std(slope, axis=0) > 0.03)  # 0.062 to 0.09, and 40 batches tell it to 11 %
    np.testing.assert_allclose(paired_slope, np.broadcast_to(paired_slope[0], (40, 3)), atol=1e-12)
    # The same expectation, and a work of a fiftieth of the variance, as its error knows.
    assert np.all(abs(slope.mean(0) - paired_slope[0]) < 4.5 * np.std(slope, axis=0) / np.sqrt(40))
    assert np.var(paired) < np.var(plain) / 50
    assert abs(plain.mean() - paired.mean()) < 4.5 * np.std(plain) / np.sqrt(40)
    for values, errors in ((plain, error), (paired, paired_error)):
        assert 0.6 < np.mean(errors) / np.std(values) < 1.6  # 40 batches tell a spread to 11 %


def test_common_noise_sharpens_differences():
    """cost(a) - cost(b) on one key, against the same on two."""
    work = estimator(dragged, False)
    (here, _), _ = work(VALUES, jax.random.split(KEY, 40))
    (there, _), _ = work(VALUES + 0.02, jax.random.split(KEY, 40))
    common, independent = np.std(here - there), np.std(here - np.roll(there, 1))
    assert common < 0.1 * independent


@pytest.mark.slow
def test_opposite_noise_is_wasted_on_an_even_work_and_its_error_says_so():
    keys = jax.random.split(KEY, 200)
    (plain, _), _ = estimator(squeezed, False)(VALUES, keys)
    (paired, error), _ = estimator(squeezed, True)(VALUES, keys)
    assert 1.5 < np.var(paired) / np.var(plain) < 2.7  # 2; 200 batches tell a ratio to 14 %
    assert 0.8 < np.mean(error) / np.std(paired) < 1.2


@pytest.mark.slow
def test_training_on_common_noise_converges_and_is_scored_on_fresh_noise():
    """The loss is a function: its slope goes to rounding; with pairs its optimum is true."""
    fit = tj.optimize(
        dragged(),
        tj.MeanWork(),
        optax.sgd(0.4, momentum=0.8),
        KEY,
        time_steps=STEPS,
        batch=BATCH,
        steps=400,
        initial=POINT,
        antithetic=True,
        common_noise=True,
        tolerance=1e-8,
    )
    assert "the gradient fell below 1e-08" in fit.stopped
    assert fit.candidates["last"].value != fit.history["loss"][-1]
    # W* = 1/3 (REFERENCE section 1), in ten steps of time.
    assert 1 / 3 < trap_work(fit.system.protocol) < 1.005 / 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(batch=7, time_steps=4, initial=POINT), "batch = 7: antithetic paths come in pairs"),
        (dict(picture=tj.ExactMoments(), initial=POINT), "antithetic is given: a ExactMoments has"),
    ],
)
def test_opposite_noise_is_refused_where_there_are_no_pairs(options, words):
    with pytest.raises(ValueError, match=words):
        prepare_picture(dragged(), KEY, antithetic=True, **options)
