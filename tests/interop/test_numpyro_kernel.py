"""Our chains inside of NumPyro's MCMC, against closed forms and against NUTS."""

# NumPyro declares its arguments more narrowly than it takes them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

pytest.importorskip("numpyro", reason="NumPyro is not installed")

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS

from tests.interop.test_numpyro import COUNTS, EFFECT, SIGMA, counting

MEAN, VARIANCE = 9 / 3.5, 9 / 3.5**2  # of the posterior of the rate, a gamma law


def within_errors(rate):
    """Mean and variance of draws `(chains, draws)` against the gamma law, at 4.5 sigma."""
    for values, exact in ((rate, MEAN), ((rate - MEAN) ** 2, VARIANCE)):
        error = values.std() / np.sqrt(effective_sample_size(np.asarray(values)))
        assert abs(values.mean() - exact) < 4.5 * error and error < 0.1


@pytest.mark.parametrize("method", ["vectorized", "sequential"])
def test_samples_are_constrained_and_exact(method, capfd, monkeypatch):
    """With a step that is given; the progress bar shows it where chains run one by one."""
    for name in ("CI", "PYTEST_XDIST_WORKER"):  # where NumPyro shows no bar
        monkeypatch.delenv(name, raising=False)
    bar = method == "sequential"
    kernel = tj.bayes.NumPyroKernel(counting, step_size=0.7, mass=3.0, steps=4)
    chains = dict(num_chains=2, chain_method=method, progress_bar=bar)
    mcmc = MCMC(kernel, num_warmup=20, num_samples=1000, **chains)
    fields = ("potential_energy", "accept_prob", "z.rate")
    # Keys of both kinds, typed and words alone.
    key = jax.random.key(0) if bar else jax.random.PRNGKey(0)
    mcmc.run(key, COUNTS, extra_fields=fields)
    samples = mcmc.get_samples(group_by_chain=True)
    extra = mcmc.get_extra_fields(group_by_chain=True)
    assert samples["rate"].shape == (2, 1000) and not extra["diverging"].any()
    np.testing.assert_allclose(jnp.exp(extra["z.rate"]), samples["rate"], rtol=1e-12)
    model = tj.from_numpyro(counting, COUNTS)
    whole = jax.vmap(lambda z: (model.prior + model.likelihood).energy({"rate": z}, None))
    np.testing.assert_allclose(extra["potential_energy"][0], whole(extra["z.rate"][0]), rtol=1e-9)
    assert 0.4 < extra["accept_prob"].mean() < 1
    within_errors(samples["rate"])
    assert not bar or "step size 7.00e-01. acc. prob=0." in capfd.readouterr().err
    if bar:
        return
    mcmc.post_warmup_state = mcmc.last_state  # goes on from where it was
    mcmc.run(jax.random.PRNGKey(1), COUNTS)
    again = mcmc.get_samples(group_by_chain=True)["rate"]
    assert again.shape == (2, 1000) and not np.array_equal(again, samples["rate"])


@pytest.mark.slow
def test_a_potential_is_tuned_in_warm_up():
    """Of widths 0.1 and 10; a chain alone has masses and a step for both."""
    width = jnp.array([0.1, 10.0])
    kernel = tj.bayes.NumPyroKernel(potential_fn=lambda x: jnp.sum((x / width) ** 2) / 2, steps=8)
    mcmc = MCMC(kernel, num_warmup=50, num_samples=1000, progress_bar=False)
    mcmc.run(jax.random.key(3), init_params=jnp.array([0.1, 5.0]))
    state, x = mcmc.last_state, mcmc.get_samples()
    np.testing.assert_allclose(state.mass * width**2, state.mass[0] * width[0] ** 2, rtol=0.3)
    effective = effective_sample_size(np.asarray(x)[None] ** 2)
    error = np.sqrt(2 / effective)
    assert x.shape == (1000, 2) and np.all(abs((x / width).var(0) - 1) < 4.5 * error)
    assert np.all(effective > 100)


def test_a_kernel_that_is_used_again_sees_the_new_data():
    """Data by keyword, whose positional arguments are the same empty tuple every time."""

    def model(y):
        numpyro.sample("y", dist.Normal(numpyro.sample("x", dist.Normal(0.0, 100.0)), 1.0), obs=y)

    kernel = tj.bayes.NumPyroKernel(model, step_size=0.7, mass=1.0, steps=2)
    for y in (0.0, 50.0):
        mcmc = MCMC(kernel, num_warmup=0, num_samples=5, progress_bar=False)
        mcmc.run(jax.random.key(0), y=y, extra_fields=("potential_energy", "z.x"))
        fields = mcmc.get_extra_fields()
        x = fields["z.x"][0]
        minus = -dist.Normal(0.0, 100.0).log_prob(x) - dist.Normal(x, 1.0).log_prob(y)
        np.testing.assert_allclose(fields["potential_energy"][0], minus, rtol=1e-6)


WORDS = [
    (dict(), "model and potential_fn are both given or both None"),
    (dict(model=counting, potential_fn=lambda x: 0.0), "both given or both None"),
    (dict(model=counting, mass=1.0), "mass is given and step_size = None"),
    (dict(model=counting, step_size=-1.0), "step_size = -1.0: expected a positive time step"),
    (dict(model=counting, adjusted=True), "adjusted is a bool: expected a tj.LocalStep"),
]


@pytest.mark.parametrize(("arguments", "words"), WORDS)
def test_mistakes_are_said(arguments, words):
    with pytest.raises(ValueError, match=words):
        tj.bayes.NumPyroKernel(**arguments)


def test_what_a_run_lacks_is_said():
    kernel = tj.bayes.NumPyroKernel(counting)
    with pytest.raises(ValueError, match="num_warmup = 0 and step_size = None"):
        MCMC(kernel, num_warmup=0, num_samples=10, progress_bar=False).run(
            jax.random.key(0), COUNTS
        )
    kernel = tj.bayes.NumPyroKernel(potential_fn=lambda x: x**2)
    with pytest.raises(ValueError, match="init_params = None"):
        MCMC(kernel, num_warmup=1, num_samples=10, progress_bar=False).run(jax.random.key(0))


def noncentered(sigma, y):
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", len(sigma)):
        unit = numpyro.sample("unit", dist.Normal(0, 1))
        theta = numpyro.deterministic("theta", mu + tau * unit)
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def logistic(features, labels):
    weights = numpyro.sample("weights", dist.Normal(0, 1).expand([features.shape[1]]).to_event(1))
    numpyro.sample("labels", dist.Bernoulli(logits=features @ weights), obs=labels)


RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(100, 5)) * [1.0, 1.0, 3.0, 1.0, 0.3]
LABELS = (FEATURES @ [1.0, -1.0, 0.5, 0.0, 2.0] + RANDOM.logistic(size=100) > 0).astype(int)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "args"),
    [(noncentered, (SIGMA, EFFECT)), (logistic, (jnp.asarray(FEATURES), jnp.asarray(LABELS)))],
    ids=["eight schools", "logistic"],
)
def test_it_agrees_with_nuts(model, args):
    """Means and standard deviations of every site, each against the errors of both."""
    kernel = tj.bayes.NumPyroKernel(model, steps=16)
    how = dict(num_warmup=200, num_samples=1500, progress_bar=False)
    ours = MCMC(kernel, num_chains=4, chain_method="vectorized", **how)
    ours.run(jax.random.key(1), *args)
    nuts = MCMC(
        NUTS(model, target_accept_prob=0.95), num_chains=4, chain_method="vectorized", **how
    )
    nuts.run(jax.random.key(2), *args)
    found, reference = (x.get_samples(group_by_chain=True) for x in (ours, nuts))
    assert found.keys() == reference.keys()
    worst = []
    for site in found:
        for power in (1, 2):
            means, errors = [], []
            for draws in (found[site], reference[site]):
                values = np.asarray(draws) ** power
                means.append(values.mean((0, 1)))
                spread, size = values.std((0, 1)), effective_sample_size(values)
                errors.append(spread / np.sqrt(size))
                assert np.all(size > 200)
            worst.append(np.max(abs(means[0] - means[1]) / np.hypot(*errors)))
    assert max(worst) < 4.5
