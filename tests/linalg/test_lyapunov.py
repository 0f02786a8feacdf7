"""Lyapunov equations by a device whose drift is no gradient, REFERENCE section 5: R9."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov

import thermojax as tj
from thermojax.linalg.drift.arnoldi import rates_of
from thermojax.linalg.drift.motion import GAPS, ORDERS, WEIGHTS, InSteps, longest_step

KEY = jax.random.key(26)
A = jnp.array([[1.0, 2.0], [0.0, 1.5]])
R9 = np.array([[2.0666667, -0.5333333], [-0.5333333, 0.6666667]])
POWER = 2 * np.trace(A @ R9 @ A.T) / 2 - 2.5  # kT (2 tr R^-1 A S A^T - tr A)
METHODS = ["steps", "exact"]
BARE = np.array([[0.5, 4.0, 0.0], [0.0, 0.6, 4.0], [0.0, 0.0, 0.7]])  # 35 times |x| before it falls
rng = np.random.default_rng(0)


def test_r9():
    np.testing.assert_allclose(A @ R9 + R9 @ A.T, 2 * np.eye(2), atol=1e-6)
    for method in METHODS:
        found = tj.linalg.lyapunov(A, 2.0, KEY, time=200.0, trajectories=64, method=method)
        assert np.all(np.abs(found.value - R9) < 4.5 * found.error)
        # The squared error by its law; that from 32 groups has itself one of 1/sqrt(2 x 31).
        law = error_law(np.asarray(A), R9, 200.0) / 64
        assert float(jnp.sum(found.error**2)) == pytest.approx(law, rel=4.5 * np.sqrt(2 / 31))


def error_law(a, s, time):
    """E|C - S|_F^2 of an average over a time, which the docstring of `lyapunov` states."""

    def at(lag):
        c = expm(-a * lag) @ s
        return (1 - lag / time) * (np.trace(c) ** 2 + np.trace(c @ c))

    return 2 / time * quad_vec(at, 0, time)[0]


@pytest.mark.parametrize("method", METHODS)
def test_heat_that_never_ends(method):
    """The steady power against its closed form; a gradient takes none."""
    found = tj.linalg.lyapunov(A, 2.0, KEY, time=200.0, trajectories=64, method=method)
    work, spent = found.energy.work, 64 * found.time.total * found.time.relaxation
    assert work.value / spent == pytest.approx(POWER, abs=4.5 * float(work.error) / spent)
    assert work.error / spent < 0.1 * POWER
    assert found.energy.heat.value == work.value
    symmetric = A + A.T
    found = tj.linalg.lyapunov(symmetric, 2.0, KEY, time=200.0, trajectories=64, method=method)
    assert abs(found.energy.work.value) < 4.5 * found.energy.work.error


def test_heat_that_the_engine_books():
    """A well and a drive that make the same drift: the rate of their ledger, in small steps."""
    system = tj.Overdamped(
        tj.Harmonic(1.0), tj.Constant(0.0, 1.0), tj.Bath(), drive=lambda x, _: x - A @ x
    )
    law = jax.random.multivariate_normal(KEY, jnp.zeros(2), jnp.asarray(R9), (20_000,))
    out = tj.simulate(system, KEY, time_steps=50, batch=20_000, initial=law)
    rate = out.mean(out.ledger.drive_work)
    assert abs(rate.value - POWER) < 4.5 * rate.error + 0.03 * POWER
    assert rate.error < 0.03 * POWER


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "diffusion",
    [np.array([1.0, 2.0, 0.5]), np.array([[2.0, 0.5, 0], [0.5, 1.0, 0], [0, 0, 0]])],
    ids=["diagonal", "singular"],
)
def test_far_from_normal(method, diffusion):
    """Against scipy. The start has grown, not fallen, after the relaxation time of A."""
    full = np.diag(diffusion) if diffusion.ndim == 1 else diffusion
    a = BARE.T if diffusion.ndim == 2 else BARE  # noise must come to every coordinate
    found = tj.linalg.lyapunov(a, diffusion, KEY, time=400.0, trajectories=64, method=method)
    right = solve_continuous_lyapunov(a, full)
    assert np.all(np.abs(found.value - right) < 4.5 * found.error)
    assert np.linalg.norm(found.error) < 0.05 * np.linalg.norm(right)
    assert np.isnan(found.energy.work.value) == (diffusion.ndim == 2)
    assert found.time.equilibration > 10


@pytest.mark.parametrize("decay", [1.0, 0.1, 1e-3, 1e-5])
def test_what_steps_leave(decay):
    """4e-5 of the covariance, by the algebra of one step, also of turns that hardly decay."""
    a = 3.0 * np.array([[decay, 0.85], [-1.0, decay]])
    h = longest_step(3.0 * decay, float(np.linalg.norm(a, 2)))
    motion = InSteps(
        lx.MatrixLinearOperator(jnp.asarray(a)), jnp.zeros(()), jnp.asarray(h), jnp.asarray(1)
    )
    moved = np.asarray(motion(jnp.eye(2), KEY)).T
    covariance = sum(of_kick(motion, i) for i in range(3))
    found = solve_discrete_lyapunov(moved, covariance)
    right = solve_continuous_lyapunov(a, np.eye(2))
    assert 1e-9 < np.linalg.norm(found - right, 2) / np.linalg.norm(right, 2) < 4e-5


def of_kick(motion, i):
    """What one kick of a step leaves at its end."""
    x = jnp.eye(2) * jnp.sqrt(WEIGHTS[i] * motion.h)
    for gap, order in list(zip(GAPS, ORDERS, strict=True))[i + 1 :]:
        x = motion.flow(x, gap, order)
    return np.asarray(x.T @ x)


def test_the_device_knows_products_alone():
    matrix, rows = np.asarray(A), []

    def multiply(x):
        rows.append(x.size // 2)
        return x @ matrix.T

    def product(x):
        return jax.pure_callback(
            multiply, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="broadcast_all"
        )

    found = tj.linalg.lyapunov(product, np.full(2, 2.0), KEY, time=20.0, trajectories=16)
    assert np.all(np.abs(found.value - R9) < 5 * found.error)
    assert sum(rows) == found.products and not found.decomposed


def test_a_tolerance():
    found = tj.linalg.lyapunov(A, 2.0, KEY, rtol=0.1, trajectories=32, method="steps")
    right = np.linalg.norm(R9)
    assert np.linalg.norm(found.value - R9) < 0.1 * right
    assert np.linalg.norm(found.error) < 0.1 * np.sqrt(0.1) * 1.01 * np.linalg.norm(found.value)


def test_float32():
    a = jnp.asarray(A, jnp.float32)
    found = tj.linalg.lyapunov(a, 2.0, KEY, time=100.0, trajectories=64)
    assert found.value.dtype == jnp.float32
    assert np.all(np.abs(found.value - R9) < 4.5 * found.error)


@pytest.mark.parametrize("dim", [20, 90])
def test_rates_of_a_few_products(dim):
    """Of a drift with eigenvalues 0.5 to 1.5 and the turns of a random matrix, seed 0."""
    matrix = np.diag(np.linspace(0.5, 1.5, dim)) + np.triu(rng.normal(size=(dim, dim)), 1) / dim
    found = rates_of(lx.MatrixLinearOperator(jnp.asarray(matrix)), KEY)
    assert found.slow == pytest.approx(0.5, rel=1e-6 if dim <= 32 else 0.1)
    assert 0.9 < found.norm / np.linalg.norm(matrix, 2) < 1 + 1e-9
    assert found.products <= dim


def test_any_unit_of_time():
    """In units of nanoseconds every number of a device is another, but for what it says."""
    one = tj.linalg.lyapunov(A, 2.0, KEY, time=50.0, trajectories=32, method="steps")
    other = tj.linalg.lyapunov(1e9 * A, 2e9, KEY, time=5e-8, trajectories=32, method="steps")
    np.testing.assert_allclose(one.value, other.value, rtol=1e-6)
    assert one.energy.work.value == pytest.approx(other.energy.work.value, rel=1e-6)


TURNS = jnp.array([[-0.1, 1.0], [-1.0, -0.1]])


@pytest.mark.parametrize(
    ("a", "r", "words"),
    [
        (-A, 2.0, "eigenvalue -1.5.*above zero.*no stationary law"),
        (TURNS, 2.0, "eigenvalue -0.1.*no stationary law"),
        (
            jnp.array([[1.0, 1.0], [0.0, 0.0]]),
            2.0,
            "singular to rounding.*multiple of the identity",
        ),
        (jnp.ones((2, 3)), 2.0, r"A has shape \(2, 3\).*square"),
        (A.at[0, 0].set(jnp.nan), 2.0, "A is not finite"),
        (1j * A, 2.0, "A is complex"),
        (A, jnp.array([[1.0, 1.0], [0.0, 1.0]]), r"R is not symmetric.*\(R \+ R.T\) / 2"),
        (A, jnp.array([1.0, -1.0]), "R has the value -1: expected zero or above"),
        (A, jnp.array([[1.0, 2.0], [2.0, 1.0]]), "R has the eigenvalue -1"),
        (A, 0.0, "R is zero"),
        (A, jnp.ones(3), r"R has shape \(3,\): expected a number, \(2,\) or \(2, 2\)"),
        (A, jnp.nan, "R = nan"),
        (A, jnp.ones((2, 3)), r"R has shape \(2, 3\)"),
    ],
)
def test_refusals(a, r, words):
    for method in METHODS:
        with pytest.raises(ValueError, match=words):
            tj.linalg.lyapunov(a, r, KEY, time=1.0, method=method)


def test_a_rotation_has_no_rate_but_rounding():
    """In float32 products say 2e-9 + 1i, and time would go on for 5e10 steps."""
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]], np.float32)
    for method in METHODS:
        with pytest.raises(ValueError, match="expected real parts above zero, beyond rounding"):
            tj.linalg.lyapunov(turn, np.float32(1.0), jax.random.key(0), time=1.0, method=method)


def test_more_refusals():
    with pytest.raises(ValueError, match="positions of an underdamped device"):
        tj.linalg.lyapunov(A, 2.0, KEY, time=1.0, dynamics="underdamped")
    with pytest.raises(ValueError, match="max_products"):
        tj.linalg.lyapunov(A, 2.0, KEY, time=1e6, max_products=1e5, method="steps")
    with pytest.raises(ValueError, match="pass a lineax operator"):
        tj.linalg.lyapunov(lambda x: A @ x, 2.0, KEY, time=1.0)
    with pytest.raises(ValueError, match="known by its products alone"):
        tj.linalg.lyapunov(lambda x: A @ x, jnp.ones(2), KEY, time=1.0, method="exact")
    with pytest.raises(ValueError, match="A is being traced by jit"):
        jax.jit(lambda a: tj.linalg.lyapunov(a, 2.0, KEY, time=1.0).value)(A)


def test_the_bill():
    found = tj.linalg.lyapunov(A, 2.0, KEY, time=5.0, trajectories=3, idle_power=2.0)
    assert found.energy.idle == pytest.approx(2.0 * 3 * found.time.total * found.time.relaxation)
    assert "Schur forms (Bartels and Stewart) need 30" in str(found) and found.decomposed


def test_where_underdamped_positions_go():
    """The law that the refusal states, against the stationary law of position and momentum."""
    stiffness, gamma, mass = np.asarray(A), 3.0, 2.0
    zero, eye = np.zeros((2, 2)), np.eye(2)
    drift = np.block([[zero, -eye / mass], [stiffness, gamma / mass * eye]])
    both = solve_continuous_lyapunov(drift, np.diag([0, 0, 2 * gamma, 2 * gamma]))
    s, a, r = both[:2, :2], stiffness / gamma, 2 / gamma * eye
    bend = a @ a @ s - 2 * a @ s @ a.T + s @ a.T @ a.T
    left = a @ s + s @ a.T + mass / (2 * gamma) * bend
    np.testing.assert_allclose(left, r, rtol=1e-9, atol=1e-12)
