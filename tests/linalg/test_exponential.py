"""Matrix exponentials by the memory of a device, REFERENCE section 5: c = 2.4681."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from scipy.linalg import expm

import thermojax as tj

KEY = jax.random.key(26)
A = jnp.array([[1.0, -0.5], [0.3, 0.8]])
METHODS = ["steps", "exact"]
rng = np.random.default_rng(0)


def squares_law(decay, samples: Any = np.inf):
    """N E|C - E|_F^2 of N successive samples, which the docstring of `expm` states."""
    power = np.linalg.matrix_power
    c = lambda k: power(decay, k) if k >= 0 else power(decay, -k).T
    lags = range(-min(samples - 1, 100), min(samples, 101))
    terms = [np.trace(c(k)) ** 2 + np.trace(c(k + 1) @ c(k - 1)) for k in lags]
    return sum((1 - abs(k) / samples) * x for k, x in zip(lags, terms, strict=True))


def test_the_constant_of_the_error():
    """RMS c / sqrt(N), c = 2.4681, over 40 repetitions of 32 devices with 400 samples each."""
    decay = expm(-np.asarray(A))
    assert np.sqrt(squares_law(decay)) == pytest.approx(2.4681, abs=5e-5)
    scatter, squares = [], []
    for key in jax.random.split(KEY, 40):
        found = tj.linalg.expnegm(A, key, time=400.0, trajectories=32, shift=0.0)
        scatter.append(found.samples * float(jnp.sum(found.error**2)))  # 32 repetitions
        squares.append(found.samples * float(jnp.sum((found.value - decay) ** 2)))
    assert found.samples == 12_800
    for one in (scatter, squares):
        error = np.std(one) / np.sqrt(40)
        assert abs(np.mean(one) - squares_law(decay, 400)) < 3 * error
        assert abs(np.mean(one) - 2.4681**2) < 3 * error
    assert np.std(scatter) / np.sqrt(40) < 0.04 * 2.4681**2


@pytest.mark.parametrize("method", METHODS)
def test_against_scipy(method):
    """Not normal, with eigenvalues on both sides of zero; and the errors that are said."""
    a = rng.normal(size=(4, 4)) / 2 + np.diag([1.0, -1.0, 0.0, 0.5])
    for function, sign in ((tj.linalg.expm, 1), (tj.linalg.expnegm, -1)):
        found = function(a, KEY, time=400.0, trajectories=64, method=method)
        right = expm(sign * a)
        assert np.all(np.abs(found.value - right) < 4.5 * found.error)
        c = (np.sqrt(3) - 1) / 2 + np.linalg.eigvalsh(sign * (a + a.T) / 2)[-1]
        law = np.exp(2 * c) * squares_law(expm(sign * a - c * np.eye(4))) / found.samples
        assert float(jnp.sum(found.error**2)) == pytest.approx(law, rel=4.5 * np.sqrt(2 / 31))


def test_the_shift_that_is_taken_is_near_the_best():
    """The law of the squared error, e^(2 c) times that of e^-B, over many shifts."""
    for scale in (0.3, 1.0, 3.0):
        a = scale * (rng.normal(size=(6, 6)) + np.eye(6))
        lowest = np.linalg.eigvalsh((a + a.T) / 2)[0]
        laws = [
            np.exp(2 * u) * squares_law(expm(-a - (u - lowest) * np.eye(6)))
            for u in ((np.sqrt(3) - 1) / 2, *np.linspace(0.05, 2.0, 20))
        ]
        assert laws[0] < 2 * min(laws)


def test_operators_are_multiplied():
    """By products alone; the answer after e^A of a size that floats have."""
    matrix = np.asarray(A)

    def multiply(x):
        structure = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(lambda x: x @ matrix.T, structure, x, vmap_method="broadcast_all")

    operator = lx.FunctionLinearOperator(multiply, jax.ShapeDtypeStruct((2,), A.dtype))
    found = tj.linalg.expm(operator, KEY, time=20.0, trajectories=32)
    assert np.all(np.abs(found.value - expm(matrix)) < 4.5 * found.error)
    with pytest.raises(ValueError, match="known by its products alone"):
        tj.linalg.expm(operator, KEY, time=20.0, method="exact")


def test_heat_that_never_ends():
    """The power against what the same device takes, watched as one for a Lyapunov equation."""
    b = np.asarray(A)
    for method in METHODS:
        found = tj.linalg.expnegm(b, KEY, time=200.0, trajectories=64, shift=0.0, method=method)
        spent = 64 * found.time.total * found.time.relaxation
        power = found.energy.work.value / spent
        other = tj.linalg.lyapunov(b, b + b.T, KEY, time=200.0, trajectories=64)
        watched = 64 * other.time.total * other.time.relaxation
        work = other.energy.work
        assert power == pytest.approx(
            float(work.value) / watched, abs=4.5 * float(work.error) / watched
        )
        assert 0.1 * power > work.error / watched
    found = tj.linalg.expnegm(b + b.T, KEY, time=200.0, trajectories=64, shift=0.0)
    assert abs(found.energy.work.value) < 1e-9 * spent


def test_float32():
    found = tj.linalg.expm(A.astype(jnp.float32), KEY, time=100.0, trajectories=64)
    assert found.value.dtype == jnp.float32
    assert np.all(np.abs(found.value - expm(np.asarray(A))) < 4.5 * found.error)


def test_a_tolerance():
    found = tj.linalg.expm(A, KEY, rtol=0.1, trajectories=32)
    right = expm(np.asarray(A))
    assert np.linalg.norm(found.value - right) < 0.1 * np.linalg.norm(right)
    assert np.linalg.norm(found.error) < 0.032 * np.linalg.norm(found.value)


@pytest.mark.parametrize(
    ("a", "words"),
    [
        (jnp.ones((2, 3)), r"A has shape \(2, 3\).*only square matrices have an exponential"),
        (A.at[0, 0].set(jnp.inf), "A is not finite"),
        (1j * A, "A is complex"),
        (1e4 * jnp.eye(2), r"A is too large: its exponential is of the order e\^1e\+04"),
        (lambda x: A @ x, "pass a lineax operator"),
    ],
)
def test_refusals(a, words):
    for method in METHODS:
        with pytest.raises(ValueError, match=words):
            tj.linalg.expm(a, KEY, time=1.0, method=method)


def test_more_refusals():
    with pytest.raises(ValueError, match=r"shift = -1: .* symmetric part -0.241.*more than -0.759"):
        tj.linalg.expnegm(A, KEY, time=1.0, shift=-1.0)
    with pytest.raises(ValueError, match=r"shift = 0: .*expected more than 1.04"):
        tj.linalg.expm(A, KEY, time=1.0, shift=0.0)
    with pytest.raises(ValueError, match="memory of an underdamped device"):
        tj.linalg.expm(A, KEY, time=1.0, dynamics="underdamped")
    with pytest.raises(ValueError, match="shift = 'x'"):
        tj.linalg.expm(A, KEY, time=1.0, shift="x")  # pyright: ignore[reportArgumentType]


def test_the_bill():
    found = tj.linalg.expm(20 * A, KEY, time=1.0)
    assert "Padé approximants (scaling and squaring) need 22" in str(found)  # 8 + 3 squarings, of 2
    assert found.decomposed and found.time.equilibration == 0 and found.samples == 32
