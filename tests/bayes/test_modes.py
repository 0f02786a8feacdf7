"""The search for modes: every one that holds mass is found, weighed, and missed when it is missed.

The references are mixtures of Gaussians, whose masses are known in closed form.
"""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportCallIssue=false, reportIndexIssue=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import thermojax as tj
from thermojax.bayes import Model, Posterior, calibrate, modes
from thermojax.bayes.descent import FlatEnergy, descend

KEY = jax.random.key(0)


def mixture_model(means, widths, weights):
    """A prior N(0, 1) and a mixture of Gaussians for a likelihood."""
    means = jnp.asarray(means)
    likelihood = tj.GaussianMixture(means, jnp.asarray(widths) ** 2, jnp.asarray(weights))
    return Model(tj.Gaussian(jnp.zeros(means.shape[1])), likelihood)


def log_masses(means, widths, weights):
    """ln of w_k times the integral of N(x; mean_k, width_k^2) N(x; 0, 1)."""
    means = np.asarray(means)
    weights = np.asarray(weights) / np.sum(weights)
    spread = np.sqrt(1 + np.asarray(widths) ** 2)[:, None]
    return np.log(weights) + stats.norm.logpdf(means, 0, spread).sum(axis=1)


def exact_draws(key, means, widths, weights, parts, n=4000):
    """Draws from some components of the posterior of `mixture_model`, in its proportions."""
    means, variance = np.asarray(means), np.asarray(widths) ** 2
    masses = np.exp(log_masses(means, widths, weights))[parts]
    rng = np.random.default_rng(key)
    which = np.asarray(parts)[rng.choice(len(parts), n, p=masses / masses.sum())]
    shrink = 1 / (1 + variance[which])
    scale = np.sqrt(variance[which] * shrink)
    return jnp.asarray(
        shrink[:, None] * means[which] + scale[:, None] * rng.normal(size=(n, means.shape[1]))
    )


def posterior_of(model, position, log_evidence, log_weight=None):
    n = jax.tree.leaves(position)[0].shape[0]
    return Posterior(
        model=model,
        position=position,
        log_weight=jnp.zeros(n) if log_weight is None else log_weight,
        prior_position=None,
        log_evidence=tj.Estimate(log_evidence, 0.02, n),
        account=None,
        time=1.0,
        gradients=0,
        warnings=(),
    )


SPIKES = {
    "1 dimension": ([[0.0], [1.5]], [1.0, 1e-2], [0.6, 0.4]),
    # A spike in the middle of a broad mode: wherever one is, the force points to it.
    "10 dimensions": (np.zeros((2, 10)), [1.0, 0.05], [0.97, 0.03]),
}


@pytest.mark.parametrize("name", SPIKES)
def test_a_spike_is_found_weighed_and_missed_by_samples_of_the_broad_mode(name):
    """Samples and an evidence of the broad mode alone are 2 nats low, and both look perfect."""
    case = SPIKES[name]
    model, exact = mixture_model(*case), log_masses(*case)
    found = modes(model, KEY)
    total = float(np.logaddexp(*exact))
    heaviest = np.argmin(np.abs(np.asarray(found.log_mass) - exact[1]))
    np.testing.assert_allclose(found.log_mass[heaviest], exact[1], atol=0.1)
    half = stats.chi2.cdf(found.radius**2, model.template.size)
    np.testing.assert_allclose(half, 0.5, atol=0.01)
    core = found.core_log_mass
    gap = core.value[heaviest] - exact[1] - np.log(half)
    # The broad mode, too, has some density there: 3 % of it in one dimension.
    assert -4 * core.error[heaviest] < gap < 0.05 + 4 * core.error[heaviest]

    whole = posterior_of(model, exact_draws(1, *case, [0, 1]), total)
    assert found.missed(whole) == ()
    broad = posterior_of(model, exact_draws(2, *case, [0]), exact[0])
    (said,) = found.missed(broad)
    assert "samples and evidence miss it" in said
    # With a right evidence the samples alone tell it.
    said = " ".join(found.missed(posterior_of(model, exact_draws(3, *case, [0]), total)))
    assert "samples and evidence miss it" in said


def test_a_calibration_on_the_data_alone_is_not_content_with_the_broad_mode():
    """Evidence and samples of the broad mode, to which the force points from everywhere else."""
    case = SPIKES["10 dimensions"]
    model, exact = mixture_model(*case), log_masses(*case)
    broad = posterior_of(model, exact_draws(2, *case, [0]), exact[0])
    found = calibrate(model, KEY, sampler=lambda model, key: broad, simulations=0)
    assert not found.passed and "samples and evidence miss it" in found.verdict
    whole = posterior_of(model, exact_draws(1, *case, [0, 1]), np.logaddexp(*exact))
    assert calibrate(model, KEY, sampler=lambda model, key: whole, simulations=0).passed


def test_two_clusters_in_wrong_proportion_are_told_with_and_without_an_evidence():
    case = ([[-2.0] * 5, [2.0] * 5], [0.3, 0.2], [0.5, 0.5])
    model, exact = mixture_model(*case), log_masses(*case)
    found = modes(model, KEY)
    assert found.count == 2 and found.lost == 0 and found.reached.sum() == 64
    np.testing.assert_allclose(found.log_mass, np.sort(exact)[::-1], rtol=1e-8)
    total = float(np.logaddexp(*exact))
    right = exact_draws(1, *case, [0, 1])
    for evidence in (total, np.nan):
        assert found.missed(posterior_of(model, right, evidence)) == ()
        one = posterior_of(model, exact_draws(2, *case, [0]), evidence)
        assert len(found.missed(one)) == (2 if evidence == total else 1)


def test_masses_do_not_depend_on_units_and_pytrees():
    """A position in nanometers, as a dict, in float32: ln p(y) is that of the same in one array."""
    unit = 1e-9
    case = ([[-2.0, 0.0], [2.0, 1.0]], [0.3, 0.2], [0.5, 0.5])
    plain = modes(mixture_model(*case), KEY)
    energy = tj.GaussianMixture(jnp.array(case[0]), jnp.array(case[1]) ** 2).energy

    def log_prior(x):
        return -sum(jnp.sum((v / unit) ** 2) for v in x.values()) / 2

    def log_likelihood(x):
        return -energy(jnp.stack([x["a"], x["b"][0]]) / unit, None)

    template = {"a": jnp.zeros((), jnp.float32), "b": jnp.zeros(1, jnp.float32)}
    model = Model(tj.LogDensity(log_prior), tj.LogDensity(log_likelihood), template=template)
    rows = unit * jax.random.normal(KEY, (64, 2), jnp.float32)
    found = modes(model, KEY, starts={"a": rows[:, 0], "b": rows[:, 1:]}, n=0)
    assert not found.normalized and plain.normalized and found.count == 2
    jacobian = 2 * np.log(unit) + np.log(2 * np.pi)
    np.testing.assert_allclose(found.log_mass - jacobian, plain.log_mass, atol=1e-3)
    np.testing.assert_allclose(found.position["a"] / unit, plain.position[:, 0], rtol=1e-3)


def test_a_ridge_and_a_density_without_a_maximum_are_no_modes():
    slope = Model(None, tj.LogDensity(lambda x: x[0] - x[1] ** 2), template=jnp.zeros(2))
    found = modes(slope, KEY, starts=jax.random.normal(KEY, (8, 2)))
    assert found.count == 0 and found.lost == 8
    assert found.missed(posterior_of(slope, jnp.zeros((5, 2)), np.nan)) == ()


def test_a_skewed_posterior_is_no_missed_mode():
    """Logistic regression of few rows: Laplace's mass is off, the core's is not."""
    features = jnp.array([-2.0, -1.0, 0.5, 1.0, 2.0, 3.0])[:, None]
    labels = jnp.array([0, 0, 1, 0, 1, 1])
    model = Model(tj.Gaussian(jnp.zeros(1), 4.0), tj.LogisticRegression(features, labels))
    found = modes(model, KEY)
    grid = jnp.linspace(-8, 12, 4001)[:, None]
    energy = jax.vmap(lambda x: model.prior.energy(x, None) + model.likelihood.energy(x, None))
    density = np.exp(-np.asarray(energy(grid)))
    inside = np.asarray(found.inside(grid))[:, 0]
    step = 20 / 4000
    core = np.log(np.sum(density * inside) * step)
    np.testing.assert_allclose(
        found.core_log_mass.value[0], core, atol=4 * float(found.core_log_mass.error[0])
    )
    assert abs(found.log_mass[0] - np.log(np.sum(density) * step)) > 0.01
    rng = np.random.default_rng(5)
    draws = rng.choice(np.asarray(grid)[:, 0], 4000, p=density / density.sum())[:, None]
    assert found.missed(posterior_of(model, jnp.asarray(draws), -3.4725454303)) == ()
    # The same samples beside an evidence that is 0.5 too high, or too low, do not fit.
    for wrong in (-0.5, 0.5):
        assert found.missed(posterior_of(model, jnp.asarray(draws), -3.4725454303 + wrong))


def test_bad_input_is_answered_in_words():
    model = mixture_model([[0.0], [1.0]], [1.0, 0.1], [0.5, 0.5])
    flat = Model(None, tj.Gaussian(jnp.zeros(1)))
    for message, call in {
        "model is a Gaussian": lambda: modes(tj.Gaussian(jnp.zeros(1)), KEY),
        "pass starts=": lambda: modes(flat, KEY),
        "key must be": lambda: modes(model, 0),
        "starts holds positions of shape": lambda: modes(model, KEY, starts=jnp.zeros((3, 2))),
        "starts = ": lambda: modes(model, KEY, starts=jnp.full((3, 1), jnp.nan)),
        "n = -1": lambda: modes(model, KEY, n=-1),
        "steps = 0": lambda: modes(model, KEY, steps=0),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_descents_side_by_side_share_the_data():
    """64 copies of the features would be 41 MB."""
    features = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 40)))
    model = Model(tj.Gaussian(jnp.zeros(40)), tj.LogisticRegression(features, features[:, 0] > 0))
    energy = FlatEnergy(model, jnp.ones(40))
    program = descend.lower(energy, jnp.zeros((64, 40)), 200).compile().compiled
    assert program.memory_analysis().temp_size_in_bytes < 10e6
