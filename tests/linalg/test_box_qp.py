"""Quadratic programs in a box against an active-set method, and walls against closed forms."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.optimize import lsq_linear
from scipy.stats import truncnorm

import thermojax as tj
from thermojax.linalg.users.box import Box
from thermojax.linalg.users.extrapolated import cut_off, left_of_temperature

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


def scatter(found):
    """The statistical part of the error."""
    return np.sqrt(np.asarray(found.error) ** 2 - np.asarray(found.bias) ** 2)


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


@pytest.mark.slow
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
    allowed = 4.5 * scatter(found) + step
    np.testing.assert_array_less(np.abs(found.warm - mean(kt)), allowed)
    # The step's own is in proportion to kT, and goes.
    cold = np.abs(found.value - (2 * mean(kt / 2) - mean(kt)))
    np.testing.assert_array_less(cold, 4.5 * scatter(found) + step / 4)
    np.testing.assert_array_equal(found.active, [0, 1])
    # The device falls from U(0) = 0 to the minimum, and gives that as heat, but for some kT.
    fall = b @ least - least @ a @ least / 2
    heat = float(found.energy.heat.value) / (3 * 64 * unit)
    assert abs(heat - fall) < 3 * kt < fall


@pytest.mark.slow
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
    scattered = float(scatter(found)[0])
    assert abs(found.warm[0] - mean) < 4.5 * scattered
    assert abs(found.value[0] - factor * mean) < 4.5 * scattered
    # All of the value is what the temperature leaves: of one coordinate that is known.
    assert found.bias[0] == pytest.approx(factor * mean, abs=2 * scattered)
    assert float(found.value[0]) < 1.5 * float(found.error[0])
    assert found.distance >= found.value[0]


def means(a, b, lower, upper, kt, points=801):
    """The mean of two coordinates in a finite box, by Simpson's rule."""
    x, y = (np.linspace(*ends, points) for ends in zip(lower, upper, strict=True))
    z = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    energy = 0.5 * np.einsum("ijk,kl,ijl->ij", z, a, z) - z @ b
    weight = np.exp((energy.min() - energy) / kt)
    over = lambda f: simpson(simpson(f, x=y, axis=1), x=x)
    return np.array([over(weight * z[..., k]) for k in (0, 1)]) / over(weight)


def test_what_the_temperature_leaves_is_said():
    """Of 30 random programs of two coordinates, by quadrature, at three temperatures each.

    The mean square of what is left, in units of what is said, is about 1 or less, and no entry of
    it is far beyond; and less is said where less is left.
    """
    rng, lower, upper = np.random.default_rng(3), -np.ones(2), np.ones(2)
    for kt, most in ((0.03, 0.05), (0.2, 0.5), (1.0, 3.0)):
        off, said = [], []
        for _ in range(10):
            turned = np.linalg.qr(rng.normal(size=(2, 2)))[0]
            a = turned @ np.diag([0.3, 2.0]) @ turned.T
            b = 1.5 * rng.normal(size=2)
            warm, cold = (means(a, b, lower, upper, t) for t in (kt, kt / 2))
            value, root = np.clip(2 * cold - warm, lower, upper), np.linalg.cholesky(a).T
            least = lsq_linear(root, np.linalg.solve(root.T, b), (lower, upper), method="bvls").x
            box = Box(jnp.asarray(lower), jnp.asarray(upper))
            operator = lx.MatrixLinearOperator(jnp.asarray(a))
            given = (jnp.asarray(x) for x in (b, value, warm - cold))
            b, value, apart = given
            said.append(left_of_temperature(operator, b, box, value, apart, kt))
            off.append(np.asarray(value) - least)
        z = np.abs(off) / np.hypot(said, 1e-4)
        assert np.sqrt(np.mean(z**2)) < 1.2 and np.max(z) < 4
        assert np.sqrt(np.mean(np.square(said))) < most
    structure = jax.ShapeDtypeStruct(b.shape, b.dtype)
    by_product = lx.FunctionLinearOperator(operator.mv, structure)
    again = left_of_temperature(by_product, b, box, value, apart, kt)
    np.testing.assert_allclose(again, said[-1], rtol=1e-9)


def test_the_mean_of_what_walls_cut_off():
    """Against Simpson's rule where the density is, a million widths off its middle included."""
    for lower, upper, middle, width in (
        (-1.0, 1.0, 0.3, 0.5), (-1.0, 1.0, -50.0, 0.1), (-np.inf, 1.0, 7.0, 1.0),
        (0.0, np.inf, -3.0, 1e-3), (-np.inf, np.inf, 2.0, 1.0), (-1.0, 1.0, 1e3, 1e4),
        (0.0, np.inf, -1.0, 1e-6), (-1e-3, 1e-3, 5.0, 1.0),
        (-1.0, 1.0, 0.5, 1e20),
    ):  # fmt: skip
        place = np.clip(middle, lower, upper)  # of the largest density
        reach = 40 * min(width, width**2 / max(abs(middle - place), 1e-300))
        y = np.linspace(max(lower - place, -reach), min(upper - place, reach), 20_001)
        weight = np.exp(-y * (y + 2 * (place - middle)) / (2 * width**2))
        exact = simpson(weight * y, x=y) / simpson(weight, x=y)
        found = cut_off(*(np.array([x]) for x in (lower, upper, middle, width)))[0]
        # What is far or wide cancels.
        rounding = 1e-14 * max(1.0, abs(middle), min(1e6, width**2 / (upper - lower)))
        assert found - place == pytest.approx(exact, rel=1e-7, abs=rounding)


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
