"""Linear systems by a device, REFERENCE section 5: R1, R3, R10."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(26)
A = jnp.array([[3.0, 2.0], [2.0, 4.0]])
B = jnp.array([1.0, 2.0])
X = np.array([0.0, 0.5])
# Mean squared errors of the average over tau from equilibrium, at beta = gamma = 1.
R1 = {1.0: 0.507156079589, 10.0: 0.096289066304, 100.0: 0.010244140625, 1000.0: 0.001030566406}


@pytest.mark.parametrize("tau", R1)
def test_r1_by_the_exact_law(tau):
    """E|x - x*|^2 over many devices; 6.9 relaxation times leave 1e-6 of the square of the start."""
    found = tj.linalg.solve(A, B, KEY, time=tau, trajectories=4000)
    assert found.decomposed
    law = found.error**2 * 4000
    np.testing.assert_allclose(jnp.sum(law), R1[tau], rtol=1e-9)
    np.testing.assert_array_less(np.abs(found.value - X), 4 * np.asarray(found.error))


def test_r3():
    tridiagonal = 2 * jnp.eye(8) + 0.5 * (jnp.eye(8, k=1) + jnp.eye(8, k=-1))
    for rtol, probability, markov, exact in ((0.1, 0.9, 5817, 1046), (0.05, 0.95, 46537, 5075)):
        found = tj.linalg.runtime(tridiagonal, jnp.ones(8), rtol, probability)
        assert found.markov == pytest.approx(markov, rel=1e-2)
        assert found.averaging == pytest.approx(exact, rel=1e-2)


def steps(tau, dynamics, trajectories, bath=None):
    """By products alone: A is a function."""
    return tj.linalg.solve(
        lambda x: A @ x, B, KEY, time=tau, dynamics=dynamics, trajectories=trajectories, bath=bath
    )


@pytest.mark.parametrize("dynamics", ["overdamped", "underdamped"])
def test_errors_by_steps_are_those_of_the_law(dynamics):
    """The scatter of 512 devices of tau = 10, whose relative error is 1/sqrt(2 x 31)."""
    found = steps(10.0, dynamics, 512)
    assert not found.decomposed
    exact = tj.linalg.solve(A, B, KEY, time=10.0, dynamics=dynamics, trajectories=512)
    np.testing.assert_array_less(np.abs(found.value - X), 4.5 * np.asarray(exact.error))
    np.testing.assert_allclose(found.error, exact.error, rtol=4.5 / np.sqrt(2 * 31))
    # Energies over repetitions agree within their errors.
    for name in ("work", "heat"):
        one, other = getattr(found.energy, name), getattr(exact.energy, name)
        assert abs(one.value - other.value) < 4.5 * np.hypot(one.error, other.error)


@pytest.mark.parametrize("dynamics", ["overdamped", "underdamped"])
def test_the_inverse_both_ways(dynamics):
    for a in (A, lx.MatrixLinearOperator(A)):
        found = tj.linalg.inv(a, KEY, time=50.0, dynamics=dynamics, trajectories=64)
        off = np.abs(found.value - np.linalg.inv(A)) / np.asarray(found.error)
        assert np.all(off < 5)
