"""The counter-based Gaussian generator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from thermojax.dynamics.random import circle, key_words, normal, normal_pair, threefry

U = np.uint32


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [  # known answers of the Random123 distribution for threefry2x32, 20 rounds
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers(key, counter, expected):
    key, counter = (tuple(jnp.uint32(w) for w in pair) for pair in (key, counter))
    assert tuple(int(w) for w in threefry(key, counter)) == expected


@pytest.mark.parametrize(("dtype", "error"), [(jnp.float32, 2e-7), (jnp.float64, 1e-15)])
def test_cosine_and_sine_are_accurate_in_all_quadrants(dtype, error):
    words = np.linspace(0, 2**32 - 1, 100_001).astype(np.uint32)
    angle = 2 * np.pi * words.astype(float) / 2**32
    found = circle(jnp.asarray(words), dtype)
    for value, exact in zip(found, (np.cos(angle), np.sin(angle)), strict=True):
        assert np.max(np.abs(np.asarray(value, float) - exact)) < error


def draw(steps, size, dtype=jnp.float32, seed=0):
    words = key_words(jax.random.key(seed))
    index = jnp.arange(size, dtype=jnp.uint32)
    return normal(words, index, jnp.asarray(steps, jnp.uint32)[:, None], dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_moments_and_distribution(dtype):
    z = np.asarray(draw(range(64), 2**15, dtype), float).ravel()
    n = z.size
    for order in range(1, 9):
        exact = 0.0 if order % 2 else float(np.prod(np.arange(1, order, 2)))
        square = float(np.prod(np.arange(1, 2 * order, 2)))
        error = np.sqrt((square - exact**2) / n)
        assert abs(np.mean(z**order) - exact) < 4 * error
    assert stats.kstest(z, "norm").pvalue > 1e-4
    for level in (3.0, 4.0, 5.0):
        expected = 2 * stats.norm.sf(level) * n
        assert abs(np.sum(np.abs(z) > level) - expected) < 5 * np.sqrt(expected) + 1


def test_counters_do_not_correlate():
    z = np.asarray(draw(range(16), 2**16), float)
    correlations = z @ z.T / z.shape[1]
    off = correlations[~np.eye(16, dtype=bool)]
    assert np.max(np.abs(off)) < 5 / np.sqrt(z.shape[1])
    # the two halves of a pair share their radius: squares too must be independent
    squares = (z**2 - 1) / np.sqrt(2)
    pairs = np.mean(squares[0::2] * squares[1::2])
    assert abs(pairs) < 5 / np.sqrt(8 * z.shape[1])
    shifted = np.mean(z[:, 1:] * z[:, :-1])
    assert abs(shifted) < 5 / np.sqrt(z.size)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_pairs_are_the_normals_of_two_steps(dtype):
    words, index = key_words(jax.random.key(5)), jnp.arange(1000, dtype=jnp.uint32)
    both = normal_pair(words, index, U(3), dtype)
    np.testing.assert_array_equal(both.real, normal(words, index, U(6), dtype))
    np.testing.assert_array_equal(both.imag, normal(words, index, U(7), dtype))


def test_keys_of_any_kind_give_words():
    for implementation in ("threefry2x32", "rbg"):
        words = key_words(jax.random.key(1, impl=implementation))
        assert all(w.dtype == jnp.uint32 for w in words)
