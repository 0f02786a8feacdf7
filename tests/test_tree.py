"""Sums over the numbers of one sample, in all the ways that a CPU is fast at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from thermojax import _tree

SIZES = (1, 3, 4, 16, 17, 33, 128, 129, 144, 1000)


@pytest.mark.parametrize("functions", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_total_is_the_sum_however_long_the_row(size, functions, monkeypatch):
    monkeypatch.setattr(_tree, "small_loops_are_compiled", lambda: functions)
    x = np.random.default_rng(size).normal(size=size)
    value, slope = jax.value_and_grad(_tree.total)(jnp.asarray(x))
    np.testing.assert_allclose(value, x.sum(), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(slope, np.ones(size))
    batch = jnp.asarray(np.stack([x, -2 * x]))
    np.testing.assert_allclose(_tree.per_sample_sum(batch), [value, -2 * value], rtol=1e-12)


@pytest.mark.parametrize("functions", [False, True])
def test_total_goes_over_all_axes(functions, monkeypatch):
    monkeypatch.setattr(_tree, "small_loops_are_compiled", lambda: functions)
    x = np.random.default_rng(0).normal(size=(7, 5, 6))
    np.testing.assert_allclose(_tree.total(jnp.asarray(x)), x.sum(), rtol=1e-12)
