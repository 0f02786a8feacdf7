"""Schedules of ramps: learned from their works, and what they all cost beside the bound."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.bayes.compare import transport_bound
from thermojax.bayes.coordinates import Coordinates
from thermojax.bayes.learned import learned, memories
from thermojax.bayes.leg import Leg
from thermojax.bayes.pilot import Way
from thermojax.bayes.stage import FRICTION

KEY = jax.random.key(27)
SIGMA = 4.5
PRIOR = tj.Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 1.0]]))
SHARP = tj.GaussianLikelihood(jnp.array([1.0, -1.0]), 0.01 * jnp.eye(2))
Y, TOTAL = np.array([1.0, -1.0]), np.array([[1.01, 0.5], [0.5, 1.01]])
EVIDENCE = -0.5 * (Y @ np.linalg.solve(TOTAL, Y) + np.linalg.slogdet(2 * np.pi * TOTAL)[1])


def works_of(memory, n=40000, stages=32, parts=8):
    """Independent Gaussian works whose dissipation, half their variance, is that of a memory."""
    length, time = np.full(stages, 0.5), np.linspace(8.0, 12.0, stages)
    lost = np.repeat(memory, stages // parts) * length**2 / time
    noise = np.random.default_rng(0).standard_normal((stages, n))
    return noise * np.sqrt(2 * lost)[:, None], length, time


def test_memories_are_those_of_the_works():
    memory = np.array([0.5, 1.0, 2.0, 4.0, 4.0, 1.0, 0.5, 0.5])
    found = memories(*works_of(memory))[::4]
    np.testing.assert_allclose(found, memory, rtol=0.1)


def test_noise_is_taken_for_none_of_the_memory():
    """Of few paths, equal memories look unequal by 20 %; what is kept of it is less by far."""
    spread = np.std(memories(*works_of(np.ones(8), n=256)))
    assert spread < 0.08


@pytest.fixture(scope="module")
def trap():
    """A trap that is dragged while it becomes stiff, in coordinates that stay as they are.

    Its memory falls from FRICTION to a third, which the Fisher metric does not know. The ramps, and
    the friction of their control in closed form.
    """
    stiff, away, points = 9.0, 6.0, 2001
    target = tj.Gaussian(jnp.full(1, away), 1 / stiff)
    potential = tj.Interpolation(tj.Gaussian(jnp.zeros(1)), target)
    control = np.linspace(0, 1, points)
    k = 1 + control * (stiff - 1)
    slope = stiff * away / k**2  # of the mean
    metric = np.sqrt((slope * k) ** 2 / k + 0.5 * ((stiff - 1) / k) ** 2)
    steps = 0.5 * (metric[1:] + metric[:-1]) * np.diff(control)
    length = jnp.asarray(np.append(0.0, np.cumsum(steps)))
    still = Coordinates(jnp.zeros((points, 1)), jnp.ones((points, 1, 1)))
    way = Way(jnp.asarray(control), length, jnp.full(points, 0.2), still)
    draw = lambda key, n: jax.random.normal(key, (n, 1))
    of_width = (FRICTION / k + 1 / FRICTION) * ((stiff - 1) / k) ** 2 / 4
    friction = lambda c: jnp.interp(c, control, FRICTION * slope**2 + of_width)
    return Leg(potential, jnp.zeros(1), way, draw), friction


def test_a_learned_schedule_is_the_geodesic_of_the_friction(trap):
    """Most of what it can gain on a way at constant speed by the Fisher metric, it gains."""
    leg, friction = trap
    taken = learned(leg, KEY, 64)
    system = tj.Underdamped(leg.potential, tj.Linear(0.0, 1.0, 1.0), tj.Bath(friction=FRICTION))
    best = tj.bounds.geodesic(system, friction, knots=257)
    share = np.linspace(0, float(leg.way.length[-1]), 257)
    even = np.interp(share, leg.way.length, leg.way.control)

    def cost(values):
        middle = 0.5 * (values[1:] + values[:-1])
        return float(jnp.sum(friction(middle) * jnp.diff(values) ** 2)) * 256

    lost, least, most = cost(taken.values), cost(best.values), cost(even)
    assert least < lost < least + 0.5 * (most - least)


def test_the_bound_of_laws_that_are_known(trap):
    """FRICTION W_2^2 / tau of Gaussians, from their samples."""
    leg, _ = trap
    leg = leg.in_time(400.0, 64, "constant dissipation")
    w2 = 36 + (1 - 1 / 3) ** 2
    done = leg.forward(KEY, 64, 256)
    found = transport_bound(leg, 64, done)
    # The mean of 256 samples is off by 1 / 16 of a width at the start, and the distance twice that.
    assert float(found) == pytest.approx(FRICTION * w2 / 400, rel=SIGMA * 2 / 16 / 6)
    still = Coordinates(leg.way.coordinates.center, leg.way.coordinates.factor[..., 0])
    way = dataclasses.replace(leg.way, coordinates=still)
    diagonal = transport_bound(dataclasses.replace(leg, way=way), 64, done)
    np.testing.assert_allclose(diagonal, found, rtol=1e-3)  # n or n - 1 below a variance


@pytest.fixture(scope="module")
def costs():
    model, settings = tj.bayes.Model(PRIOR, SHARP), dict(log_evidence=EVIDENCE, samples=256)
    return tj.bayes.compare_schedules(model, KEY, durations=[30.0, 90.0], **settings)


def test_the_linear_schedule_costs_most_of_sharp_data(costs):
    linear = costs.dissipated["linear"]
    for name in ("constant dissipation", "geometric", "learned"):
        other = costs.dissipated[name]
        assert np.all(other.value + SIGMA * other.error < 0.4 * linear.value)
    assert "bound" in str(costs)


def test_no_schedule_is_below_its_bound(costs):
    """Which is not far below."""
    for name, lost in costs.dissipated.items():
        assert np.all(lost.value > costs.bound[name])
        assert costs.control[name].shape == (2, 257)
    assert costs.dissipated["learned"].value[1] < 8 * costs.bound["learned"][1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(durations=[]), "durations = "),
        (dict(durations=[3.0, 1.0]), "increasing order"),
        (dict(durations=[-1.0]), "positive times"),
        (dict(log_evidence=np.nan), "finite ln p"),
        (dict(schedules=["fast"]), "schedules, 'fast' = 'fast'"),
        (dict(schedules=[]), "schedules = "),
        (dict(schedules="linear"), "schedules = "),
        (dict(samples=2), "samples = 2"),
        (dict(model=tj.bayes.Model(None, SHARP)), "flat prior"),
    ],
)
def test_refused_comparisons(settings, words):
    given = dict(model=tj.bayes.Model(PRIOR, SHARP), durations=[3.0], log_evidence=EVIDENCE)
    given |= settings
    with pytest.raises(ValueError, match=words):
        tj.bayes.compare_schedules(given.pop("model"), KEY, **given)
