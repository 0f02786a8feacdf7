"""How modes forget, against the matrix exponential and sums over it."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, linalg

import thermojax as tj
from thermojax.linalg.device.device import Device
from thermojax.linalg.device.relaxation import mean_memory, relaxation_of

VALUES = jnp.array([0.3, 1.0, 7.0])
BATH = tj.Bath(temperature=0.7, friction=2.0, mass=1.5)  # over- and underdamped modes


def memory(dynamics, k, t):
    """phi(t) of one mode, by the exponential of its equations of motion."""
    gamma, mass = 2.0, 1.5
    if dynamics == "overdamped":
        return np.exp(-k * t / gamma)
    return linalg.expm(t * np.array([[0, 1 / mass], [-k, -gamma / mass]]))[0, 0]


@pytest.mark.parametrize("dynamics", ["overdamped", "underdamped"])
def test_memories_and_their_averages(dynamics):
    found = relaxation_of(VALUES, Device(dynamics, BATH, 0.0, 0.0, 0.0))
    at = lambda t: np.array([memory(dynamics, k, t) for k in np.asarray(VALUES)])
    np.testing.assert_allclose(found.at(1.3), at(1.3), rtol=1e-10)
    part = lambda f, i: integrate.quad(lambda t: float(f(t)[i]), 0, 5.0, epsabs=1e-12)[0]
    late = [part(lambda t: at(0.4 + t), i) / 5.0 for i in range(3)]
    np.testing.assert_allclose(found.average(0.4, 5.0), late, rtol=1e-9)
    twice = [part(lambda t: 2 * (5.0 - t) * at(t), i) / 25.0 for i in range(3)]
    np.testing.assert_allclose(found.twice_averaged(5.0), twice, rtol=1e-9)
    count, apart = 20, 0.25
    ladder = np.array([at(i * apart) for i in range(count)])
    lags = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    np.testing.assert_allclose(
        found.sampled(apart, count), ladder[lags].sum((0, 1)) / count**2, rtol=1e-10
    )


def test_short_and_long_averages_keep_their_digits():
    x = np.array([1e-12, 1e-6, 1e-3, 1.0, 1e3])
    series = 0.5 - x / 6 + x**2 / 24 - x**3 / 120
    exact = np.where(x < 0.1, series, (x + np.expm1(-x)) / x**2)
    np.testing.assert_allclose(mean_memory(jnp.asarray(x)), exact, rtol=1e-9)
    slim = mean_memory(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(slim, exact, rtol=1e-4)
