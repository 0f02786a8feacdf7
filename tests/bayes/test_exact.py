"""The Gaussian case: reference values, closed forms, the moment equations of the whole matrix."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false

import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

PRIOR = np.array([[1.0, 0.5], [0.5, 1.0]])
NOISE = np.array([[0.5, -0.2], [-0.2, 0.8]])
DATA = np.array([1.0, -1.0])
LINE = tj.Gaussian(jnp.zeros(1))
QUARTIC = tj.LogDensity(lambda x: -jnp.sum(x**2 + 1e-3 * x**4))


def pair():
    return tj.Gaussian(jnp.zeros(2), PRIOR), tj.Gaussian(DATA, NOISE)


@pytest.mark.parametrize(
    ("duration", "work", "heat", "divergence"),
    [
        (0.01, 4.6390096089, 0.0600381173, 1.5322129114),
        (1.0, 3.6819852224, 1.3989993424, 0.0488708213),
    ],
)
def test_reference_values(duration, work, heat, divergence):
    """R5: prior and likelihood that share no basis."""
    found = tj.bayes.exact(*pair(), duration=duration)
    mean, covariance = [0.4597701149, -0.2873563218], found.posterior_covariance
    assert found.posterior_mean == pytest.approx(mean, abs=1e-10)
    wanted = [[0.2816091954, 0.0114942529], [0.0114942529, 0.3678160920]]
    assert np.asarray(covariance) == pytest.approx(np.array(wanted), abs=1e-10)
    assert float(found.log_evidence) == pytest.approx(-3.064678613858, abs=1e-11)
    assert float(found.work) == pytest.approx(work, abs=1e-10)
    assert float(found.heat) == pytest.approx(heat, abs=1e-10)
    assert float(found.divergence) == pytest.approx(divergence, abs=1e-10)
    if duration == 1.0:
        assert float(found.entropy_production) == pytest.approx(0.5684357873, abs=1e-10)
        ratio = float(found.entropy_production / found.least_dissipation)
        assert ratio == pytest.approx(1.1123, abs=5e-5)


def gaussian_log_evidence(mean, prior, data, noise):
    """ln N(y; mean, prior + noise) by numpy."""
    total, off = prior + noise, data - mean
    return -0.5 * (
        off @ np.linalg.solve(total, off)
        + np.linalg.slogdet(total)[1]
        + len(data) * np.log(2 * np.pi)
    )


@pytest.mark.slow
def test_modes_of_a_common_basis_are_the_law_of_the_whole_matrix():
    """Matrices that share eigenvectors, by coordinates, against `tj.moments` of the matrices."""
    random = np.random.default_rng(1)
    basis = np.linalg.qr(random.normal(size=(3, 3)))[0]
    prior, noise = (
        (basis * values) @ basis.T for values in (np.array([1.0, 2.0, 0.5]), np.array([0.3, 1, 2]))
    )
    mean, data = random.normal(size=3), random.normal(size=3)
    potentials = tj.Gaussian(mean, prior), tj.Gaussian(data, noise)
    found = tj.bayes.exact(*potentials, duration=0.7, friction=2.0, times=3)
    assert found.axes.vectors is not None
    system = tj.Overdamped(
        tj.Interpolation(potentials[0], potentials[0] + potentials[1]),
        tj.Linear(0.0, 1.0, 0.7),
        tj.Bath(friction=2.0),
    )
    law = tj.moments(system, 3)
    np.testing.assert_allclose(found.mean, law.mean, atol=1e-11)
    for i in range(3):
        np.testing.assert_allclose(found.covariance(i), law.covariance[i], atol=1e-11)
    for name in ("work", "heat", "energy", "entropy", "divergence", "entropy_production"):
        mine, whole = getattr(found.ledger, name), getattr(law.ledger, name)
        np.testing.assert_allclose(mine, whole, atol=1e-10, err_msg=name)
    wanted = gaussian_log_evidence(mean, prior, data, noise)
    assert float(found.log_evidence) == pytest.approx(wanted, abs=1e-11)
    bound = tj.bounds.dissipation(
        system, tj.bounds.Normal(mean, prior), tj.bounds.Normal(law.mean[-1], law.covariance[-1])
    )
    assert float(found.least_dissipation) == pytest.approx(float(bound), rel=1e-9)


def test_sudden_coupling_relaxes_by_the_closed_form():
    """Fifty equal coordinates: one exponential for the mean, one for the variance."""
    dim, friction, times = 50, 0.5, np.array([0.0, 0.05, 0.2])
    prior, likelihood = tj.Gaussian(jnp.zeros(dim)), tj.Gaussian(jnp.full(dim, 2.0), 1 / 3)
    how = dict(duration=0.2, schedule="sudden", friction=friction, times=times)
    found = tj.bayes.exact(prior, likelihood, **how)
    decay = np.exp(-4 * times / friction)
    variance, mean = 0.25 + 0.75 * decay**2, 1.5 * (1 - decay)
    np.testing.assert_allclose(found.mean, np.tile(mean[:, None], (1, dim)), atol=1e-11)
    np.testing.assert_allclose(found.covariance(1), np.full(dim, variance[1]), atol=1e-11)
    excess = 4 * variance
    kl = 0.5 * dim * (excess - 1 - np.log(excess) + 4 * (mean - 1.5) ** 2)
    np.testing.assert_allclose(found.ledger.divergence, kl, rtol=1e-9)
    # All of the work is done at once, where the weights still follow the prior.
    work = dim * (0.5 * 3 * (1 + 4) - 0.5 * np.log(3 / (2 * np.pi)))
    np.testing.assert_allclose(found.ledger.work, work, rtol=1e-11)
    assert float(found.entropy_production) > float(found.least_dissipation) > 0
    second_law = found.work + found.log_evidence - found.divergence
    assert float(found.entropy_production) == pytest.approx(float(second_law), rel=1e-10)


def test_any_quadratic_energy_will_do():
    """A log density of one's own, a model, a template: the numbers of the Gaussians."""
    prior, likelihood = pair()
    wanted = tj.bayes.exact(prior, likelihood, duration=1.0)
    inverse = jnp.linalg.inv(NOISE)
    mine = tj.LogDensity(lambda x: -0.5 * (x - DATA) @ inverse @ (x - DATA))
    shift = 0.5 * float(np.linalg.slogdet(2 * np.pi * NOISE)[1])
    found = tj.bayes.exact(tj.bayes.Model(prior, mine), duration=1.0)
    assert float(found.log_evidence) == pytest.approx(float(wanted.log_evidence) + shift, abs=1e-10)
    assert float(found.heat) == pytest.approx(float(wanted.heat), abs=1e-10)
    halves = tj.bayes.exact(prior, 0.5 * likelihood + 0.5 * likelihood, duration=1.0)
    assert float(halves.work) == pytest.approx(float(wanted.work), abs=1e-10)


def test_single_precision_agrees_within_its_rounding():
    single = [tj.Gaussian(p.mean.astype("float32"), p.covariance.astype("float32")) for p in pair()]
    found = tj.bayes.exact(*single, duration=1.0)
    assert found.mean.dtype == jnp.float32
    assert float(found.log_evidence) == pytest.approx(-3.064678613858, rel=1e-5)
    assert float(found.heat) == pytest.approx(1.3989993424, rel=1e-4)


def test_units_and_origin_do_not_matter():
    """Lengths of 1e-9, a friction to match, and a prior a million widths from the origin."""
    wanted = tj.bayes.exact(*pair(), duration=1.0)
    unit, origin = 1e-9, 1e-3 * np.array([1.0, -2.0])
    prior = tj.Gaussian(origin, unit**2 * PRIOR)
    likelihood = tj.Gaussian(origin + unit * DATA, unit**2 * NOISE)
    found = tj.bayes.exact(prior, likelihood, duration=10.0, friction=10 / unit**2)
    shift = -2 * np.log(unit)
    assert float(found.log_evidence - shift) == pytest.approx(float(wanted.log_evidence), abs=1e-8)
    assert float(found.heat) == pytest.approx(float(wanted.heat), abs=1e-8)
    assert float(found.least_dissipation) == pytest.approx(
        float(wanted.least_dissipation), abs=1e-8
    )
    np.testing.assert_allclose((found.mean - origin) / unit, wanted.mean, atol=1e-8)
    np.testing.assert_allclose(
        found.ledger.energy, wanted.ledger.energy - np.array([shift, 2 * shift]), atol=1e-7
    )


def test_a_schedule_of_ones_own():
    ramp = tj.PiecewiseLinear([0.3, 0.6], 1.0, initial=0.0, final=1.0)
    line = tj.bayes.exact(*pair(), duration=1.0)
    found = tj.bayes.exact(*pair(), duration=1.0, schedule=ramp)
    assert float(found.log_evidence) == pytest.approx(float(line.log_evidence), abs=1e-12)
    assert float(found.work) != pytest.approx(float(line.work), abs=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(prior=QUARTIC), "prior is not quadratic"),
        (dict(likelihood=QUARTIC), "likelihood is not quadratic"),
        (dict(likelihood=tj.LogDensity(lambda x: jnp.nan * x[0])), "likelihood is not finite"),
        (dict(likelihood=-1.0 * tj.Gaussian(jnp.ones(1), 0.5)), "likelihood bends the prior open"),
        (dict(prior=-1.0 * LINE), "prior does not confine"),
        (dict(likelihood=None), "likelihood is None"),
        (dict(prior=tj.bayes.Model(LINE, LINE)), "leave it out"),
        (dict(prior=tj.bayes.Model(None, LINE), likelihood=None), "prior is flat"),
        (dict(duration=0.0), "duration = 0.0"),
        (dict(friction=-1.0), "friction = -1.0"),
        (dict(schedule="slow"), "schedule = 'slow'"),
        (dict(schedule=tj.Linear(0.0, 1.0, 2.0)), "schedule lasts 2"),
        (dict(schedule=tj.Linear(0.0, 0.5, 1.0)), "schedule has the final control"),
        (dict(times=1), "times = 1"),
        (dict(times=[0.0, 2.0]), "times = "),
        (dict(start=3.0), "start = 3.0"),
        (dict(start=(jnp.zeros(2), 1.0)), "start has a mean of shape"),
    ],
)
def test_mistakes_are_answered_in_words(change, words):
    given = dict(prior=LINE, likelihood=tj.Gaussian(jnp.ones(1)), duration=1.0) | change
    if not isinstance(given["prior"], tj.Gaussian | tj.bayes.Model):
        given["prior"] = tj.bayes.Model(
            given["prior"], given["likelihood"], template=jnp.full(1, 0.3)
        )
        given["likelihood"] = None
    with pytest.raises(ValueError, match=words):
        tj.bayes.exact(**given)


def test_large_matrices_without_a_common_basis_are_refused():
    random = np.random.default_rng(0)
    factor = random.normal(size=(2, 257, 257)) / np.sqrt(257)
    first, second = (f @ f.T + np.eye(257) for f in factor)
    with pytest.raises(ValueError, match="shares no eigenvectors with the prior in 257 dimensions"):
        tj.bayes.exact(
            tj.Gaussian(jnp.zeros(257), first), tj.Gaussian(jnp.zeros(257), second), duration=1.0
        )
