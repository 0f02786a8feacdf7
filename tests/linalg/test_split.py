"""One device time shared by some trajectories, against runs of the exact law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.linalg.device.device import device_for
from thermojax.linalg.device.exact import modes_of, visited

KEY = jax.random.key(26)
A = jnp.array([[3.0, 2.0], [2.0, 4.0]])
B = jnp.array([1.0, 2.0])


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", ["overdamped", "underdamped"])
def test_errors_of_solutions(dynamics):
    """Bias and spread of the mean over 4,000 runs, of two trajectories and of eight."""
    modes, runs, wait = modes_of(A), 4000, 0.4
    device, exact = device_for(modes.spectrum, dynamics, None), np.linalg.solve(A, B)
    law = tj.linalg.split(
        A, B, time=12.0, trajectories=(2, 8), equilibration=wait, dynamics=dynamics
    )
    for i, count in enumerate((2, 8)):
        numbers = jnp.asarray([wait, 12.0 / count - wait, device.rest])
        run = lambda key, n=numbers, m=count: (
            visited(modes, B, dynamics, device.bath, n, m, key).value
        )
        off = np.asarray(jax.vmap(run)(jax.random.split(KEY, runs))) - exact
        squares, error = np.sum(off**2, axis=1), np.std(off, axis=0) / np.sqrt(runs)
        assert abs(squares.mean() - law.error[i] ** 2) < 4.5 * squares.std() / np.sqrt(runs)
        bias = np.linalg.norm(off.mean(axis=0))
        assert abs(bias - law.bias[i]) < 4.5 * np.linalg.norm(error)
    assert law.bias[1] > 4.5 * np.linalg.norm(error)  # and is seen


def test_errors_of_inverses():
    """Against modes moved one fine step after the other, by NumPy."""
    rng, runs, step, wait, time = np.random.default_rng(0), 4000, 0.01, 0.2, 2.0
    k = np.linalg.eigvalsh(A)
    y = rng.normal(size=(runs, 2)) / np.sqrt(k[-1])
    kept = np.exp(-k * step)
    total = np.zeros((runs, 2, 2))
    for i in range(round((wait + time) / step)):
        y = kept * y + np.sqrt((1 - kept**2) / k) * rng.normal(size=y.shape)
        if i * step > wait - 1e-9:
            total += y[:, :, None] * y[:, None, :] * step / time
    off = total - np.diag(1 / k)
    law = tj.linalg.split(A, time=wait + time, trajectories=(1,), equilibration=wait)
    squares = np.sum(off**2, axis=(1, 2))
    assert abs(squares.mean() - law.error[0] ** 2) < 4.5 * squares.std() / np.sqrt(runs)
    bias = np.linalg.norm(off.mean(axis=0))
    assert abs(bias - law.bias[0]) < 4.5 * squares.std() / np.sqrt(runs)
    assert law.bias[0] > 0.05


def test_long_times_are_those_of_one_average():
    """R1 and R2 where nothing is left of the start."""
    for b, time, expected in ((B, 100.0, 0.010244140625), (None, 100.0, 0.007525740892)):
        law = tj.linalg.split(A, b, time=time + 30.0, trajectories=(1,), equilibration=30.0)
        assert law.error[0] ** 2 == pytest.approx(expected, rel=1e-6)
        assert law.bias[0] < 1e-12


def test_the_best_equilibration():
    """No other is better; and one trajectory wins where the answer is far from the start."""
    far = jnp.array([100.0, 200.0])
    best = tj.linalg.split(A, far, time=50.0, trajectories=(1, 4, 16))
    assert best.best == 1
    np.testing.assert_allclose(best.trajectories * best.delay, 50.0)
    for wait in np.linspace(0.0, 3.0, 31):
        other = tj.linalg.split(A, far, time=50.0, trajectories=(1, 4, 16), equilibration=wait)
        np.testing.assert_array_less(best.error, other.error * (1 + 1e-4))


def test_cold_starts_scatter_less():
    """Of short trajectories whose answer is within the noise, the bias costs less than it saves."""
    law = tj.linalg.split(A, B, time=2.0, trajectories=(1, 8), equilibration=0.0)
    assert law.best == 8 and law.bias[1] > law.bias[0] and law.spread[1] < law.spread[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"time": 0.0}, "time = 0.0: expected a positive time"),
        ({"trajectories": ()}, r"trajectories = \(\): expected a sequence"),
        ({"trajectories": 4}, "trajectories = 4: expected a sequence"),
        ({"trajectories": (1, 0)}, "trajectories = 0: expected a positive whole number"),
        ({"equilibration": 5.0}, r"less than time / trajectories = 2\.5"),
        ({"b": None, "dynamics": "underdamped"}, "expected b, or dynamics='overdamped'"),
        ({"A": -A}, "indefinite"),
    ],
)
def test_refusals(given, words):
    valid = {"A": A, "b": B, "time": 10.0, "trajectories": (1, 4)}
    with pytest.raises(ValueError, match=words):
        tj.linalg.split(**valid | given)
