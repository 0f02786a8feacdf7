"""Quadratic programs in a box against an active-set method, and walls against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.stats import truncnorm

import thermojax as tj
from thermojax.linalg.users.box import Box

KEY = jax.random.key(26)
DIM, CONDITION = 6, 10.0
RNG = np.random.default_rng(26)
TURNED = np.linalg.qr(RNG.normal(size=(DIM, DIM)))[0]
A = TURNED @ np.diag(np.geomspace(1 / CONDITION, 1, DIM)) @ TURNED.T
B = RNG.normal(size=DIM)
LOWER = np.array([-1.0, -0.5, -np.inf, -0.2, -np.inf, -1.0])
UPPER = np.array([0.7, np.inf, 0.5, 0.3, np.inf, 0.8])


def minimum():
    """By bounded-variable least squares, |R x - R^-T b|^2 with A = R^T R."""
    root = np.linalg.cholesky(A).T
    return lsq_linear(root, np.linalg.solve(root.T, B), (LOWER, UPPER), method="bvls", tol=1e-14).x


def test_walls_are_mirrors():
    """A coordinate that goes on is where one is that was sent back at every wall that it met."""
    lower = jnp.array([-1.0, 0.0, -jnp.inf, -jnp.inf])
    upper = jnp.array([0.5, jnp.inf, 1.0, jnp.inf])
    box, x, sign = Box(lower, upper), np.array([0.3, 0.3, 0.3, 0.3]), np.ones(4)
    y, step = x.copy(), 0.01 * np.array([7.0, -3.0, 5.0, 2.0])
    for _ in range(200):
        y, x = y + step, x + sign * step
        low, high = x < np.asarray(lower), x > np.asarray(upper)
        x = np.where(low, 2 * np.where(low, lower, 0) - x, x)
        x = np.where(high, 2 * np.where(high, upper, 0) - x, x)
        sign = np.where(low | high, -sign, sign)
        np.testing.assert_allclose(box(jnp.asarray(y)), x, atol=1e-12)
        slope = jax.grad(lambda y: jnp.sum(box(y)))(jnp.asarray(y))
        np.testing.assert_array_equal(slope, sign)


@pytest.mark.slow
def test_against_an_active_set_method():
    exact = minimum()
    at_wall = np.where(exact <= LOWER + 1e-9, -1, 0) + np.where(exact >= UPPER - 1e-9, 1, 0)
    found = tj.linalg.box_qp(A, B, LOWER, UPPER, KEY, temperature=0.02, time=60.0, trajectories=8)
    assert 2 <= np.count_nonzero(at_wall) <= DIM - 2
    np.testing.assert_array_equal(found.active, at_wall)
    off, warm = (np.linalg.norm(x - exact) for x in (found.value, found.warm))
    assert off < 4.5 * np.linalg.norm(found.error) + warm / 4
    assert off <= found.distance
    assert np.all((found.value >= LOWER) & (found.value <= UPPER))
    assert found.digital < 100 < found.products
    assert f"{np.count_nonzero(at_wall)} of 6 bounds active" in str(found)


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_the_mean_of_a_gaussian_cut_off(unit):
    """Of two coordinates one has a wall: the law of that one is known, and the other follows it."""
    a, b, wall, kt = np.array([[3.0, 2.0], [2.0, 4.0]]), np.array([1.0, 2.0]), 0.1, 0.03
    found = tj.linalg.box_qp(
        unit * a, unit * b, -np.inf, [np.inf, wall], KEY, temperature=unit * kt, time=20 / unit,
        friction=0.5, trajectories=64,
    )  # fmt: skip
    free, inverse = np.linalg.solve(a, b), np.linalg.inv(a)

    def mean(kt):
        width = np.sqrt(kt * inverse[1, 1])
        second = truncnorm.mean(-np.inf, (wall - free[1]) / width, free[1], width)
        return np.array([free[0] + inverse[0, 1] / inverse[1, 1] * (second - free[1]), second])

    least = np.array([(b[0] - a[0, 1] * wall) / a[0, 0], wall])
    force = b[1] - a[1] @ least
    step = 0.25 * kt / force  # what a layer's time as a step adds, at most
    allowed = 4.5 * np.asarray(found.error) + step
    np.testing.assert_array_less(np.abs(found.warm - mean(kt)), allowed)
    # The step's own is in proportion to kT, and goes.
    cold = np.abs(found.value - (2 * mean(kt / 2) - mean(kt)))
    np.testing.assert_array_less(cold, 4.5 * np.asarray(found.error) + step / 4)
    np.testing.assert_array_equal(found.active, [0, 1])
    # The device falls from U(0) = 0 to the minimum, and gives that as heat, but for some kT.
    fall = b @ least - least @ a @ least / 2
    heat = float(found.energy.heat.value) / (3 * 64 * unit)
    assert abs(heat - fall) < 3 * kt < fall


def test_a_wall_that_is_touched_without_force():
    """Half of a Gaussian, in float32: its mean is sqrt(2 kT / pi A), which no line leads to."""
    kt, stiffness = 0.3, 2.0
    by_product = lambda x: stiffness * x
    found = tj.linalg.box_qp(
        by_product, jnp.zeros(1, jnp.float32), 0.0, np.inf, KEY, temperature=kt, time=50.0,
        trajectories=64,
    )  # fmt: skip
    assert found.value.dtype == jnp.float32
    mean = np.sqrt(2 * kt / (np.pi * stiffness))
    factor = 2 * np.sqrt(0.5) - 1
    assert abs(found.warm[0] - mean) < 4.5 * found.error[0]
    assert abs(found.value[0] - factor * mean) < 4.5 * found.error[0]
    assert found.distance >= found.value[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lower": 1.0, "upper": 1.0}, "coordinate 0: expected lower < upper"),
        ({"lower": [0.0, np.nan]}, "lower holds NaN"),
        ({"upper": [1.0, 1.0, 1.0]}, r"upper has shape \(3,\): expected one number, or \(2,\)"),
        ({"temperature": 0.0}, "temperature = 0.0: expected a positive"),
        ({"time": -1.0}, "time = -1.0"),
        ({"friction": 0.0}, "friction = 0.0"),
        ({"A": -np.eye(2)}, "indefinite.*not convex"),
        ({"A": [[2.0, 1.0], [0.0, 2.0]]}, r"not symmetric.*take \(A \+ A\^T\) / 2"),
        ({"max_products": 10.0}, "temperature = 0.1 asks for steps.*more than max_products = 10"),
        ({"temperature": 1e-12, "b": [5.0, 5.0]}, "1e-12 asks for steps.*than max_products = 1e"),
    ],
)
def test_refusals(given, words):
    arguments = {
        "A": np.eye(2), "b": [3.0, 1.0], "lower": -1.0, "upper": 1.0, "key": KEY,
        "temperature": 0.1, "time": 10.0,
    } | given  # fmt: skip
    with pytest.raises(ValueError, match=words):
        tj.linalg.box_qp(**arguments)
