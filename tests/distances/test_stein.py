"""The kernel Stein discrepancy against its definition, and the level and power of its p-value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(0)


def test_the_discrepancy_is_that_of_the_operators_applied_to_the_kernel():
    """Two points and unequal weights, in units of their own, by automatic differentiation."""
    x = jax.random.normal(KEY, (4, 3)) * jnp.array([1.0, 5.0, 0.1])
    w = jnp.array([0.1, 0.2, 0.3, 0.4])
    unit = jnp.sqrt(w @ (x - w @ x) ** 2)

    def log_p(y):
        return -jnp.sum(y**4) / 4

    def kernel(a, b):
        return (1 + jnp.sum(((a - b) / unit) ** 2) / 3) ** -0.5

    def stein(a, b):
        # In coordinates of unit spread times sqrt(3): derivatives carry the unit.
        scale = unit * jnp.sqrt(3.0)
        s, t = jax.grad(log_p)(a) * scale, jax.grad(log_p)(b) * scale
        da, db = (jax.grad(kernel, i)(a, b) * scale for i in (0, 1))
        mixed = jax.jacfwd(jax.grad(kernel, 0), 1)(a, b) * scale[:, None] * scale
        return s @ t * kernel(a, b) + s @ db + t @ da + jnp.trace(mixed)

    expected = sum(w[i] * w[j] * stein(x[i], x[j]) for i in range(4) for j in range(4))
    found = tj.distances.stein_discrepancy(x, jax.vmap(jax.grad(log_p))(x), w)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_its_p_value_has_its_level_and_its_power():
    """300 samples of 100 points in two dimensions, plain and weighted; then a scale 1.6 times off.

    The bootstrap has its level for many points: 0.05 within 4 errors and 0.02.
    """
    trials, n = 300, 100
    keys = jax.random.split(KEY, trials)
    x = jax.random.normal(jax.random.key(1), (trials, n, 2))

    def test(x, key, width, wide):
        y = width * wide * x
        log_weight = -jnp.sum(x**2, axis=1) * (wide**2 - 1) / 2
        weights = jax.nn.softmax(log_weight)
        return tj.distances.stein_p_value(y, -y, key, weights, replicas=200)

    run = jax.jit(
        lambda width, wide: jax.lax.map(lambda a: test(a[0], a[1], width, wide), (x, keys))
    )
    for wide in (1.0, 1.2):
        rate = np.mean(run(1.0, wide) <= 0.05)
        assert abs(rate - 0.05) < 0.02 + 4 * np.sqrt(0.05 * 0.95 / trials)
    assert np.mean(run(1.6, 1.0) <= 0.05) > 0.9


def test_bad_input_is_answered_in_words():
    x = np.zeros((3, 2))
    stein = tj.distances.stein_discrepancy
    for message, call in {
        "score has shape": lambda: stein(x, np.zeros((3, 1))),
        "x has shape": lambda: stein(np.zeros(3), x),
        "x = ": lambda: stein(np.full((3, 2), np.nan), x),
        "weights": lambda: stein(x, x, np.ones(2)),
        "replicas = 0": lambda: tj.distances.stein_p_value(x, x, KEY, replicas=0),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
