"""Segments of a chain as proposals: exact at any step, also where every path has its own."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.execution import Execution
from thermojax.sampling.segment import move

KEY = jax.random.key(3)
WELL = tj.Underdamped(tj.DoubleWell(4.0), tj.Constant(0.5), tj.Bath(1.0, 1.0, 1.0))


class Funnel(tj.AbstractPotential):
    """v ~ N(0, 1), w given v ~ N(0, exp(2 v)): scales from 1/20 to 20 within three sigma."""

    def energy(self, x, control):
        return 0.5 * x["v"] ** 2 + x["v"] + 0.5 * (x["w"] * jnp.exp(-x["v"])) ** 2


FUNNEL = tj.Underdamped(Funnel(), tj.Constant(), tj.Bath(1.0, 0.5, 1.0))


def values_of(system, chain, dt, observe, segments, steps, **options):
    """The end of the chain, and `observe(position)` after every segment; `dt`: one, or one each."""

    def segment(chain, dt):
        chain = tj.advance(system, chain, dt=dt, steps=steps, **options)
        return chain, observe(chain.position)

    return jax.jit(partial(jax.lax.scan, segment))(chain, jnp.broadcast_to(dt, segments))


def distance(values, exact):
    """Of the mean over time and chains, in standard errors."""
    values = np.asarray(values)
    tau = float(np.asarray(tj.diagnostics.autocorrelation_time(values).value))
    return (values.mean() - exact) / (values.std() * np.sqrt(tau / values.size))


def off_the_top(position):
    return (position[:, 0] ** 2 - 1) ** 2


def moment():
    """<(x^2 - 1)^2> of the tilted double well by quadrature."""
    x = jnp.linspace(-4, 4, 4001)
    energy = jax.vmap(lambda y: WELL.potential.energy(y[None], 0.5))(x)
    weight = jnp.exp(-(energy - energy.min()))
    return float(jnp.sum(weight * off_the_top(x[:, None])) / jnp.sum(weight))


@pytest.mark.slow
def test_adjusted_chains_are_exact_at_a_step_that_biases_others():
    """<(x^2 - 1)^2> within 4.5 standard errors; by plain OBABO it is more than 10 off."""
    chain = tj.start(WELL, KEY, batch=256, initial=tj.Equilibrium(jnp.zeros(1)))

    def off(dt, system: Any = WELL, chain=chain, **options):
        end, values = values_of(system, chain, dt, off_the_top, 2000, 2, **options)
        assert float(end.ledger.alive.min()) == 1
        balance = end.ledger.energy - end.ledger.energy_start
        np.testing.assert_allclose(balance, end.ledger.total_work - end.ledger.heat, atol=1e-9)
        return abs(distance(values[200:], moment()))

    assert off(0.32, adjusted=True) < 4.5
    # A step drawn anew for every piece, now and then beyond stability.
    drawn = 0.02 * 50 ** jax.random.uniform(jax.random.key(5), (2000,))
    assert off(drawn, adjusted=True) < 4.5
    assert off(0.12, adjusted=True, integrator=tj.OBABO()) < 4.5
    assert off(0.12, integrator=tj.OBABO()) > 10  # at 0.2 its paths diverge
    # Steps of every path's own, which depend on where it is.
    assert off(0.4, adjusted=tj.LocalStep()) < 4.5
    assert off(0.4, adjusted=tj.LocalStep(spread=0.3), integrator=tj.OBABO()) < 4.5
    slow = tj.Overdamped(WELL.potential, WELL.protocol, WELL.bath)
    begun = tj.start(slow, KEY, initial=chain.position)
    assert off(0.05, slow, begun, adjusted=tj.LocalStep()) < 4.5


@pytest.mark.slow
def test_steps_of_their_own_know_the_whole_funnel():
    """<v>, <v^2>, and the shares beyond 2 sigma, to 4.5 standard errors, by chains at v = 0."""
    chain = tj.start(FUNNEL, KEY, initial={"v": jnp.zeros(256), "w": jnp.ones(256)})
    observe = lambda x: x["v"]
    end, v = values_of(FUNNEL, chain, 1.0, observe, 6000, 16, adjusted=tj.LocalStep())
    assert float(end.ledger.alive.min()) == 1
    v = np.asarray(v)[500:]
    beyond = 0.5 * (1 - float(jax.scipy.special.erf(2 / 2**0.5)))
    for values, exact in (v, 0), (v**2, 1), (v < -2, beyond), (v > 2, beyond):
        assert abs(distance(values.astype(float), exact)) < 4.5


def test_a_refused_piece_turns_the_momentum_and_leaves_the_ledger():
    """At a step beyond stability every piece is refused, and no path diverges."""
    chain = tj.start(WELL, KEY, batch=4, initial=jnp.ones((4, 1)))
    for adjusted in True, tj.LocalStep(angle=50.0, spread=0.01):
        moved = tj.advance(WELL, chain, dt=3.0, steps=16, adjusted=adjusted)
        np.testing.assert_array_equal(moved.position, chain.position)
        np.testing.assert_array_equal(moved.momentum, -chain.momentum)
        np.testing.assert_array_equal(moved.ledger.heat, 0)
        assert int(moved.step) == 16 and float(moved.ledger.alive.min()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("integrator, block", [(tj.BAOAB(), 3), (tj.OBABO(), None)])
@pytest.mark.parametrize("batch", [3, 2048])
def test_a_pace_is_a_step_of_a_paths_own_with_friction_to_match(integrator, block, batch):
    """Each path as in a batch of which all take its steps: dt s, friction / s; the ledger too."""
    potential = tj.Harmonic(jnp.array([1.0, 3.0]), control="center")
    system = tj.Underdamped(potential, tj.Constant(0.3), tj.Bath(0.7, 1.3, jnp.array([1.0, 2.0])))
    chain = tj.start(system, KEY, initial=jax.random.normal(KEY, (batch, 2)))
    paces = jnp.array([0.5, 1.0, 1.7])
    how = Execution(integrator, block=block)
    moved = move(system, chain, jnp.asarray(0.2), 7, how, jnp.tile(paces, batch)[:batch])
    for i, pace in enumerate(paces):
        bath = tj.Bath(0.7, 1.3 / pace, jnp.array([1.0, 2.0]))
        alike = tj.advance(
            system.replace(bath=bath), chain, dt=0.2 * pace, steps=7, integrator=integrator
        )
        mine = slice(i, None, 3)
        for name in "position", "momentum":
            np.testing.assert_allclose(
                getattr(moved, name)[mine], getattr(alike, name)[mine], rtol=1e-9, atol=1e-12
            )
        for name in "heat", "shadow_work", "energy":
            np.testing.assert_allclose(
                getattr(moved.ledger, name)[mine], getattr(alike.ledger, name)[mine], atol=1e-10
            )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.replace(protocol=tj.Linear(0.0, 1.0, duration=1.0)), "one equilibrium"),
        (lambda s: s.replace(drive=lambda x, c: x), "one equilibrium"),
        (lambda s: s.replace(bath=tj.Bath(tj.Linear(1.0, 2.0, duration=1.0))), "one equilibrium"),
    ],
)
def test_systems_without_one_equilibrium_are_refused(change, words):
    chain = tj.start(change(WELL), KEY, initial=jnp.ones((4, 1)))
    for adjusted in True, tj.LocalStep():
        with pytest.raises(ValueError, match=words):
            tj.advance(change(WELL), chain, dt=0.1, steps=2, adjusted=adjusted)


@pytest.mark.parametrize("options", [{"angle": 0.0}, {"spread": -1.0}])
def test_bad_options_are_refused_in_words(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} = .*: expected a positive number"):
        tj.LocalStep(**options)


def test_a_class_in_place_of_a_step_is_refused():
    chain = tj.start(WELL, KEY, initial=jnp.ones((4, 1)))
    step: Any = tj.LocalStep  # the parentheses were forgotten
    with pytest.raises(ValueError, match=r"expected True, False, or a tj.LocalStep\(\)"):
        tj.advance(WELL, chain, dt=0.1, steps=2, adjusted=step)
