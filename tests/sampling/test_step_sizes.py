"""Steps that each have a size of their own: `tj.simulate(..., dt=sizes)`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

SIZES = jnp.array([0.1, 0.3, 0.05, 0.15, 0.4, 0.2, 0.3, 0.1, 0.2, 0.2])
DURATION = 2.0
BATCH = 4096
INTEGRATORS = {"BAOAB": tj.BAOAB(), "OBABO": tj.OBABO()}
KEY = jax.random.key(3)


class Well(tj.AbstractPotential):
    """A well whose stiffness is the control; its free energy changes by ln(4) / 2 from 1 to 4."""

    quartic: float = 0.0

    def energy(self, x, control):
        return 0.5 * control * jnp.sum(x**2) + self.quartic * jnp.sum(x**4)


def bath(scheduled):
    friction = tj.Linear(0.5, 2.0, DURATION) if scheduled else 1.0
    temperature = tj.Linear(1.0, 1.3, DURATION) if scheduled else 1.0
    return tj.Bath(temperature, friction, 1.0)


SYSTEMS = {
    "underdamped": tj.Underdamped(Well(), tj.Linear(1.0, 4.0, DURATION), bath(False)),
    "bath in time": tj.Underdamped(Well(), tj.Linear(1.0, 4.0, DURATION), bath(True)),
    "overdamped": tj.Overdamped(Well(), tj.Linear(1.0, 4.0, DURATION), bath(False)),
}
START = jax.random.normal(jax.random.key(1), (BATCH, 1))


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_equal_sizes_are_equal_steps(system, integrator):
    how: dict[str, Any] = dict(initial=START, integrator=INTEGRATORS[integrator])
    even = tj.simulate(SYSTEMS[system], KEY, time_steps=10, **how)
    sized = tj.simulate(SYSTEMS[system], KEY, dt=jnp.full(10, 0.2), **how)
    for a, b in zip(jax.tree.leaves(even), jax.tree.leaves(sized), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_work_theorem_and_first_law_hold_at_any_sizes(system, integrator):
    out = tj.simulate(
        SYSTEMS[system], KEY, dt=SIZES, initial=START, integrator=INTEGRATORS[integrator]
    )
    ledger = out.ledger
    change = ledger.energy - ledger.energy_start
    np.testing.assert_allclose(change, ledger.total_work - ledger.heat, rtol=0, atol=1e-12)
    # Of one hot bath at the end: configuration integrals (kT 2 pi / k)^(1/2) and momenta, too.
    hot = 1.3 if system == "bath in time" else 1.0
    ratio = float(np.sqrt(hot / 4.0) * np.sqrt(hot))
    weights = np.exp(np.asarray(out.log_weight))
    # The variance of the start is known, which takes most of the variance of the weights away.
    even = np.asarray(START[:, 0]) ** 2 - 1
    slope = np.cov(weights, even)[0, 1] / np.var(even)
    left = weights - slope * even
    assert abs(left.mean() - ratio) < 4.5 * left.std() / np.sqrt(BATCH)


def test_a_path_run_backward_does_minus_its_work():
    system = SYSTEMS["underdamped"]
    quiet = system.replace(bath=tj.Bath(1.0, 1e-12, 1.0))  # no noise: a path and its way back
    start = tj.State(START[:8], jax.random.normal(jax.random.key(2), (8, 1)))
    there = tj.simulate(quiet, KEY, dt=SIZES, initial=start)
    end = tj.State(there.position, -there.momentum)
    back = tj.simulate(tj.reverse(quiet), KEY, dt=SIZES[::-1], initial=end)
    np.testing.assert_allclose(back.position, start.position, atol=1e-4)
    np.testing.assert_allclose(back.ledger.total_work, -there.ledger.total_work, atol=1e-4)
    wrong = tj.simulate(tj.reverse(quiet), KEY, dt=SIZES, initial=end)
    assert np.abs(wrong.position - start.position).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_sizes_differentiate(integrator):
    well = Well(0.3)

    def mean_work(sizes):
        protocol = tj.Linear(1.0, 4.0, jnp.sum(sizes))
        system = tj.Underdamped(well, protocol, bath(False))
        out = tj.simulate(
            system, KEY, dt=sizes, initial=START[:64], integrator=INTEGRATORS[integrator]
        )
        return jnp.mean(out.ledger.total_work + jnp.sin(out.position[:, 0]))

    slope = jax.jit(jax.grad(mean_work))(SIZES)
    cost, step = jax.jit(mean_work), 1e-5
    for i in (0, 4, 9):
        unit = jnp.zeros_like(SIZES).at[i].set(step)
        found = (cost(SIZES + unit) - cost(SIZES - unit)) / (2 * step)
        np.testing.assert_allclose(slope[i], found, rtol=1e-6, atol=1e-8)


PROTOCOLS = {
    "linear": tj.PiecewiseLinear([0.0, 3.0, -1.0, 2.0], DURATION, initial=0.0, final=2.0),
    "monotone": tj.Monotone([0.1, 2.0, -1.0], DURATION, initial=0.0, final=2.0),
    "spline": tj.CubicSpline([0.0, 3.0, -1.0, 2.0], DURATION, initial=0.0, final=2.0),
    "constant": tj.PiecewiseConstant([0.0, 3.0, -1.0], DURATION, initial=0.0, final=2.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
def test_controls_are_those_of_the_times_that_steps_have(name):
    """Of many steps whose sizes grow by a hundred: the even grid's short cut would be off."""
    sizes = jnp.geomspace(1.0, 100.0, 400)
    sizes = sizes * DURATION / jnp.sum(sizes)
    system = tj.Underdamped(tj.Harmonic(1.0, control="center"), PROTOCOLS[name], bath(False))
    for run in (system, tj.reverse(system)):
        out = tj.simulate(run, KEY, dt=sizes, initial=START[:2], save=401)
        assert out.saved is not None
        middles = np.cumsum(sizes) - 0.5 * np.asarray(sizes)
        wanted = [run.protocol(jnp.asarray(t)) for t in middles]
        np.testing.assert_allclose(out.saved.control[:-1], wanted, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_snapshots_are_at_the_grid_points_of_the_sizes():
    grid = np.concatenate([[0], np.cumsum(SIZES)])
    every = tj.simulate(SYSTEMS["underdamped"], KEY, dt=SIZES, initial=START[:4], save=11)
    assert every.saved is not None
    np.testing.assert_allclose(every.saved.times, grid, atol=1e-12)
    some = tj.simulate(SYSTEMS["underdamped"], KEY, dt=SIZES, initial=START[:4], save=[0.41, 1.6])
    assert some.saved is not None
    np.testing.assert_allclose(some.saved.times, grid[[2, 8]], atol=1e-12)
    where = every.saved.values[0].position[jnp.array([2, 8])]
    np.testing.assert_array_equal(some.saved.values[0].position, where)
    seen = tj.simulate(
        SYSTEMS["underdamped"], KEY, dt=SIZES, initial=START[:4], save=11, observe=lambda t, *_: t
    )
    assert seen.saved is not None
    np.testing.assert_allclose(seen.saved.values, grid, atol=1e-12)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "sum": (dict(dt=SIZES / 2), "add up to 1 and the protocol lasts 2: scale"),
    "negative": (dict(dt=SIZES.at[2].set(-0.05)), "positive sizes"),
    "shape": (dict(dt=jnp.ones((2, 2))), "expected one time step, or the size of every step"),
    "both": (dict(dt=SIZES, time_steps=10), "leave time_steps= out"),
    "quicsort": (dict(dt=SIZES, integrator=tj.QUICSORT()), "takes steps of one size"),
    "text": (dict(dt=["a", "b"]), "dt"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_sizes_are_refused_in_words(case):
    arguments, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        tj.simulate(SYSTEMS["underdamped"], KEY, initial=START[:4], **arguments)
