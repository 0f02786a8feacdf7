"""Distances against closed forms, other libraries and finite differences."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize
import scipy.stats

from thermojax.distances import (
    kl_gaussian,
    sinkhorn_divergence,
    transport_cost,
    transport_cost_density,
    transport_cost_gaussian,
    wasserstein,
    wasserstein_density,
    wasserstein_gaussian,
)

M0, S0 = np.zeros(2), np.array([[1.0, 0.3], [0.3, 0.5]])
M1, S1 = np.array([1.0, 2.0]), np.array([[2.0, -0.4], [-0.4, 0.8]])
W2 = 5.45461324858792  # REFERENCE section 3


def covariance(dim, seed):
    a = np.random.default_rng(seed).standard_normal((dim, dim))
    return a @ a.T / dim + 0.5 * np.eye(dim)


def test_reference_value():
    assert float(transport_cost_gaussian(M0, S0, M1, S1)) == pytest.approx(W2, abs=1e-12)


def test_against_scipy_in_five_dimensions():
    s0, s1, m = covariance(5, 0), covariance(5, 1), np.arange(5.0)
    root = scipy.linalg.sqrtm(s0)
    cross = np.trace(np.real(scipy.linalg.sqrtm(root @ s1 @ root)))
    wanted = m @ m + np.trace(s0) + np.trace(s1) - 2 * cross
    assert float(transport_cost_gaussian(m, s0, 0.0, s1)) == pytest.approx(wanted, rel=1e-10)
    logdet = np.linalg.slogdet(s1)[1] - np.linalg.slogdet(s0)[1]
    inverse = np.linalg.inv(s1)
    wanted = 0.5 * (np.trace(inverse @ s0) - 5 + m @ inverse @ m + logdet)
    assert float(kl_gaussian(m, s0, 0.0, s1)) == pytest.approx(wanted, rel=1e-10)


def test_kl_by_quadrature():
    log = scipy.stats.norm.logpdf
    p, q = lambda x: log(x, 0.3, 0.8), lambda x: log(x, -0.5, 1.7)
    density = lambda x: np.exp(p(x)) * (p(x) - q(x))
    wanted = scipy.integrate.quad(density, -10, 10)[0]
    assert float(kl_gaussian(0.3, 0.64, -0.5, 2.89)) == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("distance", [kl_gaussian, transport_cost_gaussian])
def test_numbers_diagonals_and_matrices_agree(distance):
    m = np.array([1.0, -2.0, 0.5])
    wanted = float(distance(m, 2.0 * np.eye(3), np.zeros(3), np.diag([1.0, 2.0, 3.0])))
    for s0 in (2.0, np.full(3, 2.0), 2 * np.eye(3)):
        found = float(distance(m, s0, 0, np.array([1.0, 2.0, 3.0])))
        assert found == pytest.approx(wanted, rel=1e-12)
    assert distance(0.0, 1.0, 1.0, 2.0).shape == ()
    stack = jnp.stack([jnp.eye(3), 2 * jnp.eye(3)])
    batch = jax.jit(jax.vmap(lambda s: distance(m, s, 0.0, 2.0)))(stack)
    assert float(batch[1]) == pytest.approx(float(distance(m, 2.0, 0.0, 2.0)), rel=1e-12)
    assert distance(np.float32(m), np.float32(1), np.float32(0), np.float32(2)).dtype == np.float32


PAIRS = {
    "generic": (covariance(3, 2), covariance(3, 3)),
    "equal": (covariance(3, 2), covariance(3, 2)),
    "repeated": (np.eye(3), 2 * np.eye(3)),
    "equal and repeated": (2 * np.eye(3), 2 * np.eye(3)),
    "commuting": (np.diag([1.0, 1.0, 2.0]), np.diag([3.0, 3.0, 2.0])),
}


def numeric(f, x, change, step=1e-5):
    return (f(x + step * change) - f(x - step * change)) / (2 * step)


@pytest.mark.parametrize("distance", [kl_gaussian, transport_cost_gaussian])
def test_gradients_and_curvature(distance):
    change = jnp.asarray(np.stack([covariance(3, 4), -covariance(3, 5)]))
    f = lambda s: distance(jnp.arange(3.0), s[0], 0.0, s[1])
    along = lambda s: jnp.sum(jax.grad(f)(s) * change)
    second = lambda s: jnp.sum(jax.grad(along)(s) * change)
    f, along, second = jax.jit(f), jax.jit(along), jax.jit(second)
    for name, pair in PAIRS.items():
        s = jnp.asarray(np.stack(pair))
        first = float(numeric(f, s, change))
        assert float(along(s)) == pytest.approx(first, abs=1e-7, rel=1e-6), name
        curvature = float(numeric(along, s, change))
        assert float(second(s)) == pytest.approx(curvature, abs=1e-5, rel=1e-6), name


def test_equal_covariances_are_a_minimum():
    for distance in (kl_gaussian, transport_cost_gaussian):
        slope = jax.grad(lambda s, d=distance: d(M0, s, M0, S0))(jnp.asarray(S0))
        np.testing.assert_allclose(slope, 0, atol=1e-13)


@pytest.mark.parametrize("other", [S1, np.outer([1.0, -0.5], [1.0, -0.5])], ids=["full", "rank 1"])
def test_singular_covariances(other):
    """A needle that turns and stretches: the root of its null direction has no derivative."""

    def needle(t):
        v = (1 + t) * jnp.stack([jnp.cos(t), jnp.sin(t)])
        return jnp.outer(v, v)

    f = jax.jit(lambda t: transport_cost_gaussian(0.0, needle(t), 0.0, other))
    v = 1.3 * np.array([np.cos(0.3), np.sin(0.3)])
    wanted = v @ v + np.trace(other) - 2 * np.sqrt(v @ other @ v)
    assert float(f(0.3)) == pytest.approx(wanted, abs=1e-12)
    assert float(jax.grad(f)(0.3)) == pytest.approx(float(numeric(f, 0.3, 1.0)), abs=1e-6)
    # From and to a point: the trace, and a gradient without NaN.
    point = jnp.zeros((2, 2))
    assert float(transport_cost_gaussian(M0, point, M1, S1)) == pytest.approx(5 + 2.8, abs=1e-12)
    assert float(transport_cost_gaussian(M0, 0.0, M1, 0.0)) == pytest.approx(5.0)
    for s in (point, jnp.zeros(2), jnp.zeros(())):
        gradient = jax.grad(lambda s: transport_cost_gaussian(M0, s, M1, S1))(s)
        assert np.all(np.isfinite(gradient))


def test_small_distances_keep_their_digits():
    """S (1 + e)^2 is e^2 tr S away in W_2^2; S (1 + e) is e^2 dim/4 away in KL, nearly."""
    s = covariance(4, 6)
    for e in (1e-4, 1e-7):
        found = float(transport_cost_gaussian(0.0, s * (1 + e) ** 2, 0.0, s))
        assert found == pytest.approx(e**2 * np.trace(s), rel=1e-6)
        assert float(kl_gaussian(0.0, s * (1 + e), 0.0, s)) == pytest.approx(e**2, rel=1e-3)


def test_refusals_of_gaussians():
    nan = np.array([[1.0, np.nan], [np.nan, 1.0]])
    bad = [
        (np.ones((2, 3)), "covariance0 has shape \\(2, 3\\)"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "not symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "the eigenvalue -1"),
        (nan, "not finite"),
        (-1.0, "covariance0 = -1"),
        (np.array([1.0, np.inf]), "covariance0 ="),
        (np.ones(3), "expected one dimension"),
    ]
    for distance in (kl_gaussian, transport_cost_gaussian):
        for s, message in bad:
            with pytest.raises(ValueError, match=message):
                distance(M0, s, M1, S1)
        with pytest.raises(ValueError, match="mean1 ="):
            distance(M0, S0, np.array([0.0, np.nan]), S1)
        with pytest.raises(ValueError, match=r"mean0 has shape \(1, 2\)"):
            distance(M0[None], S0, M1, S1)
    with pytest.raises(ValueError, match="eigenvalue 0"):
        kl_gaussian(M0, np.diag([1.0, 0.0]), M1, S1)


def test_samples_against_scipy_and_linear_programming():
    rng = np.random.default_rng(7)
    x, y, a, b = rng.normal(size=7), rng.normal(1, 2, size=5), rng.random(7), rng.random(5)
    found = float(transport_cost(x, y, 1, x_weights=a, y_weights=b))
    assert found == pytest.approx(scipy.stats.wasserstein_distance(x, y, a, b), rel=1e-12)
    cost = np.abs(x[:, None] - y) ** 2.5
    sums = np.concatenate([np.kron(np.eye(7), np.ones(5)), np.kron(np.ones(7), np.eye(5))])
    shares = np.concatenate([np.full(7, 1 / 7), b / b.sum()])
    wanted = scipy.optimize.linprog(cost.ravel(), A_eq=sums, b_eq=shares).fun
    assert float(transport_cost(x, y, 2.5, y_weights=b)) == pytest.approx(wanted, rel=1e-9)
    # Equal sizes take the short way; doubling every sample takes the long one to the same value.
    short = float(transport_cost(x[:5], y))
    assert float(transport_cost(np.repeat(x[:5], 2), y)) == pytest.approx(short, rel=1e-12)
    f = lambda x, b: transport_cost(x, y, y_weights=b)
    dx, db = jax.grad(f, (0, 1))(jnp.asarray(x), jnp.asarray(b))
    u, v = rng.normal(size=7), rng.normal(size=5)
    slope = numeric(lambda t: f(x + t * u, b + t * v), 0.0, 1.0, 1e-6)
    assert float(dx @ u + db @ v) == pytest.approx(float(slope), rel=1e-6)


def test_samples_of_gaussians():
    """x ~ N(0, 1), y ~ N(1, 4): W_2^2 = 2, with the variance 4 (5 + 2.5)/n from both moments."""
    n = 100_000
    x = jax.random.normal(jax.random.key(0), (n,))
    y = 1 + 2 * jax.random.normal(jax.random.key(1), (n // 2,))
    error = np.sqrt(4 * (1 + 0.5) / n + 4 * (4 + 2) / (n // 2))
    assert float(transport_cost(x, y)) == pytest.approx(2.0, abs=4.5 * error)


def test_densities_of_gaussians_are_second_order():
    errors = []
    for n in (101, 401):
        x = jnp.linspace(-9.0, 9.0, n)
        p, q = jnp.exp(-0.5 * x**2), jnp.exp(-0.5 * (x - 1) ** 2 / 2.25)
        errors.append(float(transport_cost_density(x, p, q)) - 1.25)
    assert abs(errors[1]) < 2e-3
    assert np.log2(abs(errors[0] / errors[1])) / 2 == pytest.approx(2, abs=0.15)


def test_densities_by_the_cumulative_distributions():
    """p = 1 is the integral of |F - G|; a gap without mass is crossed."""
    x = np.sort(np.random.default_rng(8).uniform(-6, 6, 2001))
    p = np.exp(-0.5 * (x + 1) ** 2)
    q = np.where(np.abs(x) > 1, np.exp(-0.25 * np.abs(x)), 0)
    f, g = (scipy.integrate.cumulative_trapezoid(d, x, initial=0) for d in (p, q))
    wanted = scipy.integrate.trapezoid(np.abs(f / f[-1] - g / g[-1]), x)
    assert float(transport_cost_density(x, p, q, 1)) == pytest.approx(wanted, rel=1e-4)
    box = lambda low: np.where((x > low) & (x < low + 1), 1.0, 0.0)
    assert float(transport_cost_density(x, box(-4), box(3))) == pytest.approx(49, abs=0.2)
    slope = jax.grad(lambda q: transport_cost_density(x, p, q))(jnp.asarray(q))
    change = q * np.exp(-((x - 3) ** 2))
    along = numeric(lambda t: transport_cost_density(x, p, q + t * change), 0.0, 1.0, 1e-6)
    assert float(slope @ change) == pytest.approx(float(along), rel=1e-5)
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize(("barrier", "wanted"), [(2, 1.16807), (4, 1.47592), (8, 1.70174)])
def test_erasure_of_one_bit(barrier, wanted):
    """REFERENCE section 3: both wells of E (x^2 - 1)^2 into the right one."""
    x = jnp.linspace(-3.0, 3.0, 4000)  # zero lies in the middle of a cell
    both = jnp.exp(-barrier * (x**2 - 1) ** 2)
    assert float(transport_cost_density(x, both, both * (x > 0))) == pytest.approx(wanted, abs=2e-5)


def test_a_distance_is_a_length_and_a_cost_its_power():
    """A shift by c is |c| away in every W_p; so lengths scale, and costs by the p-th power."""
    rng = np.random.default_rng(9)
    x, far = rng.normal(size=6), rng.normal(2, 3, size=4)
    grid = np.linspace(-8, 8, 2001)
    bell = lambda m: np.exp(-0.5 * (grid - m) ** 2)
    for p in (1, 2, 3):
        assert float(wasserstein(x, x + 1.5, p)) == pytest.approx(1.5, rel=1e-12)
        assert float(transport_cost(x, x + 1.5, p)) == pytest.approx(1.5**p, rel=1e-12)
        assert float(wasserstein(2 * x, 2 * far, p)) == pytest.approx(
            2 * float(wasserstein(x, far, p)), rel=1e-12
        )
        # Not so of the cost: W_p obeys the triangle inequality, W_p^p breaks it here.
        ends = np.array([0.0]), np.array([1.0]), np.array([2.0])
        half = [float(wasserstein(a, b, p)) for a, b in itertools.pairwise(ends)]
        assert float(wasserstein(ends[0], ends[2], p)) == pytest.approx(sum(half), rel=1e-12)
        assert float(transport_cost(ends[0], ends[2], p)) == pytest.approx(2**p, rel=1e-12)
        assert float(wasserstein_density(grid, bell(0), bell(1), p)) == pytest.approx(1, abs=1e-4)
    assert float(wasserstein_density(grid, bell(0), bell(2))) == pytest.approx(2, abs=1e-4)
    assert float(wasserstein_gaussian(M0, S0, M0 + np.array([3.0, 4.0]), S0)) == pytest.approx(5)
    assert float(wasserstein_gaussian(M0, S0, M1, S1)) == pytest.approx(np.sqrt(W2), rel=1e-12)


def test_gradients_where_two_laws_agree():
    """Costs are at their minimum there; distances have a kink, and no NaN."""
    x = jnp.asarray(np.random.default_rng(10).normal(size=5))
    grid = jnp.linspace(-5.0, 5.0, 101)
    bell = jnp.exp(-0.5 * grid**2)
    s = jnp.asarray(S0)
    for cost, distance, at in (
        (lambda y: transport_cost(y, x), lambda y: wasserstein(y, x), x),
        (lambda y: transport_cost(y, x, 3), lambda y: wasserstein(y, x, 3), x),
        (
            lambda d: transport_cost_density(grid, d, bell),
            lambda d: wasserstein_density(grid, d, bell),
            bell,
        ),
        (
            lambda m: transport_cost_gaussian(m, s, M1, s),
            lambda m: wasserstein_gaussian(m, s, M1, s),
            jnp.asarray(M1),
        ),
    ):
        np.testing.assert_allclose(jax.grad(cost)(at), 0, atol=1e-12)
        assert np.all(np.isfinite(jax.grad(distance)(at)))
    shifted = jax.grad(lambda c: wasserstein(x + c, x))(0.7)  # |c|
    assert float(shifted) == pytest.approx(1, rel=1e-12)


def test_refusals_of_samples_and_densities():
    x = np.arange(4.0)
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\): expected \(n,\)"):
        transport_cost(np.ones((2, 2)), x)
    with pytest.raises(ValueError, match=r"y = .*finite"):
        transport_cost(x, np.array([np.nan]))
    with pytest.raises(ValueError, match=r"p = 0.5: expected"):
        transport_cost(x, x, 0.5)
    with pytest.raises(ValueError, match=r"y_weights has shape \(2,\): expected \(4,\), as many"):
        transport_cost(x, x, y_weights=np.ones(2))
    with pytest.raises(ValueError, match=r"x_weights = .*none negative"):
        transport_cost(x, x, x_weights=np.array([1, -1, 0, 0]))
    with pytest.raises(ValueError, match="increasing points"):
        transport_cost_density(x[::-1], x, x)
    with pytest.raises(ValueError, match="two increasing points"):
        transport_cost_density(x[:1], x[:1], x[:1])
    with pytest.raises(ValueError, match=r"density1 = .*not all zero"):
        transport_cost_density(x, x, 0 * x)


def test_sinkhorn_on_gaussians():
    """Against the Gaussian formula: the exact one, and that of the sample moments.

    The standard error is that of the Kantorovich potentials: sqrt(Var f/n + Var g/n).
    """
    pytest.importorskip("ott")
    n = 256
    rng = np.random.default_rng(3)
    x, y = rng.multivariate_normal(M0, S0, n), rng.multivariate_normal(M1, S1, n)
    root = scipy.linalg.sqrtm(S0)
    inverse = np.linalg.inv(root)
    map01 = inverse @ scipy.linalg.sqrtm(root @ S1 @ root) @ inverse

    def potential(z, m, other, slope):
        u = z - m
        return np.sum(z**2, 1) - 2 * z @ other - np.einsum("ni,ij,nj->n", u, slope, u)

    f, g = potential(x, M0, M1, map01), potential(y, M1, M0, np.linalg.inv(map01))
    error = np.sqrt((np.var(f) + np.var(g)) / n)
    e = np.zeros_like(x)
    e[5] = [1.0, -1.0]
    found, slope = jax.value_and_grad(lambda x: sinkhorn_divergence(x, y, epsilon=0.5))(
        jnp.asarray(x)
    )
    assert abs(float(found) - W2) < 4.5 * error
    moments = transport_cost_gaussian(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert float(found) == pytest.approx(float(moments), rel=0.02)
    ahead, behind = (float(sinkhorn_divergence(x + h * e, y, epsilon=0.5)) for h in (0.05, -0.05))
    assert float(jnp.sum(slope * e)) == pytest.approx((ahead - behind) / 0.1, rel=0.02)
    assert abs(float(sinkhorn_divergence(x, x, epsilon=0.5))) < 1e-5


def test_sinkhorn_says_what_is_missing(monkeypatch):
    for name in ("ott", "ott.tools"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'thermojax\[transport\]'"):
        sinkhorn_divergence(np.zeros((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="points of one dimension"):
        sinkhorn_divergence(np.zeros((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="one sample a row"):
        sinkhorn_divergence(np.zeros(2), np.ones((2, 3)))
    with pytest.raises(ValueError, match="epsilon = -1"):
        sinkhorn_divergence(np.zeros((2, 2)), np.ones((2, 2)), epsilon=-1.0)
