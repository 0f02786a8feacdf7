"""Resampled ramps: unbiased evidence, honest errors, and an account that closes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.bayes.coordinates import Coordinates
from thermojax.bayes.evidence import bennett, jarzynski, one_way_doubts
from thermojax.bayes.groups import effective_samples, grouped_mean
from thermojax.bayes.leg import Ramped
from thermojax.bayes.resampling import Resampling
from thermojax.bayes.stage import Books, Stages, one_stage, ramp
from thermojax.estimate import weighted_mean

KEY = jax.random.key(27)
SIGMA = 4.5
# Sharp data: most of what is drawn from the prior is lost.
PRIOR_COVARIANCE, NOISE, Y = np.array([[1.0, 0.5], [0.5, 1.0]]), 0.01 * np.eye(2), np.array([1, -1])
TOTAL = PRIOR_COVARIANCE + NOISE
EVIDENCE = -0.5 * (Y @ np.linalg.solve(TOTAL, Y) + np.linalg.slogdet(2 * np.pi * TOTAL)[1])
COVARIANCE = np.linalg.inv(np.linalg.inv(PRIOR_COVARIANCE) + np.linalg.inv(NOISE))
MEAN = COVARIANCE @ np.linalg.solve(NOISE, Y)
PRIOR = tj.Gaussian(jnp.zeros(2), jnp.asarray(PRIOR_COVARIANCE))
LIKELIHOOD = tj.GaussianLikelihood(jnp.asarray(Y, float), jnp.asarray(NOISE))
PATH = tj.Interpolation(PRIOR, PRIOR + LIKELIHOOD)
RUNS, GROUPS, SIZE, STAGES = 32, 16, 32, 4
N = RUNS * GROUPS * SIZE


def stages():
    """Controls k^4, and the coordinates of the law half-way through each stage."""
    control = np.linspace(0, 1, STAGES + 1) ** 4
    center, root = [], []
    for c in 0.5 * (control[1:] + control[:-1]):
        inverse = np.linalg.inv(PRIOR_COVARIANCE) + c * np.linalg.inv(NOISE)
        center.append(np.linalg.solve(inverse, c * np.linalg.solve(NOISE, Y)))
        root.append(np.linalg.cholesky(np.linalg.inv(inverse)))
    at = jnp.asarray(control)
    coordinates = Coordinates(jnp.asarray(center), jnp.asarray(root))
    return Stages(at[:-1], at[1:], jnp.full(STAGES, 0.3), coordinates)


def ramped(share: float | None) -> Ramped:
    x = jax.random.normal(KEY, (N, 2)) @ np.linalg.cholesky(PRIOR_COVARIANCE).T
    between = None if share is None else Resampling(share, SIZE)
    last, books = ramp(PATH, jnp.zeros(2), KEY, x, stages(), between)
    return Ramped(x, last, books, 1 if share is None else SIZE)


@pytest.fixture(scope="module")
def resampled():
    return ramped(0.5)


def off(estimate, value):
    """The signed distance from a known value, in standard errors."""
    return (np.asarray(estimate.value) - value) / np.asarray(estimate.error)


def test_evidence_and_moments_scatter_as_their_errors_say(resampled):
    """Each of 32 runs has 16 groups; all of them together have 32 times as many."""
    away = (resampled.last - MEAN) ** 2
    assert abs(off(jarzynski(resampled).log_ratio, EVIDENCE)) < SIGMA
    assert np.all(abs(off(resampled.mean(resampled.last), MEAN)) < SIGMA)
    assert np.all(abs(off(resampled.mean(away), np.diag(COVARIANCE))) < SIGMA)
    n, z = GROUPS * SIZE, []
    for k in range(RUNS):
        one = jax.tree.map(lambda x, k=k: x[k * n : (k + 1) * n], resampled)
        moments = off(one.mean(one.last), MEAN), off(one.mean(away[k * n : (k + 1) * n]),
                                                     np.diag(COVARIANCE))  # fmt: skip
        z.append(np.concatenate([[off(jarzynski(one).log_ratio, EVIDENCE)], *moments]))
    squares = np.mean(np.square(z), axis=0)
    expected = (GROUPS - 1) / (GROUPS - 3)  # of Student's t
    assert np.all(np.abs(np.mean(z, axis=0)) < SIGMA * np.sqrt(expected / RUNS))
    assert np.all(squares < expected * (1 + SIGMA * np.sqrt(2 / RUNS)))
    assert np.all(squares > expected / 4)


def test_resampling_gains_where_most_is_lost(resampled):
    """At equal gradients; the weights that are left are about equal."""
    alone = ramped(None)
    assert jarzynski(resampled).log_ratio.error < 0.9 * jarzynski(alone).log_ratio.error
    assert 1 / jnp.sum(resampled.books.weights**2) > 2 * alone.effective_samples
    assert resampled.effective_samples > 1.3 * alone.effective_samples


def test_the_first_law_of_every_device():
    """energy_end - energy_start = work + copied_energy - heat, whatever states it has held."""
    like, all_stages = jnp.zeros(2), stages()
    parts = [jax.tree.map(lambda leaf, k=k: leaf[k], all_stages) for k in (2, 3)]
    x = jax.random.normal(KEY, (256, 2)) @ parts[0].coordinates.factor.T + MEAN
    p, books = jax.random.normal(jax.random.fold_in(KEY, 1), x.shape), Books.opened(256, x.dtype)

    def energy(x, p, control):
        return jax.vmap(lambda one: PATH.energy(one, control))(x) + 0.5 * jnp.sum(p**2, 1)

    start = energy(x, p, parts[0].start)
    x, p, books = one_stage(PATH, like, KEY, x, p, books, parts[0])
    first = books
    x, p, books = Resampling(1.0, 16)(PATH, like, KEY, (x, p, books), parts[0].end)
    np.testing.assert_array_equal(books.work, first.work)  # spent where it was spent
    assert np.max(abs(books.copied_energy)) > 1
    x, p, books = one_stage(PATH, like, KEY, x, p, books, parts[1])
    change = energy(x, p, parts[1].end) - start
    np.testing.assert_allclose(change, books.work + books.copied_energy - books.heat, atol=1e-9)


def test_mean_weights_stay_and_what_diverged_is_replaced():
    """Copies within a group only, floor or ceil of size w; a group that is lost stays so."""
    x = jnp.arange(64.0)[:, None]
    weight = np.random.default_rng(0).gamma(0.3, size=64).reshape(4, 16) + 1e-3
    weight[0] = 1.0  # nothing to do
    alive = np.ones((4, 16))
    alive[1, 3], alive[3] = 0, 0
    books = Books.opened(64, x.dtype)._replace(
        log_weight=jnp.log(weight).ravel(), alive=jnp.asarray(alive).ravel()
    )
    flat = tj.Gaussian(jnp.zeros(1))
    path = tj.Interpolation(flat, flat)
    new, p, after = Resampling(0.9, 16)(
        path, jnp.zeros(1), KEY, (x, x + 100, books), jnp.asarray(0.5)
    )
    np.testing.assert_array_equal(p, new + 100)
    np.testing.assert_array_equal(new[:16], x[:16])
    np.testing.assert_array_equal(new[48:], x[48:])
    np.testing.assert_array_equal(after.alive.reshape(4, 16)[:, 0], [1, 1, 1, 0])
    kept = np.where(alive > 0, weight, 0)
    means = np.exp(np.asarray(after.log_weight).reshape(4, 16))
    np.testing.assert_allclose(means[:3].mean(1), kept[:3].mean(1))
    for group in (1, 2):
        often = np.bincount(np.asarray(new[16 * group : 16 * group + 16, 0], int), minlength=64)
        often = often[16 * group : 16 * group + 16]
        assert often.sum() == 16
        assert np.all(abs(often - 16 * kept[group] / kept[group].sum()) < 1)
    replaced = 0.5 * (new**2 - x**2)[:, 0] + 0.5 * ((new + 100) ** 2 - (x + 100) ** 2)[:, 0]
    np.testing.assert_allclose(after.copied_energy, replaced, atol=1e-9)


def test_groups_of_copies_count_once():
    """400 independent draws, each there 8 times, are 400; and 3,200 where each stands alone."""
    x = jax.random.normal(KEY, (400, 3))
    copies, even = jnp.repeat(x, 8, axis=0), jnp.full(3200, 1 / 3200)
    assert abs(float(effective_samples(copies, even, 8)) - 400) < SIGMA * 400 * np.sqrt(2 / 2400)
    assert float(effective_samples(copies, even, 1)) == pytest.approx(3200)
    found = grouped_mean(copies, even, 8)
    np.testing.assert_allclose(found.value, jnp.mean(x, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.error, jnp.std(x, axis=0, ddof=1) / 20)
    assert found.count == 3200


@pytest.mark.slow
def test_the_inference_of_resampled_ramps():
    """Two modes that the prior knows: ramps from it do better than those from one Gaussian."""
    prior = tj.GaussianMixture(jnp.array([[3.0, 0.0], [-3.0, 0.0]]), 0.09)
    likelihood = tj.GaussianLikelihood(jnp.array([0.3, 0.5]), 0.5 * jnp.eye(2))
    model = tj.bayes.Model(prior, likelihood)
    found = tj.bayes.infer(model, KEY, samples=500, resample=0.9, duration=4.0, error=0.1)
    apart = np.array([[3.0 - 0.3, -0.5], [-3.0 - 0.3, -0.5]])
    logs = -0.5 * np.sum(apart**2, axis=1) / 0.59 - np.log(2 * np.pi * 0.59) - np.log(2)
    evidence = np.logaddexp(*logs)
    assert found.group_size == 32 and len(found.log_weight) % 512 == 0
    assert abs(off(found.log_evidence, evidence)) < SIGMA
    right = found.mean(lambda x: (x[0] > 0).astype(float))
    assert abs(off(right, np.exp(logs[0] - evidence))) < SIGMA
    account: Any = found.account
    heat = account.entropy_drop.value + account.dissipated_work.value + account.copied_energy.value
    np.testing.assert_allclose(account.heat.value, heat, atol=1e-6)
    assert account.dissipated_work.value > -SIGMA * account.dissipated_work.error
    assert found.effective_samples <= 1 / jnp.sum(found.weights**2) + 1e-6


def test_a_posterior_of_groups(resampled, monkeypatch):
    """Copies that have not parted yet count once, in errors and in draws for ArviZ."""

    class Recorder:
        __version__ = "0.23.4"

        def from_dict(self, coords, dims, **groups):
            return groups

    monkeypatch.setattr("thermojax.interop.arviz.needed", lambda *names: Recorder())
    before, state = resampled.mean(resampled.last), (resampled.last, resampled.last)
    copies = Resampling(1.0, SIZE)(PATH, jnp.zeros(2), KEY, (*state, resampled.books), jnp.ones(()))
    found = tj.bayes.Posterior(
        tj.bayes.Model(PRIOR, LIKELIHOOD),
        copies[0],
        copies[2].log_weight,
        None,
        jarzynski(resampled).log_ratio,
        None,
        1.0,
        1,
        (),
        group_size=SIZE,
    )
    equal = 1 / float(jnp.sum(found.weights**2))
    assert N // SIZE < found.effective_samples < 0.8 * equal
    mean, alone = found.mean(found.position), weighted_mean(found.position, found.weights)
    np.testing.assert_allclose(mean.value, alone.value)
    np.testing.assert_allclose(mean.error, before.error, rtol=0.2)
    assert np.all(mean.error > 1.2 * alone.error)
    draws = found.to_arviz(log_likelihood=False)["posterior"]["x"]
    assert draws.shape == (1, int(found.effective_samples), 2)


def test_what_is_doubted_of_a_way_without_a_way_back(resampled):
    """Few groups that carry the evidence; another one by ramps from a Gaussian."""
    assert not [*one_way_doubts(resampled, resampled, jnp.zeros(()))]
    weights = resampled.books._replace(log_weight=resampled.books.log_weight.at[:SIZE].add(20.0))
    few = Ramped(resampled.first, resampled.last, weights, SIZE)
    (doubt,) = one_way_doubts(few, few, None)
    assert doubt.startswith(f"1 of {N // SIZE} groups of {SIZE} samples carry the evidence")
    (doubt,) = one_way_doubts(resampled, resampled, jnp.asarray(0.5))
    assert "ramps from the prior and from the fitted Gaussian disagree" in doubt


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, np.nan, True, "half", 0.5j, [0.5, 0.5]])
def test_shares_that_are_none(share):
    with pytest.raises(ValueError, match=r"resample = .*: expected a share of the samples in"):
        tj.bayes.infer(PRIOR, LIKELIHOOD, KEY, resample=share)


def test_a_flat_prior_has_no_ramps_to_resample():
    with pytest.raises(ValueError, match=r"resample = 0\.5: only ramps from the prior"):
        tj.bayes.infer(None, LIKELIHOOD, KEY, resample=0.5)


def test_what_diverged_counts_with_weight_zero():
    """A quarter of the ramps, with or without groups: ln(3/4), by either estimator."""
    whole = Books.opened(400, jnp.zeros(0).dtype)
    part = whole._replace(alive=whole.alive.at[::4].set(0))
    x = jnp.zeros((400, 1))
    for size in (1, 16):
        found = jarzynski(Ramped(x, x, part, size)).log_ratio
        assert float(found.value) == pytest.approx(np.log(0.75), abs=1e-12)
    both = bennett(Ramped(x, x, part), Ramped(x, x, part)).log_ratio
    assert float(both.value) == pytest.approx(0, abs=1e-9)  # as many on either side
