"""Observations one by one: the chain rule of evidence, forgetting, one program for a stream."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

import thermojax as tj

DATA = (0.5, -0.2, 1.3, 0.9)
MEANS = (0.25, 0.1, 0.4, 0.5)
EVIDENCE = (-1.3280121235, -2.5171832107, -4.1199627802, -5.2504730890)  # R13
PRIOR = tj.Gaussian(jnp.zeros(1))
KEY = jax.random.key(0)
# R11: one slope with the prior N(0, 4).
INPUTS, LABELS = np.array([-2.0, -1.0, 0.5, 1.0, 2.0, 3.0]), np.array([0.0, 0, 1, 0, 1, 1])


def datum(y):
    return tj.Gaussian(jnp.array([y]))


def test_sequential_reference_values():
    """R13, and the same numbers in fractions and logarithms to 1e-12."""
    state: Any = PRIOR
    total = 0.0
    for k, y in enumerate(DATA, 1):
        state = tj.bayes.observe(state, datum(y))
        before, variance = (MEANS[k - 2], 1 / k) if k > 1 else (0.0, 1.0)
        total -= 0.5 * ((y - before) ** 2 / (1 + variance) + np.log(2 * np.pi * (1 + variance)))
        assert float(state.posterior_mean[0]) == pytest.approx(MEANS[k - 1], abs=1e-12)
        assert float(state.posterior_covariance[0]) == pytest.approx(1 / (k + 1), abs=1e-12)
        assert float(state.log_evidence) == pytest.approx(EVIDENCE[k - 1], abs=1e-10)
        assert float(state.log_evidence) == pytest.approx(total, abs=1e-12)
        assert float(state.work) + float(state.log_evidence_step) > 0
    # A datum that is switched off gives back what it took, and comes back.
    without = tj.bayes.attend(state, [1.0, 1.0, 0.0, 1.0])
    kept = np.array([0.5, -0.2, 0.9])
    wanted = tj.bayes.observe(PRIOR, datum(0.5))
    for y in kept[1:]:
        wanted = tj.bayes.observe(wanted, datum(y))
    assert float(without.log_evidence) == pytest.approx(float(wanted.log_evidence), abs=1e-12)
    assert float(without.posterior_mean[0]) == pytest.approx(kept.sum() / 4, abs=1e-12)
    again = tj.bayes.attend(without, np.ones(4))
    assert float(again.log_evidence) == pytest.approx(total, abs=1e-12)
    half = tj.bayes.observe(PRIOR, datum(0.6), weight=0.5)
    assert float(half.posterior_mean[0]) == pytest.approx(0.2, abs=1e-12)


def test_the_law_goes_on_from_where_it_is():
    """Two couplings one after the other, against the moment equations of the whole sequence."""
    state = tj.bayes.observe(PRIOR, datum(0.5), duration=0.3)
    state = tj.bayes.observe(state, datum(-2.0), duration=0.3)
    both = tj.Tempering(PRIOR, [datum(0.5), datum(-2.0)])
    path = tj.PiecewiseLinear(jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), 0.6)
    law = tj.moments(tj.Overdamped(both, path, tj.Bath()), 3)
    assert float(state.mean[-1, 0]) == pytest.approx(float(law.mean[-1, 0]), abs=1e-11)
    assert float(state.covariance()[0]) == pytest.approx(float(law.covariance[-1, 0, 0]), abs=1e-11)
    for mine, total in ((state.work, law.ledger.work), (state.heat, law.ledger.heat)):
        assert float(mine) == pytest.approx(float(total[2] - total[1]), abs=1e-10)
    assert float(state.divergence) == pytest.approx(float(law.ledger.divergence[-1]), abs=1e-10)


def within(estimate, wanted, sigmas=4.5):
    return abs(float(estimate.value) - wanted) < sigmas * float(estimate.error)


def test_particles_of_the_gaussian_case():
    """R13 within errors, the first law on the average, and a datum that is forgotten."""
    state = tj.bayes.particles(PRIOR, KEY, samples=2048, capacity=2)
    for k, y in enumerate(DATA):
        before = state
        state = tj.bayes.observe(state, datum(y), jax.random.fold_in(KEY, k))
        assert within(state.log_evidence, EVIDENCE[k])
        mean = state.mean(state.position[:, 0])
        # Particles that stand still in part are fewer than they count: twice the error.
        assert within(mean, MEANS[k], 9)
        step = logsumexp(state.log_weight) - logsumexp(before.log_weight)
        if not bool(state.last.resampled):
            assert float(state.last.log_evidence) == pytest.approx(float(step), abs=1e-12)
            energy = lambda at, terms: sum(
                np.asarray((at.position[:, 0] - c) ** 2 / 2 + np.log(2 * np.pi) / 2) for c in terms
            )
            change = energy(state, (0.0, *DATA[: k + 1])) - energy(before, (0.0, *DATA[:k]))
            change = float(np.sum(np.asarray(before.weights) * change))
            first_law = float(state.last.work.value - state.last.heat.value)
            assert first_law == pytest.approx(change, abs=1e-10)
        assert float(state.last.dissipated_work) > 0
        assert 0.5 < float(state.last.acceptance) <= 1
    assert state.couplings.shape == (4,) and int(state.count) == 4  # the room was doubled
    square = state.mean((state.position[:, 0] - 0.5) ** 2)
    assert within(square, 0.2, 9)
    off = tj.bayes.attend(state, [1.0, 1.0, 0.0, 1.0], jax.random.key(7))
    wanted = float(tj.bayes.attend(exact_state(), [1.0, 1.0, 0.0, 1.0]).log_evidence)
    assert within(off.log_evidence, wanted)
    assert off.attention.tolist() == [1, 1, 0, 1]


def test_resampling_keeps_the_evidence():
    """Sharp data, coupled at once: few particles carry the weight, and give way to copies."""
    state: Any = tj.bayes.particles(PRIOR, KEY, samples=2048, capacity=2)
    wanted: Any = PRIOR
    for k, y in enumerate((0.7, 0.4)):
        sharp = tj.Gaussian(jnp.array([y]), 0.05)
        state = tj.bayes.observe(state, sharp, jax.random.fold_in(KEY, k), schedule="sudden")
        wanted = tj.bayes.observe(wanted, sharp)
        assert within(state.log_evidence, float(wanted.log_evidence))
        if k == 0:
            assert bool(state.last.resampled) and float(state.last.effective_samples) < 1024
            assert not np.any(np.asarray(state.log_weight)) and state.effective_samples == 2048
    assert within(state.mean(state.position[:, 0]), float(wanted.posterior_mean[0]), 9)


def exact_state():
    state: Any = PRIOR
    for y in DATA:
        state = tj.bayes.observe(state, datum(y))
    return state


class Walled(tj.AbstractPotential):
    """A Gaussian datum that also says on which side of a wall the weight lies."""

    y: jax.Array
    wall: jax.Array

    def energy(self, x, control):
        return jnp.where(x[0] > self.wall, 0.5 * (x[0] - self.y) ** 2, jnp.inf)


def test_a_datum_that_rules_particles_out_leaves_the_others_moving():
    """Evidence by quadrature; masses, step and acceptance are those of what is left."""
    state = tj.bayes.particles(tj.Gaussian(jnp.zeros(1)), KEY, samples=512, capacity=3)
    for k, wall in enumerate((-0.5, -jnp.inf, -jnp.inf)):
        seen = Walled(jnp.asarray(1.0), jnp.asarray(wall))
        state = tj.bayes.observe(state, seen, jax.random.fold_in(KEY, k))
        assert np.isfinite(state.dt) and np.isfinite(state.last.heat.value)
    assert state.last is not None and state.last.acceptance > 0.3
    x = np.linspace(-0.5, 9, 20001)
    y = np.exp(-0.5 * x**2 - 1.5 * (x - 1) ** 2) / np.sqrt(2 * np.pi)
    assert within(state.log_evidence, np.log(np.trapezoid(y, x)))


def test_logistic_rows_one_by_one_compile_once():
    """R11 in six steps; what a second row compiles, no later one does."""
    traced = []

    class Row(tj.AbstractPotential):
        feature: jax.Array
        label: jax.Array

        def energy(self, x, control):
            traced.append(1)
            return jax.nn.softplus(-(2 * self.label - 1) * self.feature * x["slope"])

    prior = tj.LogDensity(lambda x: -(x["slope"] ** 2) / 8 - 0.5 * jnp.log(8 * jnp.pi))
    template = {"slope": jnp.zeros(())}
    state = tj.bayes.particles(prior, KEY, samples=2048, capacity=6, template=template)
    counts = []
    for k in range(6):
        row = Row(jnp.asarray(INPUTS[k]), jnp.asarray(LABELS[k]))
        state = tj.bayes.observe(state, row, jax.random.fold_in(KEY, k), steps=4)
        counts.append(len(traced))
    assert counts[0] == counts[-1]
    assert within(state.log_evidence, -3.4725454303)
    assert within(state.mean(lambda x: x["slope"]), 1.3790973691, 9)
    resampled = state.effective_samples == 2048
    assert resampled or float(state.effective_samples) > 1024


def test_samples_of_an_inference_go_on():
    """A posterior's evidence and error are taken over, its weights made equal."""
    x = jax.random.normal(KEY, (2048, 1)) * np.sqrt(0.5) + 0.25
    first = tj.Estimate(EVIDENCE[0], 0.01, 2048)
    posterior = tj.bayes.Posterior(
        tj.bayes.Model(PRIOR, datum(0.5)), x, jnp.zeros(2048), None, first, None, 1.0, 1, ()
    )
    state = tj.bayes.observe(posterior, datum(-0.2), KEY)
    assert within(state.log_evidence, EVIDENCE[1])
    assert float(state.log_evidence.error) > 0.01
    nowhere = eqx.tree_at(lambda d: d.mean, datum(0.1), jnp.array([jnp.nan]))
    with pytest.raises(ValueError, match="no finite energy at any of the particles"):
        tj.bayes.observe(posterior, nowhere, KEY)
    with pytest.raises(ValueError, match="state is traced"):
        jax.jit(lambda count: dataclasses.replace(state, count=count).with_datum(datum(0.1)))(0)


def test_mistakes_are_answered_in_words():
    held = tj.bayes.particles(PRIOR, KEY, samples=4, capacity=2)
    one = tj.bayes.observe(PRIOR, datum(0.5))
    for call, words in (
        (lambda: tj.bayes.observe(PRIOR, 3.0), "datum is a float"),
        (lambda: tj.bayes.observe(3.0, datum(0.1)), "state is a float"),
        (lambda: tj.bayes.observe(PRIOR, datum(0.1), KEY), "begin with tj.bayes.particles"),
        (lambda: tj.bayes.observe(one, datum(0.1), KEY), "an exact state has nothing random"),
        (lambda: tj.bayes.observe(held, datum(0.1)), "key must be a typed key"),
        (lambda: tj.bayes.observe(held, datum(0.1), KEY, steps=0), "steps = 0"),
        (lambda: tj.bayes.observe(held, datum(0.1), KEY, weight=np.nan), "weight = nan"),
        (lambda: tj.bayes.attend(one, [1.0, 0.0]), "attention has shape"),
        (lambda: tj.bayes.attend(held, jnp.zeros(0), KEY), "holds no observation yet"),
        (lambda: tj.bayes.attend(PRIOR, [1.0]), "state is a Gaussian"),
        (lambda: tj.bayes.particles(PRIOR, 0), "key must be a typed key"),
        (lambda: tj.bayes.particles(PRIOR, KEY, samples=1), "samples = 1"),
        (lambda: tj.bayes.particles(PRIOR, KEY, capacity=0), "capacity = 0"),
        (
            lambda: held.with_datum(datum(0.1)).with_datum(tj.Gaussian(jnp.zeros(2))),
            "differs from the observations before it",
        ),
        (
            lambda: held.with_datum(tj.LogDensity(lambda x: -(x[0] ** 2))).with_datum(
                tj.LogDensity(lambda x: -(x[0] ** 4))
            ),
            "differs from the observations before it",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()
