"""Chains that choose their masses, friction and step, on targets whose law is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(3)
STIFFNESS = {"slow": np.array([0.01, 0.04]), "fast": np.array(25.0)}


class Wells(tj.AbstractPotential):
    """Independent quadratic wells in a pytree: frequencies from 0.1 to 5 at mass 1."""

    def energy(self, x, control):
        return 0.5 * sum(
            jnp.sum(jnp.asarray(k, x[n].dtype) * x[n] ** 2) for n, k in STIFFNESS.items()
        )


def starts(batch, dtype=float):
    keys = jax.random.split(jax.random.key(0))
    slow = jax.random.normal(keys[0], (batch, 2), dtype)
    return {"slow": slow, "fast": jax.random.normal(keys[1], (batch,), dtype)}


WELLS = tj.Underdamped(Wells(), tj.Constant(), tj.Bath(temperature=2.0))


@pytest.fixture(scope="module")
def tuned():
    return tj.tune(WELLS, KEY, initial=starts(16))


def positions(system, chain, dt, pieces=600, steps=8, **options):
    """`dt`: one number, or one for each piece."""

    def piece(chain, dt):
        chain = tj.advance(system, chain, dt=dt, steps=steps, **options)
        return chain, chain.position

    return jax.jit(partial(jax.lax.scan, piece))(chain, jnp.broadcast_to(dt, pieces))


@pytest.mark.slow
def test_a_quadratic_well_gets_its_curvatures_as_masses_and_is_sampled_exactly(tuned):
    """BAOAB has no bias in a quadratic well: Var = kT / k within 4.5 standard errors."""
    for name, k in STIFFNESS.items():
        np.testing.assert_allclose(tuned.system.bath.mass[name], k, rtol=0.05)
    assert tuned.report.concerns() == [] and "16 chains" in str(tuned.report)
    chain, x = positions(tuned.system, tuned.chain, tuned.dt)
    assert float(chain.ledger.alive.min()) == 1
    for name, k in STIFFNESS.items():
        squares = np.asarray(x[name]) ** 2
        tau = np.asarray(tj.autocorrelation_time(squares).value)
        variance = 2.0 / k
        error = variance * np.sqrt(
            2 * tau / squares[..., 0].size if squares.ndim == 3 else 2 * tau / squares.size
        )
        assert np.all(np.abs(squares.mean((0, 1)) - variance) < 4.5 * error)
        assert np.all(error < 0.05 * variance)


@pytest.mark.slow
def test_tuned_chains_decorrelate_in_fewer_steps_than_untuned_ones(tuned):
    """At unit masses the step of the stiffest well is 50 times too short for the softest."""
    _, x = positions(tuned.system, tuned.chain, tuned.dt)
    chain = tj.start(WELLS, KEY, initial=starts(16))
    _, y = positions(WELLS, chain, float(tuned.dt) / 5.0)
    tau = lambda values: float(
        np.max(np.asarray(tj.autocorrelation_time(values["slow"] ** 2).value))
    )
    assert 5 * tau(x) < tau(y)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:tj.tune")  # so few steps do not satisfy it
def test_tuning_runs_under_jit_and_keeps_the_dtype():
    initial = starts(16, jnp.float32)
    run = jax.jit(lambda key: tj.tune(WELLS, key, initial=initial, steps=768).dt)
    inside = run(KEY)
    outside = tj.tune(WELLS, KEY, initial=initial, steps=768)
    assert inside.dtype == outside.dt.dtype == jnp.float32
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(outside.chain.position))
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(outside.system.bath.mass))
    np.testing.assert_allclose(inside, outside.dt, rtol=1e-3)


@pytest.mark.slow
def test_chains_in_different_wells_are_reported():
    """A barrier of 40 kT is never crossed."""
    system = tj.Underdamped(tj.DoubleWell(40.0), tj.Constant(), tj.Bath())
    initial = jnp.where(jnp.arange(16)[:, None] % 2, 1.0, -1.0)
    with pytest.warns(UserWarning, match="R-hat"):
        tuned = tj.tune(system, KEY, initial=initial, steps=768)
    assert float(tuned.report.r_hat[0]) > 2


WELL = tj.Underdamped(tj.DoubleWell(4.0), tj.Constant(0.5), tj.Bath(1.0, 1.0, 1.0))


def moment():
    """<(x^2 - 1)^2> of the tilted double well by quadrature."""
    x = jnp.linspace(-4, 4, 4001)
    energy = jax.vmap(lambda y: WELL.potential.energy(y[None], 0.5))(x)
    weight = jnp.exp(-(energy - energy.min()))
    return float(jnp.sum(weight * (x**2 - 1) ** 2) / jnp.sum(weight))


@pytest.mark.slow
def test_adjusted_chains_are_exact_at_a_step_that_biases_others():
    """<(x^2 - 1)^2> within 4.5 standard errors; by plain OBABO it is more than 10 off."""
    chain = tj.start(WELL, KEY, batch=256, initial=tj.Equilibrium(jnp.zeros(1)))

    def distance(dt, **options):
        end, x = positions(WELL, chain, dt, pieces=2000, steps=2, **options)
        assert float(end.ledger.alive.min()) == 1
        balance = end.ledger.energy - end.ledger.energy_start
        np.testing.assert_allclose(balance, end.ledger.total_work - end.ledger.heat, atol=1e-9)
        squares = (np.asarray(x)[200:, :, 0] ** 2 - 1) ** 2
        tau = float(np.asarray(tj.autocorrelation_time(squares).value))
        return abs(squares.mean() - moment()) / (squares.std() * np.sqrt(tau / squares.size))

    assert distance(0.32, adjusted=True) < 4.5
    # A step drawn anew for every piece, now and then beyond stability.
    drawn = 0.02 * 50 ** jax.random.uniform(jax.random.key(5), (2000,))
    assert distance(drawn, adjusted=True) < 4.5
    assert distance(0.12, adjusted=True, integrator=tj.OBABO()) < 4.5
    assert distance(0.12, integrator=tj.OBABO()) > 10  # at 0.2 its paths diverge


def test_a_refused_piece_turns_the_momentum_and_leaves_the_ledger():
    """At a step beyond stability every piece is refused, and no path diverges."""
    chain = tj.start(WELL, KEY, batch=4, initial=jnp.ones((4, 1)))
    moved = tj.advance(WELL, chain, dt=3.0, steps=16, adjusted=True)
    np.testing.assert_array_equal(moved.position, chain.position)
    np.testing.assert_array_equal(moved.momentum, -chain.momentum)
    np.testing.assert_array_equal(moved.ledger.heat, 0)
    assert int(moved.step) == 16 and float(moved.ledger.alive.min()) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: tj.Overdamped(s.potential, s.protocol, s.bath), "tj.Underdamped"),
        (lambda s: s.replace(drive=lambda x, c: x), "one equilibrium"),
        (lambda s: s.replace(bath=tj.Bath(tj.Linear(1.0, 2.0, duration=1.0))), "one equilibrium"),
    ],
)
def test_systems_without_one_equilibrium_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        tj.tune(change(WELL), KEY, initial=jnp.ones((4, 1)))
    ramp = change(WELL).replace(protocol=tj.Linear(0.0, 1.0, duration=1.0))
    chain = tj.start(ramp, KEY, initial=jnp.ones((4, 1)))
    with pytest.raises(ValueError, match="one equilibrium"):
        tj.advance(ramp, chain, dt=0.1, steps=2, adjusted=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 100}, "steps = 100"),
        ({"accuracy": 2.0}, "accuracy = 2"),
        ({"initial": jnp.ones((1, 1))}, "batch = 1"),
    ],
)
def test_bad_options_are_refused_in_words(options, words):
    with pytest.raises(ValueError, match=words):
        tj.tune(WELL, KEY, **{"initial": jnp.ones((4, 1)), **options})
    with pytest.raises(ValueError, match="typed key"):
        tj.tune(WELL, jax.random.PRNGKey(3), initial=jnp.ones((4, 1)))
