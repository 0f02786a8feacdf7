"""Linear systems and inverses by a device, REFERENCE section 5: R1, R2, R3, R10."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import thermojax as tj
from thermojax.linalg.device.answer import energy_of

KEY = jax.random.key(26)
A = jnp.array([[3.0, 2.0], [2.0, 4.0]])
B = jnp.array([1.0, 2.0])
X = np.array([0.0, 0.5])
# Mean squared errors over an average of tau from equilibrium, beta = gamma = 1.
R1 = {1.0: 0.507156079589, 10.0: 0.096289066304, 100.0: 0.010244140625, 1000.0: 0.001030566406}
DYNAMICS = ["overdamped", "underdamped"]


def by_steps(x):
    """What the device is told of A where it moves in steps."""
    return A @ x


@pytest.mark.parametrize("tau", R1)
def test_r1_by_the_exact_law(tau):
    found = tj.linalg.solve(A, B, KEY, time=tau, trajectories=4000)
    assert found.decomposed and found.time.averaging * found.time.relaxation == pytest.approx(tau)
    np.testing.assert_allclose(4000 * jnp.sum(found.error**2), R1[tau], rtol=1e-9)
    np.testing.assert_array_less(np.abs(found.value - X), 4 * np.asarray(found.error))


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_errors_by_steps_are_those_of_the_law(dynamics):
    """Of 512 devices: the error from 32 groups of them has itself one of 1/sqrt(2 x 31)."""
    found, exact = (
        tj.linalg.solve(a, B, KEY, time=10.0, dynamics=dynamics, trajectories=512)
        for a in (by_steps, A)
    )
    assert exact.decomposed and not found.decomposed
    np.testing.assert_array_less(np.abs(found.value - X), 4.5 * np.asarray(exact.error))
    np.testing.assert_allclose(found.error, exact.error, rtol=4.5 / np.sqrt(2 * 31))
    for name in ("work", "heat"):
        one, other = getattr(found.energy, name), getattr(exact.energy, name)
        assert abs(one.value - other.value) < 4.5 * np.hypot(one.error, other.error)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_inverses(dynamics):
    for method in ("steps", "exact"):
        found = tj.linalg.inv(A, KEY, time=50.0, dynamics=dynamics, trajectories=64, method=method)
        assert found.decomposed == (method == "exact")
        np.testing.assert_array_less(
            np.abs(found.value - np.linalg.inv(A)), 5 * np.asarray(found.error)
        )


def test_r2_by_the_exact_law():
    """E|C - A^-1|_F^2 at tau = 10 by the scatter of 32 devices, over 60 repetitions."""
    squares = []
    for key in jax.random.split(KEY, 60):
        found = tj.linalg.inv(A, key, time=10.0, trajectories=32, interval=0.05)
        squares.append(32 * float(jnp.sum(found.error**2)))
    error = np.std(squares) / np.sqrt(60)
    assert abs(np.mean(squares) - 0.073053999920) < 3 * error < 0.01


def test_the_device_knows_products_alone():
    """An operator that can multiply and nothing else, and counts how often it does."""
    matrix, rows = np.asarray(A), []

    def multiply(x):
        rows.append(x.size // 2)
        return x @ matrix

    def product(x):
        return jax.pure_callback(multiply, jax.ShapeDtypeStruct(x.shape, x.dtype), x,
                                 vmap_method="broadcast_all")  # fmt: skip

    found = tj.linalg.solve(product, B, KEY, time=20.0, trajectories=4)
    assert np.all(np.abs(found.value - X) < 5 * found.error)
    with pytest.raises(ValueError, match="known by its products alone"):
        tj.linalg.solve(product, B, KEY, time=20.0, method="exact")
    # Two energies are asked for together with every force: three calls, of which a compiler that
    # sees A makes one product.
    assert found.products < sum(rows) <= 3 * found.products


def test_the_slowest_mode_relaxes_with_the_root_of_its_stiffness():
    """R10: sqrt(lambda_min) at gamma = 2 sqrt(lambda_min), overdamped lambda_min."""
    lowest = np.linalg.eigvalsh(A)[0]
    for dynamics, rate in zip(DYNAMICS, (lowest, np.sqrt(lowest)), strict=True):
        found = tj.linalg.solve(A, B, KEY, time=1.0, dynamics=dynamics)
        assert 1 / found.time.relaxation == pytest.approx(rate, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_single_precision_stays(dynamics):
    """Answers in the precision of the matrix, where doubles are on: by both methods."""
    a, b = A.astype(jnp.float32), B.astype(jnp.float32)
    for method in ("steps", "exact"):
        how = {"time": 20.0, "trajectories": 32, "dynamics": dynamics, "method": method}
        for found, answer in (
            (tj.linalg.solve(a, b, KEY, **how), X),
            (tj.linalg.inv(a, KEY, **how), np.linalg.inv(A)),
        ):
            assert found.value.dtype == found.error.dtype == jnp.float32
            np.testing.assert_array_less(np.abs(found.value - answer), 5 * np.asarray(found.error))


def test_the_bill():
    """Idle power is paid for all trajectories over their time; conjugate gradients are counted."""
    found = tj.linalg.solve(A, B, KEY, time=5.0, trajectories=3, idle_power=2.0)
    assert found.energy.idle == pytest.approx(2.0 * 3 * found.time.total * found.time.relaxation)
    assert found.digital == 2  # no more than dimensions
    assert "conjugate gradients need 2" in str(found)
    alone = energy_of(jnp.ones(1), jnp.ones(1), found.time, 0.0)
    assert str(alone) == "work 1 (of one trajectory), heat 1 (of one trajectory), idle 0"


@pytest.mark.parametrize(
    ("a", "words"),
    [
        (jnp.array([[1.0, 2.0], [0.0, 1.0]]), "not symmetric.*normal equations"),
        (jnp.diag(jnp.array([1.0, -1.0])), "indefinite.*normal equations"),
        (jnp.ones((2, 2)), "singular.*never comes to rest"),
        (jnp.ones((2, 3)), r"shape \(2, 3\).*square"),
        (jnp.array([[1.0, jnp.nan], [jnp.nan, 1.0]]), "not finite"),
        (1j * jnp.eye(2), "complex.*2n"),
        ([[1j, 0.0], [0.0, 1j]], "complex.*2n"),
        (lambda x: x[:1], r"A\(b\) is an array of shape \(1,\).*an array of shape \(2,\)"),
        (lambda x: np.dot(A, x), "jax.numpy.*jax.pure_callback"),
        (jnp.eye(3), r"b has shape \(2,\): expected \(3,\)"),
    ],
)
def test_refusals(a, words):
    for method in ("exact", "steps"):
        with pytest.raises(ValueError, match=words):
            tj.linalg.solve(a, B, KEY, time=1.0, method=method)
    if (
        "shape" not in words
        and "finite" not in words
        and "complex" not in words
        and "jax" not in words
    ):
        with pytest.raises(ValueError, match=words):
            tj.linalg.solve(lx.MatrixLinearOperator(a), B, KEY, time=1.0, method="steps")


def test_a_function_does_not_say_its_dimension():
    with pytest.raises(ValueError, match="pass a lineax operator"):
        tj.linalg.inv(by_steps, KEY, time=1.0)


@pytest.mark.parametrize(("scale", "kt"), [(1e6, 1.0), (1.0, 4e-21)])
def test_an_answer_far_from_where_the_device_starts(scale, kt):
    """The wait is as long as its error asks for, in the units of a room, too."""
    found = tj.linalg.solve(A, scale * B, KEY, time=100.0, bath=tj.Bath(temperature=kt))
    np.testing.assert_array_less(np.abs(found.value - scale * X), 4 * np.asarray(found.error))
    near = tj.linalg.solve(A, scale * B, KEY, rtol=1e-4, bath=tj.Bath(temperature=kt))
    assert np.linalg.norm(near.value - scale * X) < 1e-4 * np.linalg.norm(scale * X)
    assert np.all(np.isfinite(near.error)) and near.time.averaging < found.time.averaging


def test_no_error_is_below_rounding():
    """An answer of 1e30 is known to its float32, whatever its law says."""
    a, b = A.astype(jnp.float32) * 1e-30, B.astype(jnp.float32)
    found = tj.linalg.solve(a, b, KEY, time=1.0)
    least = np.finfo(np.float32).eps * np.max(np.abs(found.value))
    assert np.all(found.error >= 0.4 * least)
    np.testing.assert_allclose(found.value, 1e30 * X, atol=64 * float(least))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["exact", "steps"])
def test_errors_of_an_inverse_in_joules(method):
    """A temperature whose squares are below float32 is no other device."""
    matrix = jnp.asarray([[3.0, 2.0], [2.0, 4.0]], jnp.float32)
    in_kt, in_joules = (
        tj.linalg.inv(matrix, KEY, time=50.0, bath=tj.Bath(kt), method=method)
        for kt in (1.0, 4e-21)
    )
    np.testing.assert_allclose(in_joules.value, in_kt.value, rtol=1e-4)
    np.testing.assert_allclose(in_joules.error, in_kt.error, rtol=1e-4)


def test_what_comes_before_an_average_is_paid_for():
    """A short average has short steps, and the wait before it as many of them."""
    words = "products of A with a vector.*more than max_products = 1e"
    with pytest.raises(ValueError, match=words):
        tj.linalg.solve(by_steps, B, KEY, time=1e-3, max_products=1e4)


def test_errors_of_groups_that_remember_each_other():
    """The scatter of 60 answers over two relaxation times is as stated; by groups alone it is 3."""
    z = []
    for key in jax.random.split(KEY, 60):
        found = tj.linalg.inv(A, key, time=6.0)
        z.append((found.value - np.linalg.inv(A)) / found.error)
    assert np.mean(np.square(z)) < 1 + 4.5 * np.sqrt(2 / 60)
    with pytest.warns(UserWarning, match="independent samples: its error is a guess"):
        tj.linalg.inv(A, KEY, time=0.5)


@pytest.mark.parametrize("a", [np.ones((3, 2)), np.diag([1.0, -1.0]), [[1.0, 1.0], [0.0, 1.0]]])
def test_an_inverse_has_a_cure_of_its_own(a):
    with pytest.raises(ValueError, match=r"\(A\^T A\)\^-1 A\^T"):
        tj.linalg.inv(a, KEY, time=1.0)


def test_the_public_names_are_listed_without_modules():
    assert {"solve", "split", "runtime", "Answer"} <= set(dir(tj.linalg))
    assert not {"device", "determinant", "drift", "steered"} & set(dir(tj.linalg))
