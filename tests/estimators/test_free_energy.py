"""The exponential average against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from thermojax.estimators.free_energy import jarzynski


def test_gaussian_work():
    """W ~ N(mu, s^2) has ln <exp(-W)> = -mu + s^2/2 and var(w)/mean(w)^2 = exp(s^2) - 1."""
    n, mu, s = 200_000, 60.0, 0.8
    found = jarzynski(-(mu + s * jax.random.normal(jax.random.key(0), (n,))))
    error = np.sqrt(np.expm1(s**2) / n)
    assert float(found.log_ratio.error) == pytest.approx(error, rel=0.05)
    assert abs(float(found.log_ratio.value) - (-mu + s**2 / 2)) < 4 * error
    assert float(found.effective_samples) == pytest.approx(n * np.exp(-(s**2)), rel=0.05)
    assert float(found.difference(2.0).value) == pytest.approx(2 * (mu - s**2 / 2), abs=8 * error)
    assert float(found.bias) == pytest.approx(error**2 / 2, rel=0.1)


def test_equal_weights_and_extremes():
    found = jarzynski(jnp.full(10, -3e4))
    assert float(found.log_ratio.value) == -3e4 and float(found.log_ratio.error) == 0
    assert float(found.effective_samples) == 10
    one = jarzynski(jnp.array([0.0, -1e5, -1e5, -1e5]))
    assert float(one.effective_samples) == 1
    assert float(one.log_ratio.error) == pytest.approx(1.0)  # one path carries everything


def test_paths_left_out():
    log_weight = jnp.array([1.0, jnp.nan, 2.0, jnp.inf])
    found = jarzynski(log_weight, jnp.array([1.0, 0.0, 1.0, 0.0]))
    wanted = jarzynski(jnp.array([1.0, 2.0]))
    assert float(found.log_ratio.value) == pytest.approx(float(wanted.log_ratio.value))
    assert float(found.log_ratio.error) == pytest.approx(float(wanted.log_ratio.error))
    assert int(found.log_ratio.count) == 2


def test_refusals():
    with pytest.raises(ValueError, match=r"shape \(2, 2\): expected \(paths,\)"):
        jarzynski(jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="fewer than two"):
        jarzynski(jnp.zeros(3), jnp.array([1.0, 0.0, 0.0]))
