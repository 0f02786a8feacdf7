"""What a chain says of itself: who is alive, what is accepted, whose momenta, which weights."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.dynamics import Clock
from thermojax.sampling.burn_in import systematic

KEY = jax.random.key(11)
BATH = tj.Bath(0.7, 1.3, 1.0)


class Walled(tj.AbstractPotential):
    """A well of stiffness k, and no energy beyond the wall while the control is below 1."""

    stiffness: float = 1.0
    wall: float = 1.0

    def energy(self, x, control):
        free = 0.5 * self.stiffness * jnp.sum(x**2)
        return jnp.where((jnp.max(x) > self.wall) & (control < 1), jnp.nan, free)


SYSTEM = tj.Underdamped(Walled(), tj.Constant(0.0), BATH)
OPEN = SYSTEM.replace(potential=Walled(wall=10.0))
STARTS = jnp.array([[0.0], [2.0], [0.5], [3.0]])


def imbalance(ledger):
    change = ledger.energy - ledger.energy_start
    return np.abs(np.asarray(change - ledger.total_work + ledger.heat))


def test_paths_without_a_finite_energy_are_not_alive_in_chains():
    """Half of the batch stands at NaN: counted, not moved, and no proposal is said to be one."""
    with pytest.warns(UserWarning, match="2 of 4 paths begin where Walled has no finite energy"):
        begun = tj.start(SYSTEM, KEY, initial=STARTS)
    switched = tj.switch(tj.start(OPEN, KEY, initial=STARTS), OPEN, SYSTEM)
    for chain in begun, switched:
        moved = tj.advance(SYSTEM, chain, dt=0.1, steps=2, adjusted=True)
        for one in chain, moved:
            np.testing.assert_array_equal(one.ledger.alive, [1, 0, 1, 0])
            assert int(one.diverged) == 2 and np.all(np.isneginf(one.log_weight[1::2]))
        np.testing.assert_array_equal(moved.proposed, [1, 0, 1, 0])
        np.testing.assert_array_equal(moved.position[1::2], STARTS[1::2])
        assert np.all(moved.position[::2] != STARTS[::2]) and imbalance(moved.ledger)[0] < 1e-14
        assert "2 diverged" in repr(moved) and "100.0% of proposals" in repr(moved)
    # Exchanged without a switch, the walls are seen by the first piece, accepted or not.
    chain = tj.start(OPEN, KEY, initial=STARTS)
    moved = tj.advance(SYSTEM, chain, dt=0.1, steps=2, adjusted=True)
    np.testing.assert_array_equal(moved.ledger.alive, [1, 0, 1, 0])


def test_paths_without_a_finite_energy_are_not_alive_in_runs():
    """Also where the first jump takes the wall away."""
    jump = tj.PiecewiseLinear(jnp.array([2.0, 2.0]), 0.2, initial=0.0, final=2.0)
    out = tj.simulate(SYSTEM.replace(protocol=jump), KEY, time_steps=2, initial=STARTS)
    np.testing.assert_array_equal(out.ledger.alive, [1, 0, 1, 0])
    assert int(out.diverged) == 2 and np.isfinite(out.mean(out.ledger.heat).value)


def test_a_chain_carries_its_acceptance():
    """None at first; all at a small step; none at one beyond stability; of the last system only."""
    chain = tj.start(OPEN, KEY, initial=jnp.zeros((64, 1)))
    advance = partial(tj.advance, OPEN, steps=2, adjusted=True)
    assert np.isnan(chain.acceptance) and "accepted" not in str(chain)
    small = advance(advance(chain, dt=1e-3), dt=1e-3)
    assert small.acceptance == 1 and int(small.proposed.min()) == 2
    large = advance(small, dt=40.0)
    np.testing.assert_allclose(large.acceptance, 2 / 3)
    assert "64 underdamped paths" in str(large) and "66.7% of proposals accepted" in str(large)
    assert np.isnan(tj.switch(large, OPEN, OPEN).acceptance)
    # Not only whole numbers: the share is the mean probability, to 5 standard errors.
    body = lambda c, _: (advance(c, dt=1.2), None)
    many = jax.jit(lambda c: jax.lax.scan(body, c, None, length=200)[0])(chain)
    error = (0.25 / 200 / 64) ** 0.5
    assert abs(float(many.acceptance) - expected_acceptance(1.2)) < 5 * error


def expected_acceptance(h, paths=400_000):
    """Of BAOAB twice in the well, by sums over draws in numpy: min(1, exp(-shadow / kT))."""
    rng = np.random.default_rng(0)
    kt, k, m, gamma = 0.7, 1.0, 1.0, 1.3
    x, p = rng.normal(size=paths) * (kt / k) ** 0.5, rng.normal(size=paths) * (m * kt) ** 0.5
    damping, shadow = np.exp(-gamma * h / m), 0.0
    energy = lambda x, p: 0.5 * k * x**2 + 0.5 * p**2 / m
    for _ in range(2):
        before = energy(x, p)
        p = p - 0.5 * h * k * x
        x = x + 0.5 * h * p / m
        after = damping * p + (m * kt * (1 - damping**2)) ** 0.5 * rng.normal(size=paths)
        heat, p = 0.5 * (p**2 - after**2) / m, after
        x = x + 0.5 * h * p / m
        p = p - 0.5 * h * k * x
        shadow = shadow + energy(x, p) - before + heat
    return float(np.minimum(1, np.exp(-shadow / kt)).mean())


def test_momenta_of_the_other_dynamics_are_refused():
    slow = tj.Overdamped(OPEN.potential, OPEN.protocol, BATH)
    for mine, other in ((OPEN, slow), (slow, OPEN)):
        chain = tj.start(mine, KEY, initial=STARTS)
        out = tj.simulate(mine, KEY, time_steps=2, initial=STARTS)
        saved = dataclasses.replace(out.state)
        words = "holds momenta of .* dynamics and the system is .*: "
        for initial in out, out.state, saved, chain:
            for run in partial(tj.simulate, time_steps=2), tj.start:
                with pytest.raises(ValueError, match="initial " + words + "pass its positions"):
                    run(other, KEY, initial=initial)
        with pytest.raises(ValueError, match="chain " + words + r"begin a chain .* tj.start\("):
            tj.advance(other, chain, dt=0.1, steps=1)
        with pytest.raises(ValueError, match="chain " + words):
            tj.switch(chain, mine, other)
        # What nobody has named is taken as it is; positions go anywhere.
        tj.start(other, KEY, initial=tj.State(out.position, out.momentum))
        assert tj.start(other, KEY, initial=out.position).dynamics != out.dynamics
    with pytest.raises(ValueError, match="dynamics = 'slow': expected 'underdamped'"):
        tj.State(STARTS, STARTS, "slow")


def test_kicks_are_refused_in_a_chain():
    """Those that are zero do nothing, and pass."""
    chain = tj.start(OPEN, KEY, initial=STARTS)
    for kicks, refused in (jnp.array([0.0, 0.1]), True), (jnp.zeros(2), False):
        protocol = tj.PiecewiseLinear(jnp.zeros(2), 1.0, initial=0.0, final=0.0, kicks=kicks)
        advance = partial(tj.advance, OPEN.replace(protocol=protocol), chain, dt=0.1)
        if refused:
            with pytest.raises(ValueError, match=r"PiecewiseLinear has kicks.*kicks=None"):
                advance(steps=1)
        else:
            advance(steps=1)


def test_a_system_exchanged_without_a_switch_books_its_work_all_the_same():
    """Potential and mass: the first law to rounding, and the ledger that a switch would give."""
    chain = tj.start(OPEN, KEY, initial=STARTS)
    new = OPEN.replace(potential=Walled(3.0, wall=10.0), bath=tj.Bath(0.7, 1.3, 2.0))
    silent = tj.advance(new, chain, dt=0.1, steps=2)
    switched = tj.advance(new, tj.switch(chain, OPEN, new), dt=0.1, steps=2)
    assert imbalance(silent.ledger).max() < 1e-13
    assert np.max(np.abs(silent.ledger.work)) > 4
    for name in "work", "heat", "energy", "kinetic":
        np.testing.assert_allclose(
            getattr(silent.ledger, name), getattr(switched.ledger, name), atol=1e-13
        )
    work = lambda k: jnp.sum(
        tj.advance(new.replace(potential=Walled(k, wall=10.0)), chain, dt=0.1, steps=2).ledger.work
    )
    np.testing.assert_allclose(jax.grad(work)(3.0), 0.5 * jnp.sum(STARTS**2), rtol=1e-10)


def test_a_control_of_another_shape_is_refused():
    chain = tj.start(OPEN, KEY, initial=STARTS)
    other = OPEN.replace(protocol=tj.Constant([0.0, 0.0]))
    with pytest.raises(ValueError, match=r"control of system has shape \(2,\) and .* tj.switch"):
        tj.advance(other, chain, dt=0.1, steps=1)
    with pytest.raises(ValueError, match="control of old has shape"):
        tj.switch(chain, other, OPEN)


def test_a_switch_is_traced_once_for_all_values():
    seen = []

    class Counted(tj.AbstractPotential):
        stiffness: float = 1.0

        def energy(self, x, control):
            seen.append(None)
            return 0.5 * self.stiffness * jnp.sum(x**2)

    of = lambda k: OPEN.replace(potential=Counted(k))
    chain = tj.start(of(1.0), KEY, initial=STARTS)
    chain = tj.switch(chain, of(1.0), of(1.1))
    traces = len(seen)
    chain = tj.switch(chain, of(1.1), of(1.2))
    assert len(seen) == traces
    np.testing.assert_allclose(chain.ledger.work, 0.1 * STARTS[:, 0] ** 2, rtol=1e-12)


def test_a_protocol_is_read_at_the_exact_time():
    """At 2097.152 s a float32 resolves 2.4e-4 s; what the clock is off is not lost on the way."""
    ramp = tj.Linear(0.0, 4096.0, duration=4096.0)
    chain = tj.start(OPEN.replace(protocol=ramp), KEY, initial=STARTS.astype(jnp.float32))
    clock = Clock(jnp.float32(2097.152), jnp.float32(1.2e-4))
    exact = float(clock.time) + float(clock.rest)
    chain = dataclasses.replace(chain, clock=clock)
    moved = tj.advance(OPEN.replace(protocol=ramp), chain, dt=1e-3, steps=2)
    assert float(moved.control) == np.float32(exact + 1.5e-3)
    np.testing.assert_allclose(float(moved.clock.rest + moved.time), exact + 2e-3, atol=1e-7)


def test_weights_of_a_bath_that_warms_are_those_of_both_ends():
    """-(beta H - beta_0 H_0) - bath_entropy, from the ledger's own entries."""
    bath = tj.Bath(tj.Linear(0.7, 1.4, duration=0.4), 1.3, 1.0)
    system = OPEN.replace(bath=bath, protocol=tj.Linear(0.0, 0.5, duration=0.4))
    chain = tj.start(system, KEY, initial=STARTS)
    moved = tj.advance(system, chain, dt=0.1, steps=4)
    book, kt = moved.ledger, 0.7 + 0.7 * 0.35 / 0.4
    np.testing.assert_allclose(moved.temperature, kt)
    exact = -(book.energy / kt - book.energy_start / 0.7) - book.bath_entropy
    np.testing.assert_allclose(moved.log_weight, exact, rtol=1e-10)


@pytest.mark.parametrize(("adjusted", "often"), [(False, False), (True, False), (True, True)])
def test_weights_give_the_free_energy_of_a_chain(adjusted: Any, often):
    """A well stiffens from 1 to 9 in six switches: Z_1 / Z_0 = 1/3, within 4.5 standard errors.

    At steps that are too long for the last of them. The mean over independent batches of 128.
    """
    stiffness = jnp.geomspace(1.0, 9.0, 7)
    of = lambda k: OPEN.replace(potential=Walled(k, wall=1e9))

    def ratio(key):
        chain = tj.start(of(1.0), key, initial=0.7**0.5 * jax.random.normal(key, (128, 1)))

        def stage(chain, x):
            old, new, key = x
            chain = tj.switch(chain, of(old), of(new))
            chain = tj.resample(chain, key) if often else chain
            return tj.advance(of(new), chain, dt=0.4, steps=2, adjusted=adjusted), None

        keys = jax.random.split(jax.random.fold_in(key, 1), 6)
        chain, _ = jax.lax.scan(stage, chain, (stiffness[:-1], stiffness[1:], keys))
        weights, x = jnp.exp(chain.log_weight), chain.position[:, 0]
        return jnp.array([jnp.mean(weights), jnp.mean(weights * x**2)])

    found = np.asarray(jax.jit(jax.vmap(ratio))(jax.random.split(KEY, 400)))
    mean, error = found.mean(0), found.std(0) / 400**0.5
    exact = np.array([1.0, 0.7 / 9]) / 3  # the second: of the position, weighted
    assert np.all(error < [0.01, 0.0015])
    off = np.abs(mean - exact) / error
    assert off[0] < 4.5 and (off[1] < 4.5 or not adjusted)


def test_resampling_keeps_the_mean_weight_and_leaves_out_what_carries_none():
    chain = tj.start(OPEN, KEY, initial=STARTS)
    chain = tj.switch(chain, OPEN, SYSTEM.replace(potential=Walled(3.0, wall=2.5)))
    with pytest.warns(UserWarning, match="1 of 4 paths had diverged"):
        new = tj.resample(chain, KEY)
    weights = np.exp(np.asarray(chain.log_weight))
    np.testing.assert_allclose(np.exp(new.log_weight), weights.mean(), rtol=1e-12)
    assert float(new.position.max()) < 3 and int(new.diverged) == 0
    np.testing.assert_array_equal(new.ledger.work, 0)
    np.testing.assert_allclose(new.effective_samples, 4)
    with pytest.warns(UserWarning, match="1 of 4 paths had diverged"):
        apart = tj.resample(chain, KEY, groups=2)
    # Each half keeps its own mean, and its own walkers.
    np.testing.assert_allclose(
        np.exp(apart.log_weight), np.repeat(weights.reshape(2, 2).mean(1), 2), rtol=1e-12
    )
    for half in (slice(0, 2), slice(2, 4)):
        assert set(apart.position[half, 0].tolist()) <= set(chain.position[half, 0].tolist())
    with pytest.raises(ValueError, match="groups = 3: expected a divisor of the 4 paths"):
        tj.resample(chain, KEY, groups=3)
    with pytest.raises(ValueError, match="chain is a State"):
        wrong: Any = chain.state
        tj.resample(wrong, KEY)


def test_systematic_resampling_never_takes_what_has_no_weight():
    """Sums of float32 end short of 1: the last arm must not fall beyond them."""
    normal = jax.random.normal(jax.random.fold_in(KEY, 0), (1024,), jnp.float32)
    log_weight = normal.at[-1].set(-jnp.inf)
    draw = jax.jit(jax.vmap(lambda key: systematic(key, log_weight)[-1]))
    assert int(draw(jax.random.split(KEY, 2000)).max()) < 1023
