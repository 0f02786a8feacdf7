"""The linear process against closed forms, scipy, and REFERENCE.md (R1, R9, R10)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

import thermojax as tj
from thermojax.linear import OrnsteinUhlenbeck
from thermojax.linear.matrix_equations import root

R1 = np.array([[3.0, 2.0], [2.0, 4.0]])
R9 = np.array([[1.0, 2.0], [0.0, 1.5]])
OSCILLATORS = np.block([[np.zeros((2, 2)), -np.eye(2)], [R1, np.eye(2)]])  # R10
JORDAN = np.eye(4) + 3 * np.eye(4, k=1)  # one eigenvalue, four times, one eigenvector
SPIRAL = np.array([[0.5, 4.0, 0, 1], [-4.0, 0.5, 0, 0], [0, 2.0, 9, 0], [0, 0, -1, 0.2]])
NOISE = np.array([[2.0, 0.3, 0, 0.1], [0.3, 1, 0, 0.2], [0, 0, 0.5, 0], [0.1, 0.2, 0, 3]])
HOT_MOMENTA = np.diag([0.0, 0, 2, 2])
CASES = {
    "underdamped": (OSCILLATORS, HOT_MOMENTA),
    "jordan": (JORDAN, NOISE),
    "jordan, noise on one coordinate": (JORDAN, np.diag([0.0, 0, 0, 1])),
    "non-normal": (SPIRAL, NOISE),
    "isotropic": (2 * np.eye(4), np.eye(4)),
}


def quadrature(drift, diffusion, t):
    """The transition from scipy's exponential, integrated by Gauss-Legendre on short panels."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(0, t, int(np.ceil(20 * t)) + 1)
    width = edges[1] - edges[0]
    panel = scipy.linalg.expm(-width * drift)
    propagator = scipy.linalg.expm(-width / 2 * (nodes[:, None, None] + 1) * drift)
    step = propagator @ diffusion @ propagator.swapaxes(1, 2)
    first = np.tensordot(weights * width / 2, step, 1)
    decays = [np.linalg.matrix_power(panel, k) for k in range(len(edges) - 1)]
    return scipy.linalg.expm(-t * drift), sum(decay @ first @ decay.T for decay in decays)


def relative(value, expected):
    return np.max(np.abs(value - expected)) / np.max(np.abs(expected))


def test_relaxation_of_reference_r1():
    process = OrnsteinUhlenbeck(R1, [0.0, 0.5], 2.0)
    mean, covariance = process.mean_covariance(0.5, 0.0)
    np.testing.assert_allclose(mean, [0.103111586242, 0.388497726747], atol=1e-12)
    expected = [[0.397249783409, -0.170314539566], [-0.170314539566, 0.312092513625]]
    np.testing.assert_allclose(covariance, expected, atol=1e-12)
    mean, _ = process.mean_covariance(1.0, 0.0)
    np.testing.assert_allclose(mean, [0.056620704276, 0.453870487684], atol=1e-12)
    mean, covariance = process.stationary()
    np.testing.assert_allclose(mean, [0, 0.5], atol=1e-14)
    np.testing.assert_allclose(covariance, [[0.5, -0.25], [-0.25, 0.375]], atol=1e-14)
    # A start at the stationary law stays there.
    _, later = process.mean_covariance(0.7, mean, covariance)
    np.testing.assert_allclose(later, covariance, atol=1e-14)


def test_lyapunov_of_reference_r9():
    _, covariance = OrnsteinUhlenbeck(R9, 0.0, 2.0).stationary()
    expected = [[2.0666667, -0.5333333], [-0.5333333, 0.6666667]]
    np.testing.assert_allclose(covariance, expected, atol=5e-8)
    np.testing.assert_allclose(R9 @ covariance + covariance @ R9.T, 2 * np.eye(2), atol=1e-14)


def test_underdamped_motion_of_reference_r10():
    process = OrnsteinUhlenbeck.underdamped(R1, [0.0, 0.5], tj.Bath())
    np.testing.assert_array_equal(process.drift, OSCILLATORS)
    mean, covariance = process.mean_covariance(1.0, 0.0)
    np.testing.assert_allclose(mean[:2], [0.20266475, 0.49602213], atol=5e-9)
    xx = [[0.20785792, -0.06508396], [-0.06508396, 0.17531594]]
    pp = [[0.60516854, -0.05585048], [-0.05585048, 0.5772433]]
    np.testing.assert_allclose(covariance[:2, :2], xx, atol=5e-9)
    np.testing.assert_allclose(covariance[2:, 2:], pp, atol=5e-9)
    _, covariance = process.stationary()
    expected = np.block([[np.linalg.inv(R1), np.zeros((2, 2))], [np.zeros((2, 2)), np.eye(2)]])
    np.testing.assert_allclose(covariance, expected, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_matrices_agree_with_scipy(name):
    drift, diffusion = CASES[name]
    process = OrnsteinUhlenbeck(drift, 0.0, diffusion)
    expected = scipy.linalg.solve_continuous_lyapunov(drift, diffusion)
    assert relative(process.stationary()[1], expected) < 1e-12
    for t in (1e-3, 0.1, 1.0, 2.0):
        for value, exact in zip(
            process.transition(t), quadrature(drift, diffusion, t), strict=True
        ):
            assert relative(value, exact) < 1e-12, t
    decay, covariance = process.transition(
        40.0
    )  # where a block exponential overflows into nonsense
    exact = scipy.linalg.expm(-40 * drift)
    np.testing.assert_allclose(decay, exact, atol=1e-12)
    assert relative(covariance, expected - exact @ expected @ exact.T) < 1e-12
    decay, covariance = process.transition(1e15)
    np.testing.assert_allclose(decay, 0, atol=1e-12)
    assert relative(covariance, expected) < 1e-12
    np.testing.assert_array_equal(process.transition(0.0)[1], 0)


def test_numbers_and_diagonals_are_the_matrices_they_stand_for():
    rates, widths = np.array([0.0, 1.0, 2.5, 2.5]), np.array([1.0, 0.0, 2.0, 3.0])
    kinds: list[Any] = [
        (rates, widths),
        (rates, np.diag(widths)),
        (2.0, NOISE),
        (rates, 1.5),
        (2.0, 1.5),
    ]
    for drift, diffusion in kinds:
        small = OrnsteinUhlenbeck(drift, jnp.arange(4.0), diffusion)
        a, d = (
            x if np.ndim(x) == 2 else np.diag(np.broadcast_to(x, 4)) for x in (drift, diffusion)
        )
        for t in (1e-9, 0.3):
            for value, exact in zip(small.transition(t), quadrature(a, d, t), strict=True):
                np.testing.assert_allclose(value, exact, rtol=1e-12, atol=1e-16)
        if np.ndim(drift) == 0:
            expected = scipy.linalg.solve_continuous_lyapunov(a, d)
            np.testing.assert_allclose(small.stationary()[1], expected, rtol=1e-13, atol=1e-16)
    assert OrnsteinUhlenbeck(1.0).stationary()[1].shape == (1, 1)


def test_wells_and_baths():
    bath = tj.Bath(0.7, jnp.array([1.3, 0.4]), jnp.array([0.8, 2.0]))
    for make in (OrnsteinUhlenbeck.overdamped, OrnsteinUhlenbeck.underdamped):
        process = make(R1, 0.0, bath)
        covariance = process.stationary()[1]
        np.testing.assert_allclose(covariance[:2, :2], 0.7 * np.linalg.inv(R1), atol=1e-13)
    np.testing.assert_allclose(covariance[2:, 2:], 0.7 * np.diag([0.8, 2.0]), atol=1e-13)
    line = OrnsteinUhlenbeck.overdamped(2.0, [1.0, 2.0, 3.0], tj.Bath(0.5, 4.0))
    np.testing.assert_allclose(line.transition(1.0)[0], np.exp(-0.5) * np.eye(3), atol=1e-15)
    np.testing.assert_allclose(line.stationary()[1], 0.25 * np.eye(3), atol=1e-15)


@pytest.mark.slow
def test_float32_in_a_thousand_dimensions():
    """Non-normal, with a closed form: A = X L X^-1 for X = (a reflection) (I + u v^T)."""
    dim, t = 1000, 0.7
    rng = np.random.default_rng(0)
    n, u, v = rng.normal(size=(3, dim)) / np.sqrt(dim)
    n, v = n / np.linalg.norm(n), v - u * (u @ v) / (u @ u)  # then (I + u v^T)^-1 = I - u v^T
    reflection, eye = np.eye(dim) - 2 * np.outer(n, n), np.eye(dim)
    x = reflection @ (eye + 2 * np.outer(u, v))
    inverse = (eye - 2 * np.outer(u, v)) @ reflection
    rates = np.repeat(np.geomspace(0.2, 20, dim // 2), 2)
    few = rng.normal(size=(dim, 50))
    diffusion = few @ few.T / 50  # of rank 50
    drift = (x * rates) @ inverse
    process = OrnsteinUhlenbeck(*(jnp.asarray(a, jnp.float32) for a in (drift, 0.0, diffusion)))
    decay, covariance = process.transition(t)
    stationary = process.stationary()[1]
    integrals = inverse @ diffusion @ inverse.T / (rates[:, None] + rates)
    limit = x @ integrals @ x.T
    exact = x @ (integrals * -np.expm1(-(rates[:, None] + rates) * t)) @ x.T
    for value, expected in (
        (decay, (x * np.exp(-rates * t)) @ inverse),
        (covariance, exact),
        (stationary, limit),
    ):
        assert value.dtype == jnp.float32
        assert np.linalg.norm(value - expected) / np.linalg.norm(expected) < 1e-4


def test_float32_keeps_position_noise_of_a_short_step():
    """Its variance is (dt^2 / 3) times that of the momentum: below the rounding of the latter."""
    drift = jnp.array([[0.0, -1], [1, 1]], jnp.float32)
    process = OrnsteinUhlenbeck(drift, jnp.float32(0), jnp.array([0, 2], jnp.float32))
    _, covariance = process.transition(1e-4)
    exact = quadrature(np.asarray(drift, float), np.diag([0.0, 2]), 1e-4)[1]
    factor = np.asarray(root(covariance), float)
    np.testing.assert_allclose(factor @ factor.T, exact, rtol=1e-5)


TIMES = np.array([0.1, 0.3, 0.8])


@jax.jit
def of_paths(drift, noise):
    process = OrnsteinUhlenbeck(drift, jnp.array([0.3, -0.2]), noise @ noise.T)
    paths = process.sample(jax.random.key(3), TIMES, 3)
    return jnp.sum(jnp.sin(paths)) + jnp.sum(jnp.cos(process.stationary()[1]))


@pytest.mark.slow
def test_gradients_are_finite_differences():
    """Where eigenvalues of the drift and of the covariances repeat, or are zero."""
    gradient = jax.jit(jax.grad(of_paths, (0, 1)))
    cases = {
        "all eigenvalues equal": (np.eye(2), np.eye(2)),
        "jordan block": (np.array([[1.0, 2], [0, 1]]), np.eye(2)),
        "singular diffusion": (np.array([[0.0, -1], [1, 1]]), np.diag([0.0, 1])),
        "critical damping": (np.array([[0.0, -1], [1, 2]]), np.diag([0.0, 1])),
    }
    rng = np.random.default_rng(0)
    for name, point in cases.items():
        slopes = gradient(*point)
        for which in (0, 1):
            way = rng.normal(size=(2, 2))
            move = [1e-5 * way if i == which else 0.0 for i in (0, 1)]
            ahead = of_paths(*(x + m for x, m in zip(point, move, strict=True)))
            behind = of_paths(*(x - m for x, m in zip(point, move, strict=True)))
            expected = (ahead - behind) / 2e-5
            message = f"{name}, argument {which}"
            value = np.sum(slopes[which] * way)
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=message)


def test_root_has_finite_derivatives_at_zero_and_equal_eigenvalues():
    slopes = jax.jit(jax.jacfwd(root))
    for c in (np.eye(3), np.ones((3, 3)), np.zeros((3, 3)), np.diag([1.0, 0, 1])):
        factor = root(jnp.asarray(c))
        np.testing.assert_allclose(factor @ factor.T, c, atol=1e-14)
        assert np.all(np.isfinite(slopes(c)))


def covariance_error(x, y, exact):
    """The largest error of the mean of x y^T, in standard errors (centered Gaussian pairs)."""
    product = x[:, :, None] * y[:, None, :]
    return np.max(np.abs(product.mean(0) - exact) / (product.std(0) / np.sqrt(len(x))))


def test_stationary_paths_have_their_moments():
    """Non-normal drift; standard errors from the sample itself, 20000 paths, bound 5."""
    process = OrnsteinUhlenbeck(R9, [1.0, -1.0], NOISE[:2, :2])
    paths = np.asarray(process.sample(jax.random.key(0), np.arange(4) * 0.3, 20000))
    assert paths.shape == (4, 20000, 2)
    y = paths - np.array([1.0, -1.0])
    stationary = scipy.linalg.solve_continuous_lyapunov(R9, NOISE[:2, :2])
    for i in range(4):
        error = np.abs(y[i].mean(0)) / np.sqrt(np.diag(stationary) / 20000)
        assert np.max(error) < 5
        assert covariance_error(y[i], y[i], stationary) < 5
        lagged = scipy.linalg.expm(-R9 * 0.3 * i) @ stationary
        assert covariance_error(y[i], y[0], lagged) < 5


def test_underdamped_paths_from_a_point_have_their_moments():
    """Singular diffusion, uneven times, one of them 0; 20000 paths, bound 5 standard errors."""
    process = OrnsteinUhlenbeck.underdamped(R1, [0.0, 0.5], tj.Bath())
    start, times = np.array([1.0, 0, 0, -1]), [0.0, 0.05, 0.6]
    paths = np.asarray(process.sample(jax.random.key(1), times, 20000, initial=start))
    np.testing.assert_allclose(paths[0], np.broadcast_to(start, (20000, 4)), atol=1e-15)
    for x, t in zip(paths[1:], times[1:], strict=True):
        decay, exact = quadrature(OSCILLATORS, HOT_MOMENTA, t)
        y = x - process.shift - decay @ (start - process.shift)
        assert np.max(np.abs(y.mean(0)) / np.sqrt(np.diag(exact) / 20000)) < 5
        assert covariance_error(y, y, exact) < 5


def test_one_key_gives_one_path():
    """Even times, the same while traced, among uneven ones: all the same to rounding."""
    process, key = OrnsteinUhlenbeck(R9, 0.5, 2 * np.eye(2)), jax.random.key(5)
    times = np.arange(1, 6) * 0.2
    start = np.ones((3, 2))
    even = process.sample(key, times, 3, start)
    traced = jax.jit(lambda p, t: p.sample(key, t, 3, start))(process, times)
    np.testing.assert_allclose(traced, even, atol=1e-12)
    uneven = process.sample(key, np.append(times, 1.3), 3, start)
    np.testing.assert_allclose(uneven[:5], even, atol=1e-12)
    # The diagonal path draws what the matrix path draws.
    rates = jnp.array([1.0, 3.0])
    full = OrnsteinUhlenbeck(jnp.diag(rates), 0.5, jnp.diag(rates)).sample(key, times, 3, start)
    small = OrnsteinUhlenbeck(rates, 0.5, rates)
    np.testing.assert_allclose(small.sample(key, times, 3, start), full, atol=1e-12)
    np.testing.assert_allclose(small.sample(key, [0.2], 3, start), full[:1], atol=1e-12)


SYMMETRIC = {"distinct": R1, "repeated": np.eye(2) + np.ones((2, 2)) * 1e-9, "equal": np.eye(2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SYMMETRIC)
def test_a_symmetric_drift_in_even_noise_is_what_the_general_way_finds(name):
    """Its eigenbasis, against the same while traced (where it is not known) and as matrices."""
    drift, key = SYMMETRIC[name], jax.random.key(7)
    quick, general = (OrnsteinUhlenbeck(drift, [0.3, -0.4], d) for d in (2.0, 2 * np.eye(2)))
    for t in (1e-6, 0.4, 50.0):
        for value, expected in zip(quick.transition(t), general.transition(t), strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)
    assert relative(quick.stationary()[1], general.stationary()[1]) < 1e-13
    for times in (EVEN, UNEVEN):
        for start in (None, np.ones((3, 2))):
            draw = lambda process, t=times, x=start: process.sample(key, t, 3, x)
            np.testing.assert_allclose(draw(quick), jax.jit(draw)(quick), atol=1e-12)
        path = quick.sample(key, times, 3)
        expected = general.log_prob(path, times)
        np.testing.assert_allclose(quick.log_prob(path, times), expected, rtol=1e-12)


@pytest.mark.slow
def test_gradient_at_equal_eigenvalues_of_a_symmetric_drift():
    """Against differences along a way that leaves the symmetric drifts, and one that does not."""

    def value(drift):
        process = OrnsteinUhlenbeck(drift, [0.3, -0.2], 0.7)
        paths = process.sample(jax.random.key(3), TIMES, 3)
        return jnp.sum(jnp.sin(paths)) + jnp.sum(process.log_prob(paths, TIMES))

    slope = jax.grad(value)(jnp.eye(2))
    for way in (R1, R9):
        expected = (value(np.eye(2) + 1e-5 * way) - value(np.eye(2) - 1e-5 * way)) / 2e-5
        np.testing.assert_allclose(jnp.sum(slope * way), expected, rtol=1e-6)


EVEN = np.arange(4) * 0.2
UNEVEN = np.array([0.5, 0.6, 1.5, 1.6])


def log_prob(drift, path, times):
    return OrnsteinUhlenbeck(drift, np.array([0.3, -0.4]), NOISE[:2, :2]).log_prob(path, times)


@pytest.mark.parametrize("times", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_log_prob_is_the_joint_gaussian(times):
    paths = np.random.default_rng(0).normal(size=(4, 3, 2))
    stationary = scipy.linalg.solve_continuous_lyapunov(R9, NOISE[:2, :2])
    lag = lambda t: scipy.linalg.expm(-R9 * t) @ stationary
    blocks = [[lag(t - s) if t >= s else lag(s - t).T for s in times] for t in times]
    mean, flat = np.tile([0.3, -0.4], 4), paths.swapaxes(0, 1).reshape(3, 8)
    law = scipy.stats.multivariate_normal(mean, np.block(blocks))  # pyright: ignore
    expected = law.logpdf(flat)
    np.testing.assert_allclose(log_prob(R9, paths, times), expected, rtol=1e-12)


def test_log_prob_of_one_path_of_a_diagonal_and_the_slope():
    rates = np.array([0.5, 2.0])
    path = np.random.default_rng(1).normal(size=(4, 3, 2))
    small = OrnsteinUhlenbeck(rates, 0.0, 1.5)
    full = OrnsteinUhlenbeck(np.diag(rates), np.zeros(2), 1.5 * np.eye(2))
    many = small.log_prob(path, EVEN)
    np.testing.assert_allclose(many, full.log_prob(path, EVEN), rtol=1e-12)
    np.testing.assert_allclose(small.log_prob(path[:, 1], EVEN), many[1], rtol=1e-12)
    value = lambda drift: log_prob(drift, path, EVEN)
    slope = jax.jvp(value, (np.eye(2),), (R9,))[1]
    expected = (value(np.eye(2) + 1e-5 * R9) - value(np.eye(2) - 1e-5 * R9)) / 2e-5
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_paths_without_a_density():
    process = OrnsteinUhlenbeck(np.diag([1.0, 2.0]), 0.0, np.array([1.0, 0.0]))
    path = np.zeros((3, 2))
    with pytest.raises(ValueError, match="diffusion leaves a direction without noise"):
        process.log_prob(path, TIMES)
    small = OrnsteinUhlenbeck(np.array([1.0, 2.0]), 0.0, np.array([1.0, 0.0]))
    assert jax.jit(lambda p, x: p.log_prob(x, TIMES))(small, path) == -np.inf


def test_vmap_over_processes():
    covariance = lambda drift: OrnsteinUhlenbeck(drift, 0.0, 2.0).transition(0.5)[1]
    drifts = np.stack([R1, R9, 3 * R1])
    for drift, value in zip(drifts, jax.vmap(covariance)(drifts), strict=True):
        np.testing.assert_allclose(value, quadrature(drift, 2 * np.eye(2), 0.5)[1], atol=1e-11)


GOOD = OrnsteinUhlenbeck(R9, 0.0, 2.0)
BAD = {
    "drift has shape (2, 3)": lambda: OrnsteinUhlenbeck(np.ones((2, 3))),
    "shift has shape (2, 2)": lambda: OrnsteinUhlenbeck(R9, np.ones((2, 2))),
    "expected one dimension for all": lambda: OrnsteinUhlenbeck(R9, np.ones(3)),
    "drift is not finite": lambda: OrnsteinUhlenbeck(np.array([1.0, np.nan])),
    "diffusion is not symmetric": lambda: OrnsteinUhlenbeck(R9, 0.0, R9),
    "diffusion has the eigenvalue -1": lambda: OrnsteinUhlenbeck(R9, 0.0, [[0.0, 1], [1.0, 0]]),
    "diffusion has the value -2": lambda: OrnsteinUhlenbeck(R9, 0.0, -2.0),
    "drift has the eigenvalue -1.5": lambda: OrnsteinUhlenbeck(-R9).stationary(),
    "drift has the eigenvalue 0": lambda: OrnsteinUhlenbeck([1.0, 0.0]).stationary(),
    "drift has the eigenvalue -3": lambda: OrnsteinUhlenbeck(-3.0).log_prob([[0.0]], [0.0]),
    "give `sample` an initial": lambda: OrnsteinUhlenbeck(0.0).sample(jax.random.key(0), [1.0], 1),
    "t = -1.0": lambda: GOOD.transition(-1.0),
    "t = [1. 1.]": lambda: GOOD.transition(np.ones(2)),
    "times do not increase": lambda: GOOD.sample(jax.random.key(0), [1.0, 1.0], 1),
    "times start at -1": lambda: GOOD.sample(jax.random.key(0), [-1.0, 1.0], 1, np.zeros(2)),
    "times has shape ()": lambda: GOOD.sample(jax.random.key(0), 1.0, 1),
    "batch = 0": lambda: GOOD.sample(jax.random.key(0), [1.0], 0),
    "initial has shape (3,)": lambda: GOOD.sample(jax.random.key(0), [1.0], 1, np.zeros(3)),
    "path has shape (3, 5)": lambda: GOOD.log_prob(np.zeros((3, 5)), TIMES),
    "times has shape (3,)": lambda: GOOD.log_prob(np.zeros((4, 2)), TIMES),
    "bath.temperature is a Linear": lambda: OrnsteinUhlenbeck.overdamped(
        1.0, 0.0, tj.Bath(tj.Linear(1.0, 2.0, 1.0))
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_named(message):
    with pytest.raises(ValueError) as caught:
        BAD[message]()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_spectrum_is_the_transform_of_the_memory():
    """Against int C(t) e^(-2 pi i f t) dt, and its integral, of a drift that is not normal."""
    process = tj.OrnsteinUhlenbeck(
        jnp.array([[1.0, 2.0], [-0.5, 1.5]]), 0.0, jnp.array([[1.0, 0.3], [0.3, 2.0]])
    )
    _, covariance = process.stationary()
    times = jnp.linspace(0.0, 20.0, 4001)
    memory = np.asarray(jax.vmap(lambda t: process.transition(t)[0] @ covariance)(times))
    for f in (0.0, 0.3, -0.3):
        turning = np.exp(-2j * np.pi * f * np.asarray(times))[:, None, None]
        half = np.trapezoid(memory * turning, times, axis=0)
        np.testing.assert_allclose(process.spectrum(f), half + half.conj().T, atol=2e-5)
    f = np.tan(np.linspace(-np.pi / 2, np.pi / 2, 4002)[1:-1])  # all frequencies
    density = np.asarray(process.spectrum(f)) * (1 + f**2)[:, None, None]
    total = np.sum(density, 0) * np.pi / 4001
    np.testing.assert_allclose(total, covariance, atol=1e-3)
    with pytest.raises(ValueError, match="frequency has shape"):
        process.spectrum(np.ones((2, 2)))
    with pytest.raises(ValueError, match="eigenvalue"):
        tj.OrnsteinUhlenbeck(-1.0).spectrum(1.0)
