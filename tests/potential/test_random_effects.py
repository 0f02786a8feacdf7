"""Random effects against scipy and quadrature: rows, groups, and the seeds of BUGS."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import integrate, optimize, special, stats

import thermojax as tj
from thermojax.estimate import weighted_mean

RNG = np.random.default_rng(3)
A = RNG.normal(size=(7, 2))
COUNTS = np.array([0, 1, 5, 17, 40, 3, 0])
TRIALS = np.array([5, 3, 9, 30, 60, 7, 1])
GROUPS = np.array([0, 1, 1, 2, 0, 2, 3])


def seeds_position(dim, groups):
    return {
        "coefficients": jnp.asarray(RNG.normal(size=dim)),
        "effects": jnp.asarray(RNG.normal(size=groups)),
        "log_scale": jnp.asarray(-0.4),
    }


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["rows", "groups"])
def test_random_effects_against_scipy(groups):
    u = tj.RandomEffects(A, COUNTS, TRIALS, groups)
    x = seeds_position(2, 7 if groups is None else 4)
    own = u.constrain(x)["effects"][GROUPS if groups is not None else slice(None)]
    chance = special.expit(A @ x["coefficients"] + own)
    exact = stats.binom.logpmf(COUNTS, TRIALS, chance)
    np.testing.assert_allclose(u.log_likelihood(x), exact, rtol=1e-12)
    np.testing.assert_allclose(u.constrain(x)["scale"], np.exp(-0.4), rtol=1e-12)


def test_the_prior_of_random_effects_is_that_of_effects_with_a_spread():
    """u ~ N(0, 1) and s u: the density of s u is N(0, s^2), its Jacobian beside it."""
    u = tj.RandomEffects(A, COUNTS, TRIALS)
    x = seeds_position(2, 7)
    own = u.constrain(x)
    exact = (
        stats.norm.logpdf(x["coefficients"], 0, 2).sum()
        + stats.norm.logpdf(x["log_scale"], -1, np.sqrt(0.5))
        + stats.norm.logpdf(own["effects"], 0, own["scale"]).sum()
        + 7 * x["log_scale"]
    )
    found = u.prior(4.0, -1.0, 0.5).energy(x, None)
    np.testing.assert_allclose(found, -exact, rtol=1e-12)


def test_one_group_against_quadrature():
    """Three coordinates, one group: the evidence with the spread integrated out, both ways."""
    u = tj.RandomEffects(np.ones((2, 1)), [3, 5], [10, 8], [0, 0])
    prior = u.prior(1.0, 0.0, 0.25)
    _, unravel = ravel_pytree(prior.template(None))
    line = np.linspace(-6, 6, 61)
    h = line[1] - line[0]
    grid = jnp.stack(jnp.meshgrid(*[jnp.asarray(line)] * 3, indexing="ij"), -1).reshape(-1, 3)
    total = prior + u
    energy = jax.jit(jax.vmap(lambda v: total.energy(unravel(v), None)))(grid)
    found = np.log(np.exp(-np.asarray(energy)).sum() * h**3)

    def given(log_scale):  # b + s u ~ N(0, 1 + s^2)
        spread = np.sqrt(1 + np.exp(2 * log_scale))
        z = np.linspace(-8, 8, 401) * spread
        p = special.expit(z)
        both = 120 * 56 * p**8 * (1 - p) ** 10 * stats.norm.pdf(z, 0, spread)
        return stats.norm.pdf(log_scale, 0, 0.5) * both.sum() * (z[1] - z[0])

    exact = integrate.quad(given, -5, 5, epsabs=1e-13)[0]
    np.testing.assert_allclose(found, np.log(exact), atol=1e-6)


# Seeds that germinated, of two plants (Crowder 1978), as in the examples of BUGS.
GERMINATED = "10 23 23 26 17 5 53 55 32 46 10 8 10 8 23 0 3 22 15 32 3"
SOWN = "39 62 81 51 39 6 74 72 51 79 13 16 30 28 45 4 12 41 30 51 7"


def log_evidence_of_seeds(features, germinated, sown, draws=40_000):
    """The effects integrated out by Gauss-Hermite quadrature, the rest by importance sampling
    around the mode; prior N(0, 4) of coefficients, N(-1, 1) of the log of the spread."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()

    def log_joint(v):
        z = (v[:, :4] @ features.T)[..., None] + np.exp(v[:, 4])[:, None, None] * nodes
        log_chance = germinated[:, None] * -np.logaddexp(0, -z)
        log_chance = log_chance - (sown - germinated)[:, None] * np.logaddexp(0, z)
        rows = special.logsumexp(log_chance + np.log(weights), axis=-1)
        prior = stats.norm.logpdf(v[:, :4], 0, 2).sum(1) + stats.norm.logpdf(v[:, 4], -1, 1)
        return np.sum(rows, axis=1) + prior

    ways = special.gammaln(sown + 1) - special.gammaln(germinated + 1)
    ways = np.sum(ways - special.gammaln(sown - germinated + 1))
    best = optimize.minimize(lambda v: -log_joint(v[None])[0], [0.0, 0, 0, 0, -1])
    around = stats.multivariate_t(best.x, 1.5 * best.hess_inv, df=5)
    v = around.rvs(draws, random_state=np.random.default_rng(0))
    log_weight = np.concatenate([log_joint(v[i : i + 500]) for i in range(0, draws, 500)])
    log_weight = log_weight - around.logpdf(v)
    w = np.exp(log_weight - log_weight.max())
    value = ways + log_weight.max() + np.log(w.mean())
    share = w / w.sum()
    return value, w.std() / w.mean() / np.sqrt(draws), share @ v[:, :4], share @ np.exp(v[:, 4])


@pytest.mark.slow
def test_seeds_against_quadrature():
    """Evidence and posterior means of 26 coordinates, by a ramp from the prior."""
    germinated, sown = (np.array(x.split(), float) for x in (GERMINATED, SOWN))
    variety, extract = np.arange(21) > 10, np.array([*[0] * 5, *[1] * 6, *[0] * 5, *[1] * 5])
    features = np.stack([np.ones(21), variety, extract, variety * extract], axis=1).astype(float)
    exact, exact_error, means, scale = log_evidence_of_seeds(features, germinated, sown)
    assert exact_error < 0.01
    u = tj.RandomEffects(features, germinated, sown)
    prior = u.prior(4.0, -1.0, 1.0)
    ramp = tj.Interpolation(prior, prior + u)
    control = 10.0 ** np.linspace(-4, 0, 24)
    schedule = tj.PiecewiseLinear(np.concatenate([[0.0], control]), 80.0, 0.0, 1.0)
    system = tj.Underdamped(ramp, schedule, tj.Bath())
    out = tj.simulate(system, jax.random.key(0), dt=0.05, batch=2000)
    found = tj.free_energy.jarzynski(out).log_ratio
    assert abs(found.value - exact) < 4.5 * np.hypot(found.error, exact_error)
    assert found.error < 0.1
    own = jax.vmap(u.constrain)(out.position)
    weights = jax.nn.softmax(out.log_weight)
    own_means = weighted_mean(own["coefficients"], weights)
    assert np.all(abs(own_means.value - means) < 4.5 * own_means.error + 0.01)
    own_scale = weighted_mean(own["scale"], weights)
    assert abs(own_scale.value - scale) < 4.5 * own_scale.error + 0.01
