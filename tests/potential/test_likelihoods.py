"""Likelihoods against scipy's probabilities, in float64 and float32, and what they refuse."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

import math
from decimal import Decimal, localcontext

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import special, stats

import thermojax as tj
from tests.components import LIKELIHOODS, start_positions

CASES = pytest.mark.parametrize("name", LIKELIHOODS)
RNG = np.random.default_rng(3)
A = RNG.normal(size=(7, 2))
NOISE = RNG.uniform(0.5, 2.0, 7)
Y = RNG.normal(size=7)
COUNTS = np.array([0, 1, 5, 17, 40, 3, 0])
TRIALS = np.array([5, 3, 9, 30, 60, 7, 1])
GROUPS = np.array([0, 1, 1, 2, 0, 2, 3])
ROOT = np.tril(RNG.normal(size=(7, 7))) + 3 * np.eye(7)
SMALL = jnp.array([0.4, -0.3])


def one_position(name, seed=1):
    template = LIKELIHOODS[name].template(None)
    return jax.tree.map(lambda leaf: leaf[0], start_positions(template, 1, seed))


@CASES
def test_rows_add_up_to_the_energy(name):
    u, x = LIKELIHOODS[name], one_position(name)
    rows = np.asarray(u.log_likelihood(x))
    np.testing.assert_allclose(-rows.sum(), u.energy(x, None), rtol=1e-13)
    half = len(rows) // 2
    taken = [u.with_rows(i) for i in (jnp.arange(half), jnp.arange(half, len(rows)))]
    found = np.concatenate([v.log_likelihood(x) for v in taken])
    np.testing.assert_allclose(found, rows, rtol=1e-10)
    twice = u.with_rows(jnp.array([1, 1]))
    np.testing.assert_allclose(twice.log_likelihood(x), rows[[1, 1]], rtol=1e-10)


@CASES
def test_data_that_are_drawn_have_the_likelihood_that_is_said(name):
    """<ln p(y|x) - ln p(y|x')> over y ~ p(y|x) is a relative entropy, and <p(y|x')/p(y|x)> = 1."""
    u, x, n = LIKELIHOODS[name], one_position(name), 4000
    other = jax.tree.map(lambda a: a + 0.1 * jnp.cos(jnp.arange(a.size)).reshape(a.shape), x)

    @jax.jit
    def ratios(keys):
        def one(key):
            v = u.with_data(u.draw_data(key, x))
            return v.log_likelihood(other) - v.log_likelihood(x)

        return jax.vmap(one)(keys)

    difference = np.asarray(ratios(jax.random.split(jax.random.key(5), n)))  # (n, rows)
    assert np.all(difference.std(0) > 0)
    odds = np.exp(difference)
    error = odds.std(0) / np.sqrt(n)
    assert np.all(abs(odds.mean(0) - 1) < 4.5 * error)
    assert np.all(difference.mean(0) < 4.5 * difference.std(0) / np.sqrt(n))


@CASES
def test_gradients_are_differences_and_float32_is_kept(name):
    u, x = LIKELIHOODS[name], one_position(name)
    flat, unravel = ravel_pytree(x)
    energy = jax.jit(jax.value_and_grad(lambda v: u.energy(unravel(v), None)))
    value, slope = energy(flat)
    for direction in np.random.default_rng(0).normal(size=(3, flat.size)):
        up, down = (energy(flat + s * direction)[0] for s in (1e-5, -1e-5))
        np.testing.assert_allclose(slope @ direction, (up - down) / 2e-5, rtol=1e-6, atol=1e-7)
    low = lambda a: jnp.asarray(a, jnp.float32) if eqx.is_inexact_array(a) else a
    single, steep = jax.value_and_grad(jax.tree.map(low, u).energy)(jax.tree.map(low, x), None)
    steep = ravel_pytree(steep)[0]
    assert single.dtype == steep.dtype == jnp.float32
    np.testing.assert_allclose(single, value, rtol=1e-5)
    np.testing.assert_allclose(steep, slope, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random effects", "network classification"])
def test_a_ramp_to_the_posterior_runs_and_its_gradient_reaches_the_data(name):
    """As a program that is traced: with integers, functions and dicts among the fields."""
    u = LIKELIHOODS[name]
    prior = tj.DiagonalGaussian(u.template(None))
    ramp = tj.Interpolation(prior, prior + u)

    @eqx.filter_grad
    def mean_work(ramp, key):
        system = tj.Underdamped(ramp, tj.Linear(0.0, 1.0, 0.1), tj.Bath())
        return tj.simulate(system, key, time_steps=2, batch=4).ledger.work.mean()

    slope = eqx.filter_eval_shape(mean_work, ramp, jax.random.key(1))
    assert jax.tree.leaves(slope.prior) and jax.tree.leaves(slope.target.terms[1])


def test_likelihoods_are_saved(tmp_path):
    tj.save(tmp_path / "likelihoods.tj", LIKELIHOODS)
    found = tj.load(tmp_path / "likelihoods.tj")
    for name, u in LIKELIHOODS.items():
        x = one_position(name)
        assert found[name].energy(x, None) == u.energy(x, None)


def test_linear_regression_against_scipy():
    for noise in (NOISE, 0.7):
        found = tj.LinearRegression(A, Y, noise).log_likelihood(SMALL)
        np.testing.assert_allclose(found, stats.norm.logpdf(Y, A @ SMALL, noise), rtol=1e-12)


def test_poisson_against_scipy():
    for exposure in (NOISE, 3.0):
        found = tj.PoissonRegression(A, COUNTS, exposure).log_likelihood(SMALL)
        exact = stats.poisson.logpmf(COUNTS, exposure * np.exp(A @ SMALL))
        np.testing.assert_allclose(found, exact, rtol=1e-12)


def log_factorial(y: int) -> Decimal:
    """ln y! to 40 digits: by its definition, or from 1000 on by Stirling's series."""
    if y < 1000:
        return Decimal(math.factorial(y)).ln()
    n, pi = Decimal(y), Decimal("3.1415926535897932384626433832795028841971694")
    series = 1 / (12 * n) - 1 / (360 * n**3) + 1 / (1260 * n**5)
    return n * n.ln() - n + (2 * pi * n).ln() / 2 + series


@pytest.mark.parametrize("count", [0, 16, 300, 10**6, 10**9])
def test_counts_of_any_size_keep_their_digits(count):
    """ln y! of 1e9 is 2e10, of which float32 loses thousands, and a double 2e-6."""
    size = max(count, 1)
    for log_rate in (0.0, 1 / math.sqrt(size), -3 / math.sqrt(size)):
        with localcontext(prec=50):
            rate = Decimal(log_rate)
            exact = count * (rate + Decimal(size).ln()) - size * rate.exp() - log_factorial(count)
        for dtype, rounding in ((jnp.float64, 2e-16), (jnp.float32, 1e-7)):
            u = tj.PoissonRegression(jnp.ones((1, 1), dtype), [count], exposure=float(size))
            found = -u.energy(jnp.array([log_rate], dtype), None)
            assert found.dtype == dtype
            # of the differences that are summed, and of the rate
            known = rounding * (100 + 2 * size * abs(log_rate))
            np.testing.assert_allclose(float(found), float(exact), atol=known)


def test_poisson_tails_are_finite_where_exp_is_not():
    u = tj.PoissonRegression(jnp.ones((1, 1), jnp.float32), [3])
    for x in (1e4, -1e4):
        value, slope = jax.value_and_grad(lambda x: u.energy(x, None))(jnp.array([x], jnp.float32))
        assert np.isfinite(value) and np.all(np.isfinite(slope)) and value > 1e4
        assert np.sign(slope[0]) == np.sign(x)
    # and nothing is changed where anything has a probability
    x = jnp.array([40.0])
    exact = -stats.poisson.logpmf(3, np.exp(40.0))
    np.testing.assert_allclose(
        tj.PoissonRegression([[1.0]], [3]).energy(x, None), exact, rtol=1e-12
    )


def test_softmax_against_its_definition_and_the_logistic():
    labels = np.array([0, 1, 2, 2, 1, 0, 2])
    x = RNG.normal(size=(2, 3))
    z = A @ x
    exact = np.log(special.softmax(z, axis=1))[np.arange(7), labels]
    u = tj.SoftmaxRegression(A, labels)
    np.testing.assert_allclose(u.log_likelihood(jnp.asarray(x)), exact, rtol=1e-12)
    # One vector for all classes changes nothing.
    moved = u.log_likelihood(jnp.asarray(x + np.array([[5.0], [-2.0]])))
    np.testing.assert_allclose(moved, exact, rtol=1e-12)
    two = tj.SoftmaxRegression(A, labels > 0)
    pair = jnp.stack([jnp.zeros(2), SMALL], axis=1)
    logistic = tj.LogisticRegression(A, labels > 0).log_likelihood(SMALL)
    np.testing.assert_allclose(two.log_likelihood(pair), logistic, rtol=1e-12)
    assert tj.SoftmaxRegression(A, labels, classes=5).template(None).shape == (2, 5)


def test_softmax_tails():
    """Of a label that is certain, and of one that is impossible, in float32."""
    u = tj.SoftmaxRegression(jnp.ones((2, 1), jnp.float32), [0, 1], classes=3)
    x = jnp.array([[1e4, -1e4, 0.0]], jnp.float32)
    np.testing.assert_allclose(u.log_likelihood(x), [0.0, -2e4])
    assert np.all(np.isfinite(jax.grad(u.energy)(x, None)))


@pytest.mark.parametrize(
    "covariance", [0.3, NOISE, ROOT @ ROOT.T], ids=["number", "rows", "matrix"]
)
@pytest.mark.parametrize("operator", [None, A], ids=["identity", "operator"])
def test_gaussian_observation_against_scipy(covariance, operator):
    x = np.array([0.4, -0.3]) if operator is not None else RNG.normal(size=7)
    mean = x if operator is None else A @ x
    full = covariance if np.ndim(covariance) == 2 else np.diag(covariance * np.ones(7))
    u = tj.GaussianLikelihood(Y, covariance, operator)
    exact = -stats.multivariate_normal.logpdf(Y, mean, full)
    np.testing.assert_allclose(u.energy(jnp.asarray(x), None), exact, rtol=1e-12)
    np.testing.assert_allclose(u.y, Y, rtol=1e-12)
    np.testing.assert_allclose(u.covariance, covariance, rtol=1e-12)
    other = u.with_data(jnp.asarray(Y + 1))
    exact = -stats.multivariate_normal.logpdf(Y + 1, mean, full)
    np.testing.assert_allclose(other.energy(jnp.asarray(x), None), exact, rtol=1e-12)
    # The first rows alone: the likelihood of these data.
    few = u.with_rows(jnp.arange(3))
    exact = -stats.multivariate_normal.logpdf(Y[:3], mean[:3], full[:3, :3])
    np.testing.assert_allclose(few.energy(jnp.asarray(x), None), exact, rtol=1e-12)


def test_reference_of_the_gaussian_pair():
    """Prior N(0, [[1, .5], [.5, 1]]), noise [[.5, -.2], [-.2, .8]], y = [1, -1]: by quadrature."""
    prior = tj.Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 1.0]]))
    u = prior + tj.GaussianLikelihood([1.0, -1.0], [[0.5, -0.2], [-0.2, 0.8]])
    line = jnp.linspace(-8, 8, 801)
    grid = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    energy = np.asarray(jax.jit(jax.vmap(lambda x: u.energy(x, None)))(grid))
    weight = np.exp(-energy)
    np.testing.assert_allclose(-np.log(weight.sum() * 0.02**2), 3.064678613858, atol=1e-11)
    mean = weight @ np.asarray(grid) / weight.sum()
    np.testing.assert_allclose(mean, [0.4597701149, -0.2873563218], atol=1e-9)


def mlp(x, row):
    return jnp.tanh(row @ x["w"]) @ x["v"]


def test_networks_as_modules_and_as_functions():
    key = jax.random.key(0)
    net = eqx.nn.MLP(2, "scalar", 3, 1, key=key)
    u = tj.NetworkRegression(net, A, Y, NOISE)
    own = u.network.parameters
    exact = stats.norm.logpdf(Y, jax.vmap(net)(jnp.asarray(A)), NOISE)
    np.testing.assert_allclose(u.log_likelihood(own), exact, rtol=1e-10)
    x = {"w": jnp.asarray(RNG.normal(size=(2, 3))), "v": jnp.asarray(RNG.normal(size=(3, 2)))}
    targets = RNG.normal(size=(7, 2))
    both = tj.NetworkRegression(mlp, A, targets, 0.5, parameters=x)
    exact = stats.norm.logpdf(targets, np.tanh(A @ x["w"]) @ x["v"], 0.5).sum(axis=1)
    np.testing.assert_allclose(both.log_likelihood(x), exact, rtol=1e-12)
    labels = np.array([0, 1, 1, 0, 1, 0, 0])
    several = tj.NetworkClassification(mlp, A, labels, parameters=x)
    exact = np.log(special.softmax(np.tanh(A @ x["w"]) @ x["v"], axis=1))[np.arange(7), labels]
    np.testing.assert_allclose(several.log_likelihood(x), exact, rtol=1e-12)
    one = tj.NetworkClassification(net, A, labels)
    z = jax.vmap(net)(jnp.asarray(A))
    exact = stats.bernoulli.logpmf(labels, special.expit(z))
    np.testing.assert_allclose(one.log_likelihood(own), exact, rtol=1e-10)


def test_the_posterior_of_a_network_runs_and_its_prior_is_drawn():
    """Over the arrays of an Equinox module, with one variance for each layer."""
    net = eqx.nn.MLP(2, "scalar", 3, 1, key=jax.random.key(0))
    u = tj.NetworkRegression(net, A, Y, 0.5)
    spread = jax.tree.map(lambda w: 1 / w.shape[-1], u.template(None))
    prior = tj.DiagonalGaussian(u.template(None), spread)
    system = tj.Underdamped(tj.Interpolation(prior, prior + u), tj.Linear(0.0, 1.0, 0.1), tj.Bath())
    run = lambda key: tj.simulate(system, key, time_steps=2, batch=4)
    position = jax.eval_shape(run, jax.random.key(1)).position
    assert position.layers[0].weight.shape == (4, 3, 2)
    assert jax.eval_shape(lambda x: jax.vmap(lambda x: u.energy(x, None))(x), position).shape == (
        4,
    )
    drawn = prior.sample(jax.random.key(2), None, 1.0, 5000, u.template(None))
    for leaf, variance in zip(jax.tree.leaves(drawn), jax.tree.leaves(spread), strict=True):
        found = np.var(leaf)
        assert abs(found / variance - 1) < 4.5 * np.sqrt(2 / leaf.size)


def test_diagonal_gaussian_is_the_gaussian():
    mean, variance = jnp.array([1.0, 0.5]), jnp.array([0.3, 2.0])
    one, other = tj.DiagonalGaussian(mean, variance), tj.Gaussian(mean, variance)
    np.testing.assert_allclose(one.energy(SMALL, None), other.energy(SMALL, None), rtol=1e-14)
    np.testing.assert_allclose(one.opposite(SMALL, None), other.opposite(SMALL, None), rtol=1e-14)
    kt = jnp.asarray(0.6)
    exact = other.free_energy(None, kt, mean)
    np.testing.assert_allclose(one.free_energy(None, kt, mean), exact, rtol=1e-14)


def test_a_gradient_costs_two_products_with_the_features_for_a_whole_batch():
    """Of matrices: `dot_general` without a batch axis, so that a batch is not a loop of vectors."""
    likelihoods = (
        tj.LinearRegression(A, Y, NOISE),
        tj.SoftmaxRegression(A, [0, 1, 2, 2, 1, 0, 2]),
        tj.PoissonRegression(A, COUNTS),
        tj.GaussianLikelihood(Y, ROOT @ ROOT.T, A),
    )
    for u in likelihoods:
        x = jnp.zeros((5, *u.template(None).shape))
        made = jax.make_jaxpr(lambda x, u=u: tj.potential.batched_gradient(u, x, None))(x)
        products = [e for e in made.jaxpr.eqns if e.primitive.name == "dot_general"]
        assert len(products) == 2
        for equation in products:
            (_, _), (batch, _) = equation.params["dimension_numbers"]
            assert batch == ()


NAN_ROW = np.where(np.arange(7) == 2, np.nan, Y)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: tj.LinearRegression(A, NAN_ROW, 1.0), r"targets\[2\] = nan: .* drop or fill"),
        (lambda: tj.LinearRegression(A, Y[:, None], 1.0), r"pass targets\[:, 0\]"),
        (lambda: tj.LinearRegression(A[:, 0], Y, 1.0), r"features\[:, None\]"),
        (lambda: tj.LinearRegression(np.nan * A, Y, 1.0), "division by its standard deviation"),
        (lambda: tj.LinearRegression(A, Y, 0.0), "noise = 0.0: expected positive"),
        (lambda: tj.LinearRegression(A, Y, NOISE[:3]), "noise has shape .3,.: expected one number"),
        (lambda: tj.LinearRegression(A, 1j * Y, 1.0), "targets has dtype complex"),
        (lambda: tj.LogisticRegression(A, [1, 2, 2, 1, 2, 1, 1]), "pass labels - 1"),
        (lambda: tj.LogisticRegression(A, [1, -1, 1, 1, 1, 1, 1]), r"pass \(labels \+ 1\) / 2"),
        (lambda: tj.LogisticRegression(A, [0, 1, 2, 1, 1, 1, 1]), "use tj.SoftmaxRegression"),
        (lambda: tj.LogisticRegression(A, np.ones((7, 2))), r"labels.argmax\(axis=1\)"),
        (lambda: tj.LogisticRegression(A, NAN_ROW), r"labels\[2\] = nan"),
        (
            lambda: tj.SoftmaxRegression(A, [1, 2, 3, 1, 1, 1, 1], classes=3),
            "from 0 to 2; if 1 to 3 are the classes, pass labels - 1",
        ),
        (lambda: tj.SoftmaxRegression(A, [0, 1, 0.5, 1, 1, 1, 1]), "labels hold 0.5"),
        (lambda: tj.SoftmaxRegression(A, np.zeros(7), classes=1), "classes = 1: expected"),
        (lambda: tj.PoissonRegression(A, -COUNTS), r"counts\[1\] = -1.0 is below 0"),
        (
            lambda: tj.PoissonRegression(A, COUNTS + 0.5),
            r"counts\[0\] = 0.5 is not whole",
        ),
        (lambda: tj.PoissonRegression(A, COUNTS, exposure=-1.0), "exposure = -1.0: expected pos"),
        (lambda: tj.GaussianLikelihood(Y[None], 1.0), r"y has shape \(1, 7\)"),
        (lambda: tj.GaussianLikelihood(Y, [[1.0, 2.0], [2.0, 1.0]]), "covariance has the eigenv"),
        (
            lambda: tj.GaussianLikelihood(Y, np.eye(2)),
            r"\(7,\) and covariance \(2, 2\)",
        ),
        (lambda: tj.GaussianLikelihood(Y, 1.0, A.T), r"y has shape \(7,\) and operator \(2, 7\)"),
        (lambda: tj.RandomEffects(A, COUNTS, 20), r"successes\[4\] = 40 of trials\[4\] = 20"),
        (
            lambda: tj.RandomEffects(A, COUNTS, TRIALS, GROUPS + 1),
            "without a gap; np.unique",
        ),
        (
            lambda: tj.RandomEffects(A, COUNTS, TRIALS).energy(jnp.zeros(9), None),
            "RandomEffects expects one sample of the shape {'coefficients'",
        ),
        (lambda: tj.NetworkRegression(mlp, A, Y, 1.0), "parameters = None"),
        (
            lambda: tj.NetworkRegression(mlp, A, Y, 1.0, parameters={"w": jnp.ones((3, 1))}),
            r"network fails with its parameters, and one row of features of shape \(2,\), by ",
        ),
        (
            lambda: tj.NetworkRegression(eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0)), A, Y, 1.0),
            r"targets has shape \(7,\) and the output of network for all rows of features \(7, 1\)",
        ),
        (lambda: tj.NetworkRegression(eqx.nn.Identity(), A, Y, 1.0), "without an array of floats"),
        (lambda: tj.DiagonalGaussian(jnp.zeros(3), -1.0), "variance = -1.0"),
        (lambda: tj.DiagonalGaussian(jnp.zeros(3), jnp.ones(2)), r"variance has shape \(2,\)"),
        (lambda: tj.DiagonalGaussian({"a": jnp.zeros(3)}, {"b": 1.0}), "variance is a dict"),
        (lambda: tj.DiagonalGaussian(jnp.zeros(3)).energy(jnp.zeros(2), None), "x has the shape"),
        (lambda: tj.Gaussian(jnp.zeros((3, 2))), "tj.DiagonalGaussian"),
    ],
)
def test_bad_input_is_refused_in_words(build, words):
    with pytest.raises(ValueError, match=words) as error:
        build()
    assert "\n" not in str(error.value)


def test_data_take_the_type_of_the_likelihood():
    """Unsigned labels and counts as integers, which alone would wrap round."""
    features = jnp.array([[1.0, 0.5], [1.0, -0.3], [1.0, 2.0]])
    x = jnp.array([0.3, -0.2])
    for make, data in (
        (lambda y: tj.LogisticRegression(features, y), [0, 1, 1]),
        (lambda y: tj.PoissonRegression(features, y), [0, 3, 1]),
        (lambda y: tj.LinearRegression(features, y, 0.5), [0, 3, 1]),
    ):
        wanted = make(np.asarray(data, float))
        found = make(np.ones(3)).with_data(np.asarray(data, np.uint8))
        assert found.energy(x, None) == wanted.energy(x, None)
        assert found.draw_data(jax.random.key(0), x).dtype == features.dtype


def test_counts_beyond_an_integer():
    """Rates of 1e12 scatter by 1e6, and a rate without bound has no count."""
    likelihood = tj.PoissonRegression(jnp.ones((4000, 1)), jnp.zeros(4000))
    counts = np.asarray(likelihood.draw_data(jax.random.key(0), jnp.log(jnp.array([1e12]))))
    assert abs(np.mean(counts) - 1e12) < 4.5 * 1e6 / np.sqrt(4000)
    assert abs(np.std(counts) / 1e6 - 1) < 4.5 / np.sqrt(2 * 4000)
    assert np.all(np.isposinf(likelihood.draw_data(jax.random.key(0), jnp.array([1e4]))))
