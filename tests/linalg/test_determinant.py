"""Determinants by work, REFERENCE section 5: R1, R3, R4."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import thermojax as tj
from thermojax.linalg.ramp.cycle import by_modes
from thermojax.linalg.ramp.ramp import Ramp, best_reference, infinite_variance, log_moments, stairs

KEY = jax.random.key(26)
A = jnp.array([[3.0, 2.0], [2.0, 4.0]])
VALUES = jnp.array([1.438447187191, 5.561552812809])
LOGDET = 2.079441541680
# From A to the identity along a straight line, beta = gamma = 1: the mean work of each duration.
DIFFERENCE = -1.039720770840
WORK = {1e-9: -0.5625, 0.1: -0.619137888324, 1.0: -0.825393963807, 100.0: -1.034103762829}
VARIANCE = {1.0: 0.2629415, 100.0: 0.0110016}
INFINITE_BELOW = 2.28077
DYNAMICS = ["overdamped", "underdamped"]


def ramp(dynamics="overdamped", bath=None, values=VALUES, reference=1.0):
    bath = tj.Bath() if bath is None else bath
    return Ramp(values, jnp.ones(len(values)), jnp.asarray(reference), bath, dynamics)  # pyright: ignore[reportArgumentType]


@jax.jit
def from_a(time, order):
    """ln <exp(-order W)> of the ramp from A to the identity."""
    controls = stairs(tj.Linear(0.0, 1.0, 1.0), 8192)[::-1]
    return jnp.sum(log_moments(ramp(), controls, time, order))


def test_r4_by_moments():
    """One function has the work theorem, the mean, the variance and where that is infinite."""
    mean = jax.jit(jax.grad(from_a, argnums=1))
    variance = jax.jit(jax.grad(jax.grad(from_a, argnums=1), argnums=1))
    for time, work in WORK.items():
        np.testing.assert_allclose(from_a(time, 1.0), -DIFFERENCE, atol=1e-11)
        np.testing.assert_allclose(mean(time, 0.0), -work, atol=2e-7 * (1 + time))
    for time, expected in VARIANCE.items():
        np.testing.assert_allclose(variance(time, 0.0), expected, rtol=3e-4)
    assert jnp.isinf(from_a(INFINITE_BELOW - 1e-4, 2.0))
    assert jnp.isfinite(from_a(INFINITE_BELOW + 1e-4, 2.0))


@pytest.mark.parametrize(
    "dynamics", ["overdamped", pytest.param("underdamped", marks=pytest.mark.slow)]
)
def test_moments_of_a_staircase_are_those_of_the_riccati_equation(dynamics):
    """Against `tj.log_work_moment` and `tj.moments`, which integrate the straight line itself."""
    bath = tj.Bath(0.7, 1.3, 0.6)
    line = tj.Interpolation(tj.Harmonic(2.0, jnp.zeros(2)), tj.Harmonic(VALUES, jnp.zeros(2)))
    kind = tj.Overdamped if dynamics == "overdamped" else tj.Underdamped
    system = kind(line, tj.Linear(0.0, 1.0, 4.0), bath)
    here, controls = ramp(dynamics, bath, reference=2.0), stairs(system.protocol, 2048)
    total = lambda order: jnp.sum(log_moments(here, controls, 4.0, order))
    np.testing.assert_allclose(total(2.0), tj.log_work_moment(system, 2.0), atol=1e-5)
    work = tj.moments(system, 2).ledger.work[-1] / 0.7
    np.testing.assert_allclose(-jax.grad(total)(0.0), work, atol=1e-5)


@pytest.mark.parametrize("time", [0.1, 1.0])
def test_r4_in_modes(time):
    """The works of 4,096 devices in modes, from A to the identity."""
    straight = tj.Linear(0.0, 1.0, time)
    found = by_modes(ramp(), straight, 128, 10.0, 4096, KEY).reverse
    error = float(jnp.std(found)) / 64
    assert abs(float(jnp.mean(found)) - WORK[time]) < 4 * error < 0.05
    if time in VARIANCE:
        np.testing.assert_allclose(jnp.var(found), VARIANCE[time], rtol=0.2)


@pytest.mark.parametrize(
    "dynamics", ["overdamped", pytest.param("underdamped", marks=pytest.mark.slow)]
)
def test_r4_by_steps_and_by_modes(dynamics):
    """Slow enough for both, the mean works of 1,024 devices are those of the moment equations."""
    straight: dict[str, Any] = dict(
        ramp="linear", reference=1.0, time=8.0, dynamics=dynamics, trajectories=1024
    )
    for method in ("steps", "exact"):
        found = tj.linalg.logdet(A, KEY, method=method, **straight)
        assert found.decomposed == (method == "exact")
        assert abs(float(found.value) - LOGDET) < 4.5 * float(found.error) < 0.2
        ramps, bath = ramps_of(found), tj.Bath() if dynamics == "overdamped" else underdamped()
        for works, way in ((ramps.forward, 1), (ramps.reverse, -1)):
            controls = stairs(ramps.protocol, 2048)[::way]
            off = float(jnp.mean(works)) - mean_work(ramp(dynamics, bath), controls, 8.0)
            error = float(jnp.std(works)) / 32
            # Steps of a ramp lose more, by their shadow work.
            assert -4.5 * error < off < 4.5 * error + 0.03


def mean_work(here, controls, time):
    return -float(jax.grad(lambda order: jnp.sum(log_moments(here, controls, time, order)))(0.0))


def ramps_of(answer) -> tj.linalg.Ramps:
    assert answer.ramps is not None
    return answer.ramps


def underdamped():
    return tj.Bath(friction=2 * np.sqrt(float(VALUES[0])))


def test_a_ramp_that_is_too_fast_is_slowed():
    with pytest.warns(
        UserWarning, match="time 1 is too fast: .* infinite variance on the way from A"
    ):
        found = tj.linalg.logdet(A, KEY, time=1.0, ramp="linear", reference=1.0)
    assert found.time.averaging * found.time.relaxation == pytest.approx(2 * 4.0)
    assert float(ramps_of(found).protocol.duration) == pytest.approx(4.0)
    slow = tj.linalg.logdet(A, KEY, time=2.3, ramp="linear", reference=1.0)  # does not warn
    assert slow.time.averaging * slow.time.relaxation == pytest.approx(2 * 2.3)


@pytest.mark.parametrize("runs", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_how_large_the_errors_are(runs):
    """Over repeated runs deviation over error has a root mean square of 1, and its law is right.

    The squared error of a slow ramp is twice what both ways lose, over the number of devices.
    """
    off, squares = [], []
    for key in jax.random.split(KEY, runs):
        found = tj.linalg.logdet(A, key, time=10.0, trajectories=64, ramp="linear")
        off.append((float(found.value) - LOGDET) / float(found.error))
        squares.append(float(found.error) ** 2)
    assert abs(np.mean(off)) < 4 / np.sqrt(runs)
    assert abs(np.mean(np.square(off)) - 1) < 4.5 * np.sqrt(2 / runs)
    reference = best_reference(np.asarray(VALUES), np.ones(2))
    lost = float(ramp(reference=reference).dissipated(tj.Linear(0.0, 1.0, 10.0)))
    # Of each error from the scatter of 128 works, one in about eight.
    np.testing.assert_allclose(np.mean(squares), 2 * lost / 64, rtol=4.5 / 4 / np.sqrt(runs))


def test_a_tolerance():
    """Longer runs until the error is small enough, whose products are all in the bill."""
    found = tj.linalg.logdet(A, KEY, atol=0.1, probability=0.9, trajectories=64)
    assert float(found.error) <= 0.1 / 1.6448 < 3 * float(found.error)
    assert abs(float(found.value) - LOGDET) < 0.1


@pytest.mark.slow
def test_how_often_a_tolerance_is_kept():
    """R3's matrix: |answer - ln det A| <= atol with a probability, over 60 runs."""
    matrix = 2 * jnp.eye(8) + 0.5 * (jnp.eye(8, k=1) + jnp.eye(8, k=-1))
    near = 0
    for key in jax.random.split(KEY, 60):
        found = tj.linalg.logdet(matrix, key, atol=0.1, probability=0.8, trajectories=64)
        near += abs(float(found.value) - 5.064990302899) <= 0.1
    assert near >= 60 * 0.8 - 4 * np.sqrt(60 * 0.8 * 0.2)


def test_many_dimensions_in_any_units():
    """d = 64, kappa = 100, against NumPy; kT, friction and stiffness far from one."""
    basis = np.linalg.qr(np.asarray(jax.random.normal(KEY, (64, 64))))[0]
    matrix = jnp.asarray(1e-3 * (basis * np.geomspace(0.01, 1, 64)) @ basis.T)
    matrix = (matrix + matrix.T) / 2
    bath = tj.Bath(temperature=4e-3, friction=50.0)
    found = tj.linalg.logdet(matrix, KEY, time=20 * 50.0 / 1e-5, bath=bath)
    expected = np.linalg.slogdet(np.asarray(matrix))[1]
    assert abs(float(found.value) - expected) < 4 * float(found.error) < 1.0
    assert found.digital == 11 and "Cholesky" in str(found)  # 64 / 6 products


@pytest.mark.slow
def test_how_much_a_better_ramp_saves():
    """At equal time the trained ramp loses least; the geodesic is slow where modes are soft."""
    values = jnp.linspace(0.01, 1.0, 32)
    here = ramp(values=values, reference=best_reference(np.asarray(values), np.ones(32)))
    shapes = [getattr(here, shape)(100.0) for shape in ("linear", "geodesic", "trained")]
    linear, geodesic, trained = (float(here.dissipated(shape)) for shape in shapes)
    assert linear > 1.1 * geodesic > 1.2 * trained
    assert [bool(x) for x in infinite_variance(here, here.linear(1000.0))] == [True, False]
    assert not any(map(bool, infinite_variance(here, here.geodesic(1000.0))))


def test_a_ramp_of_ones_own():
    """A protocol is stretched to the time; its kind and its ends are checked."""
    mine = tj.PiecewiseLinear([0.1, 0.5, 0.9], 1.0, 0.0, 1.0)
    found = tj.linalg.logdet(A, KEY, time=8.0, ramp=mine)
    assert abs(float(found.value) - LOGDET) < 4 * float(found.error)
    assert float(ramps_of(found).protocol.duration) == 8.0
    ask = lambda given: tj.linalg.logdet(A, KEY, time=8.0, ramp=given)
    with pytest.raises(ValueError, match=r"ramp goes from 1\.0 to 0\.0: expected the share"):
        ask(tj.Linear(1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="ramp has kicks"):
        ask(tj.PiecewiseLinear([0.0, 1.0], 1.0, kicks=[0.1, 0.1]))
    with pytest.raises(ValueError, match="ramp makes a spring of stiffness -"):
        ask(tj.PiecewiseLinear([0.0, -3.0, 1.0], 1.0))
    with pytest.raises(ValueError, match="ramp = 'fast': expected 'linear' or 'geodesic'"):
        ask("fast")


def test_the_device_knows_products_alone():
    """An operator that can multiply and nothing else, and counts how often it does."""
    matrix, rows = np.asarray(A), []

    def multiply(x):
        rows.append(x.size // 2)
        return x @ matrix

    def product(x):
        return jax.pure_callback(multiply, jax.ShapeDtypeStruct(x.shape, x.dtype), x,
                                 vmap_method="broadcast_all")  # fmt: skip

    operator = lx.FunctionLinearOperator(product, jax.ShapeDtypeStruct((2,), float))
    found = tj.linalg.logdet(operator, KEY, time=4.0, trajectories=16)
    assert abs(float(found.value) - LOGDET) < 4 * float(found.error) < 1.0
    # The energy is asked for beside every force: a compiler that sees A makes one product of both.
    assert found.products < sum(rows) <= 3 * found.products
    with pytest.raises(ValueError, match="known by its products alone"):
        tj.linalg.logdet(operator, KEY, time=5.0, method="exact")


def test_what_has_no_way_to_go():
    """A multiple of the identity is its own reference: no work, no error."""
    found = tj.linalg.logdet(3.0 * jnp.eye(2), KEY, time=1.0, trajectories=4)
    assert float(found.value) == pytest.approx(2 * np.log(3.0)) and float(found.error) < 1e-6


def test_the_bill():
    found = tj.linalg.logdet(A, KEY, time=5.0, trajectories=8, idle_power=2.0)
    assert found.energy.idle == pytest.approx(2.0 * 8 * found.time.total * found.time.relaxation)
    total = float(jnp.sum(ramps_of(found).forward + ramps_of(found).reverse))
    assert float(found.energy.work.value) == pytest.approx(total)
    assert float(8 * ramps_of(found).dissipated.value) == pytest.approx(total)
    with pytest.raises(ValueError, match="more than max_products"):
        tj.linalg.logdet(A, KEY, time=5.0, method="steps", max_products=100.0)


@pytest.mark.parametrize(
    ("a", "words"),
    [
        (jnp.array([[1.0, 2.0], [0.0, 1.0]]), "not symmetric.*half of the logdet of A"),
        (jnp.diag(jnp.array([1.0, -1.0])), "indefinite.*half of the logdet of A"),
        (jnp.ones((2, 2)), "singular"),
        (jnp.ones((2, 3)), r"shape \(2, 3\).*square.*no other has a determinant"),
        (jnp.array([[1.0, jnp.nan], [jnp.nan, 1.0]]), "not finite"),
        (lambda x: A @ x, "pass a lineax operator"),
    ],
)
def test_refused_matrices(a, words):
    for method in ("exact", "steps"):
        with pytest.raises(ValueError, match=words):
            tj.linalg.logdet(a, KEY, time=1.0, method=method)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (dict(), "time and atol: neither given"),
        (dict(time=1.0, atol=1.0), "time and atol: both given"),
        (dict(atol=-1.0), "atol = -1.0: expected an error"),
        (dict(time=1.0, reference=0.0), "reference = 0.0: expected a positive stiffness"),
        (dict(time=1.0, trajectories=1), "trajectories = 1: .* at least 2"),
        (dict(time=jnp.nan), "time = nan"),
    ],
)
def test_refused_arguments(how, words):
    with pytest.raises(ValueError, match=words):
        tj.linalg.logdet(A, KEY, **how)


def test_single_precision():
    with jax.enable_x64(False):
        matrix = jnp.asarray(np.asarray(A), jnp.float32)
        found = tj.linalg.logdet(matrix, jax.random.key(1), time=8.0)
        assert found.value.dtype == jnp.float32
        assert abs(float(found.value) - LOGDET) < 4 * float(found.error)
