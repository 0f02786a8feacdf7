"""Inference in a thousand dimensions: what steps lose there, and posteriors that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.bayes.coordinates import Coordinates
from thermojax.bayes.pilot import pilot
from thermojax.bayes.stage import Stages, ramp

KEY = jax.random.key(31)
SIGMA = 4.5
DIM, SHARP = 1024, 3.0  # the precision of an observation of each weight
Y = np.random.default_rng(0).normal(size=DIM) * np.sqrt(1 + 1 / SHARP)
PRIOR = tj.Gaussian(jnp.zeros(DIM, jnp.float32), 1.0)
LIKELIHOOD = tj.GaussianLikelihood(jnp.asarray(Y, jnp.float32), 1 / SHARP)


def test_a_ramp_that_changes_nothing_takes_no_work_whatever_its_step():
    """The momenta begin and end with the variance that the steps hold, each path's work is 0."""
    law = tj.Gaussian(jnp.zeros(DIM))
    unit = Coordinates(jnp.zeros(DIM), jnp.ones(DIM))
    two = lambda value: jnp.full(2, value)
    same = jax.tree.map(lambda x: jnp.stack([x, x]), unit)
    stages = Stages(jnp.array([0.0, 0.5]), jnp.array([0.5, 1.0]), two(0.9), same)
    x = jax.random.normal(KEY, (16, DIM))
    last, books = ramp(tj.Interpolation(law, law), jnp.zeros(DIM), KEY, x, stages)
    assert float(jnp.max(jnp.abs(books.log_weight))) < 1e-8
    assert float(jnp.max(jnp.abs(books.work))) < 1e-8
    assert float(jnp.std(books.heat)) > 1  # which flows all the same, and back
    assert float(jnp.max(jnp.abs(last - x))) > 1


def length():
    """The integral over lambda of the standard deviation of the log likelihood."""
    at = np.linspace(0, 1, 2001)[:, None]
    variance = 1 / (1 + at * SHARP)
    spread = SHARP * np.sqrt(np.sum(variance**2 / 2 + Y**2 * variance**3, axis=1))
    return np.trapezoid(spread, at[:, 0])


@pytest.mark.slow
def test_rungs_in_a_thousand_dimensions():
    """128 walkers that stay apart, and see widths to a few percent by what neighbors have seen."""
    potential = tj.Interpolation(PRIOR, PRIOR + LIKELIHOOD)
    x = jax.random.normal(KEY, (128, DIM), jnp.float32)
    way, last, _ = pilot(potential, jnp.zeros(DIM, jnp.float32), KEY, x, False)
    assert len(np.unique(np.asarray(last)[:, 0])) > 30
    assert float(way.length[-1]) == pytest.approx(length(), rel=0.3)
    width = 1 / np.sqrt(1 + SHARP * np.asarray(way.control))[:, None]
    off = np.log(np.asarray(way.coordinates.factor) / width)
    assert np.sqrt(np.mean(off**2)) < 0.08


@pytest.mark.slow
def test_evidence_in_a_thousand_dimensions():
    found = tj.bayes.infer(PRIOR, LIKELIHOOD, KEY, samples=256, error=0.1)
    total = 1 + 1 / SHARP
    exact = -0.5 * np.sum(Y**2 / total + np.log(2 * np.pi * total))
    assert found.warnings == ()
    assert abs(found.log_evidence.value - exact) < SIGMA * found.log_evidence.error
    assert found.log_evidence.error < 0.12
    z = (found.mean(found.position).value - 0.75 * Y) / found.mean(found.position).error
    assert np.sqrt(np.mean(np.asarray(z) ** 2)) < 1.2
    drop = 0.5 * DIM * np.log(1 + SHARP)
    account = found.account
    assert account is not None
    assert abs(account.entropy_drop.value - drop) < SIGMA * account.entropy_drop.error
