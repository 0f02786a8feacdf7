"""NumPyro models as prior and likelihood: densities, draws, data, and what is refused."""

# NumPyro declares its arguments more narrowly than it takes them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalCall=false, reportOperatorIssue=false

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import thermojax as tj

pytest.importorskip("numpyro", reason="NumPyro is not installed")

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.reparam import LocScaleReparam
from numpyro.infer.util import constrain_fn, potential_energy

SIGMA = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
EFFECT = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])


def eight_schools(sigma, y=None):
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", len(sigma)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)
    numpyro.deterministic("spread", theta - mu)


def series(y):
    """Sites in a loop, whose prior is that of a random walk of logarithms."""
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))

    def step(carry, y):
        level = numpyro.sample("level", dist.LogNormal(carry, scale))
        numpyro.sample("y", dist.Normal(level, 1.0), obs=y)
        return jnp.log(level), None

    scan(step, 0.0, y)


def everything(counts):
    """A simplex, constraints in plates, a support that a site moves, a factor, a scaled site."""
    p = numpyro.sample("p", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("pairs", 2), numpyro.plate("triples", 3):
        numpyro.sample("scales", dist.LogNormal(0.0, 1.0))
        numpyro.sample("shares", dist.Dirichlet(jnp.ones(2)))
    numpyro.sample("above", dist.Uniform(-p[0], 1.0))
    numpyro.sample("counts", dist.Multinomial(6, p), obs=counts)
    numpyro.factor("tilt", -(p[0] ** 2))
    with handlers.scale(scale=2.0):
        numpyro.sample("twice", dist.Normal(p[1], 1.0), obs=0.3)


def counting(counts):
    rate = numpyro.sample("rate", dist.Exponential(0.5))
    numpyro.sample("counts", dist.Poisson(rate), obs=counts)


NONCENTERED = handlers.reparam(eight_schools, config={"theta": LocScaleReparam(0)})
MODELS = {
    "eight schools": (eight_schools, (SIGMA,), {"y": EFFECT}),
    "reparametrized": (NONCENTERED, (SIGMA,), {"y": EFFECT}),
    "in a loop": (series, (EFFECT[:3] / 10,), {}),
    "everything": (everything, (jnp.array([1, 2, 3]),), {}),
}


@functools.cache
def model_of(name):
    model, args, kwargs = MODELS[name]
    return tj.from_numpyro(model, *args, **kwargs)


@pytest.mark.parametrize("name", MODELS)
def test_prior_and_likelihood_are_the_density_of_numpyro(name):
    (function, args, kwargs), model = MODELS[name], model_of(name)
    x = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(1), leaf.shape), model.template)

    @jax.jit
    def both(x):
        ours = model.prior.energy(x, None), model.likelihood.energy(x, None), model.constrain(x)
        shown = constrain_fn(function, args, kwargs, x, return_deterministic=True)
        return ours, potential_energy(function, args, kwargs, x), shown

    (prior, likelihood, sites), whole, shown = both(x)
    assert prior + likelihood == pytest.approx(float(whole), rel=1e-12)
    assert sites.keys() == shown.keys() and model.prior.proper
    for site in sites:
        np.testing.assert_allclose(sites[site], shown[site], rtol=1e-12)
    if name == "eight schools":  # closed forms, by scipy
        y = np.asarray(EFFECT)
        exact = -scipy.stats.norm.logpdf(y, x["theta"], SIGMA).sum()
        assert float(likelihood) == pytest.approx(exact, rel=1e-12)
        tau = np.exp(float(x["tau"]))
        exact = scipy.stats.norm.logpdf(x["mu"], 0, 5) + scipy.stats.halfcauchy.logpdf(tau, 0, 5)
        exact += scipy.stats.norm.logpdf(x["theta"], x["mu"], tau).sum() + np.log(tau)
        assert float(prior) == pytest.approx(-exact, rel=1e-12)


COUNTS = np.array([3, 1, 4])


def test_the_prior_is_normalized_and_drawn_exactly():
    """With its Jacobian; draws by their distribution function."""
    model = tj.from_numpyro(counting, COUNTS)
    z = jnp.linspace(-40.0, 8.0, 4001)
    density = jnp.exp(-jax.vmap(lambda z: model.prior.energy({"rate": z}, None))(z))
    assert float(jnp.trapezoid(density, z)) == pytest.approx(1.0, abs=1e-8)
    drawn = model.prior.sample(jax.random.key(0), None, 1.0, 2000, model.template)
    rate = np.exp(drawn["rate"])
    assert scipy.stats.kstest(rate, scipy.stats.expon(scale=2.0).cdf).pvalue > 1e-4
    assert model.prior.sampled_by(None, jnp.array(1.0)) is model.prior
    assert model.prior.sampled_by(None, jnp.array(2.0)) is None


def test_a_ramp_from_prior_to_posterior_finds_the_evidence():
    """Exponential-Poisson: the evidence of three counts and the posterior mean in closed form."""
    model = tj.from_numpyro(counting, COUNTS)
    system = tj.Underdamped(
        tj.Interpolation(model.prior, model.prior + model.likelihood),
        tj.Linear(0.0, 1.0, 4.0),
        tj.Bath(friction=1.0, mass=3.0),
    )
    out = tj.simulate(system, jax.random.key(2), dt=0.1, batch=2000)
    found = tj.free_energy.jarzynski(out).log_ratio
    total = COUNTS.sum()
    exact = np.log(0.5) - (total + 1) * np.log(3.5)
    exact += scipy.special.gammaln(total + 1) - scipy.special.gammaln(COUNTS + 1).sum()
    assert abs(float(found.value) - exact) < 4.5 * float(found.error) < 0.2
    rate, mean = model.shown(out.position)["rate"], (total + 1) / 3.5
    weight = np.exp(out.log_weight) / np.exp(out.log_weight).sum()
    error = np.sqrt(np.sum(weight**2 * (rate - mean) ** 2))
    assert abs(np.sum(weight * rate) - mean) < 4.5 * error < 0.25


def test_a_likelihood_knows_its_rows_and_takes_other_data():
    model = model_of("eight schools")
    likelihood = model.likelihood
    x = {"mu": jnp.array(4.0), "tau": jnp.array(1.0), "theta": jnp.linspace(-5.0, 12.0, 8)}
    rows = likelihood.log_likelihood(x)
    np.testing.assert_allclose(rows, scipy.stats.norm.logpdf(EFFECT, x["theta"], SIGMA))
    assert likelihood.by_name(x)["y"].shape == (8,)
    some = likelihood.with_rows(jnp.array([1, 5]))
    assert float(some.energy(x, None)) == pytest.approx(-float(rows[1] + rows[5]))
    assert float(some.with_rows(jnp.array([1])).energy(x, None)) == pytest.approx(-float(rows[5]))
    other = likelihood.with_data(EFFECT + 3.0)
    exact = -scipy.stats.norm.logpdf(EFFECT + 3.0, x["theta"], SIGMA).sum()
    assert float(other.energy(x, None)) == pytest.approx(exact)
    keys = jax.random.split(jax.random.key(5), 400)
    drawn = jax.jit(jax.vmap(lambda key: likelihood.draw_data(key, x)))(keys)
    standard = (np.asarray(drawn) - x["theta"]) / SIGMA
    assert drawn.shape == (400, 8) and scipy.stats.kstest(standard.ravel(), "norm").pvalue > 1e-4


def two_sites(first, second):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    numpyro.sample("first", dist.Poisson(rate), obs=first)
    with handlers.mask(mask=jnp.array([True, False])):
        numpyro.sample("second", dist.Exponential(rate).expand([2]), obs=second)


def test_several_observed_sites_and_a_mask():
    """What a mask hides may be missing."""
    model = tj.from_numpyro(two_sites, jnp.array([3, 1, 4]), jnp.array([0.5, jnp.nan]))
    x = {"rate": jnp.log(2.0)}
    rows = scipy.stats.poisson.logpmf([3, 1, 4], 2.0)
    exact = [*rows, scipy.stats.expon.logpdf(0.5, scale=0.5), 0.0]
    np.testing.assert_allclose(model.likelihood.log_likelihood(x), exact, atol=1e-12)
    assert {k: v.shape for k, v in model.likelihood.by_name(x).items()} == {
        "first": (3,),
        "second": (2,),
    }
    drawn = model.likelihood.draw_data(jax.random.key(0), x)
    assert drawn["first"].shape == (3,) and drawn["second"].shape == (2,)
    again = model.likelihood.with_data(drawn)
    assert np.isfinite(again.energy(x, None)) and drawn["first"].dtype == jnp.int64


def groups(index, y):
    with numpyro.plate("groups", int(index.max()) + 1):
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mean[index], 1.0), obs=y)


def test_a_model_may_look_at_its_arguments():
    """Arrays are leaves of the potentials, and constants where the model needs their values."""
    assert len(jax.tree.leaves(model_of("eight schools").likelihood)) == 2
    model = tj.from_numpyro(groups, np.array([0, 2, 1, 2]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert model.template["mean"].shape == (3,) and not jax.tree.leaves(model.likelihood)
    energy = jax.jit(lambda x: model.likelihood.energy(x, None))({"mean": jnp.zeros(3)})
    assert energy == pytest.approx(-scipy.stats.norm.logpdf([0.1, 0.2, 0.3, 0.4]).sum())


def discrete(y):
    k = numpyro.sample("k", dist.Categorical(jnp.ones(3) / 3))
    numpyro.sample("y", dist.Normal(jnp.arange(3.0)[k], 1.0), obs=y)


def subsampled(y):
    mean = numpyro.sample("mean", dist.Normal())
    with numpyro.plate("data", len(y), subsample_size=2) as some:
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y[some])


def simple(y=None, law=dist.Normal):
    mean = numpyro.sample("mean", dist.LogNormal())
    numpyro.sample("y", law(mean), obs=y)


WORDS = [
    (discrete, (1.0,), "site 'k' is discrete .Categorical.*: expected real parameters"),
    (subsampled, (jnp.zeros(5),), "plate 'data' takes 2 of its 5 elements .*leave out subsample"),
    (simple, (), "model has no observed site: pass the data"),
    (lambda: numpyro.sample("y", dist.Normal(), obs=1.0), (), "model has no latent site"),
    (simple, (jnp.array([0.0, jnp.nan]),), "site 'y' observes nan, which Normal cannot have made"),
    (simple, (jnp.array([0, -2]), dist.Poisson), "site 'y' observes -2, which Poisson cannot"),
    (simple, (jnp.array([0.5]), dist.Poisson), "site 'y' observes 0.5, which Poisson cannot"),
    (eight_schools, (), "model cannot be called with these arguments: missing a required .*sigma"),
    (3, (), "model = 3: expected a function of NumPyro primitives"),
]


@pytest.mark.parametrize(("model", "args", "words"), WORDS)
def test_what_is_refused(model, args, words):
    with pytest.raises(ValueError, match=words):
        tj.from_numpyro(model, *args)


def test_a_position_of_another_model_is_refused():
    model = model_of("eight schools")
    with pytest.raises(ValueError, match=r"expected a dict of unconstrained arrays by site"):
        model.prior.energy(jnp.zeros(3), None)
    with pytest.raises(ValueError, match=r"'theta': \(8,\)"):
        model.likelihood.energy(model.template | {"theta": jnp.zeros(7)}, None)


def test_an_improper_prior_has_no_evidence():
    def improper(y):
        mean = numpyro.sample("mean", dist.ImproperUniform(dist.constraints.positive, (), ()))
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(mean, scale), obs=y)

    y = jnp.array([0.5, 1.0])
    with pytest.warns(UserWarning, match="the prior of 'mean' is improper: the evidence"):
        model = tj.from_numpyro(improper, y)
    x = {"mean": jnp.array(0.3), "scale": jnp.array(-0.2)}
    whole = potential_energy(improper, (y,), {}, x)
    assert model.prior is None
    assert float(model.likelihood.energy(x, None)) == pytest.approx(float(whole))


def test_what_cannot_draw_data_says_so_by_its_kind():
    """Factors and scaled sites are likelihood, and no `tj.AbstractLikelihood`."""
    assert isinstance(model_of("eight schools").likelihood, tj.AbstractLikelihood)
    assert not isinstance(model_of("everything").likelihood, tj.AbstractLikelihood)
