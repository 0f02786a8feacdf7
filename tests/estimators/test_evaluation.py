"""A large batch in chunks: its statistics are those of all paths, however often it is stopped."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax._calls import alone
from thermojax.estimators import Evaluation, evaluation
from thermojax.estimators.evaluation import dissipated, mean_of, merged_moments

TRAP = tj.Harmonic(1.0, center=[0.0], control="center")
SYSTEM = tj.Overdamped(TRAP, tj.Linear(0.0, 2.0, 1.0), tj.Bath())
SIZES: dict[str, Any] = {
    "dt": 0.05,
    "batch": 48,
    "chunk": 16,
    "initial": tj.Equilibrium(jnp.zeros(1)),
}


def test_chunks_are_one_batch():
    """The moments through time, merged chunk by chunk, end in those of the paths."""
    seen = []
    found = alone(evaluation(SYSTEM, jax.random.key(0), **SIZES, callback=seen.append))
    assert seen == [16, 32, 48] and found.diverged == 0 and found.position.shape == (48, 1)
    assert found.times.shape == (21,) and found.times[-1] == pytest.approx(1.0)
    for entry in ("work", "heat", "shadow_work"):
        paths, through = found.paths[entry], found.mean[entry]
        assert len(set(paths)) == 48 or entry == "shadow_work"
        np.testing.assert_allclose(np.asarray(through.value)[-1], paths.mean(), atol=1e-12)
        np.testing.assert_allclose(found.spread[entry][-1], paths.std(ddof=1), rtol=1e-9)
        np.testing.assert_allclose(
            np.asarray(through.error)[-1], found.average(entry).error, rtol=1e-9
        )


class Killed(Exception):
    pass


def killed(paths):
    if paths == 32:
        raise Killed


def test_a_batch_that_was_stopped_goes_on_where_it_was(tmp_path):
    kept = lambda: tj.Checkpoint(tmp_path / "chunks.ckpt", interval=0)
    key, seen = jax.random.key(1), []
    with pytest.raises(Killed):
        alone(evaluation(SYSTEM, key, **SIZES, callback=killed, checkpoint=kept()))
    again = alone(evaluation(SYSTEM, key, **SIZES, callback=seen.append, checkpoint=kept()))
    whole = alone(evaluation(SYSTEM, key, **SIZES))
    assert seen == [16, 32, 48]  # the first is there already
    np.testing.assert_array_equal(again.position, whole.position)
    for entry, values in whole.paths.items():
        np.testing.assert_array_equal(again.paths[entry], values)
    for entry, through in whole.mean.items():
        np.testing.assert_array_equal(again.mean[entry].value, through.value)


def test_merged_moments():
    values = np.random.default_rng(0).normal(5, 2, (100, 1, 3))

    def of(part):
        mean = part.mean(0)
        return np.full(1, len(part), float), mean, ((part - mean) ** 2).sum(0)

    count, mean, squares = merged_moments(merged_moments(None, of(values[:30])), of(values[30:]))
    assert count == 100
    np.testing.assert_allclose(mean, values.mean(0))
    np.testing.assert_allclose(squares / 100, values.var(0))


def test_error_of_the_dissipated_work():
    """Gaussian work: W_diss = variance / 2; the stated error is the scatter of the estimate."""
    rng, estimates, errors = np.random.default_rng(1), [], []
    for _ in range(400):
        work = rng.normal(2.5, 1.0, 500)
        nothing = np.zeros(0)
        paths = {"total_work": work}
        one = Evaluation(nothing, paths, -work, np.ones(500), nothing, {}, {})
        found = dissipated(one, one)
        estimates.append(float(found.value))
        errors.append(float(found.error))
    scatter = np.std(estimates, ddof=1)  # known to 1 / sqrt(800) = 3.5 %
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(scatter, rel=0.15)
    assert mean_of(np.array(estimates)).value == pytest.approx(0.5, abs=0.02)
