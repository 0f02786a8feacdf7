"""Persistent chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(6)
START = tj.Equilibrium(jnp.zeros(1))
SYSTEM = tj.Underdamped(
    tj.Harmonic(2.0, control="center"), tj.Linear(0.0, 1.0, duration=2.0), tj.Bath()
)


def equal(a, b, tolerance=1e-12):
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [tj.Underdamped, tj.Overdamped])
def test_advancing_in_pieces_is_advancing_at_once(kind):
    system = kind(SYSTEM.potential, SYSTEM.protocol, SYSTEM.bath)
    chain = tj.start(system, KEY, batch=3, initial=START)
    at_once = tj.advance(system, chain, dt=0.1, steps=8)
    in_segments = tj.advance(system, tj.advance(system, chain, dt=0.1, steps=3), dt=0.1, steps=5)
    equal(in_segments, at_once)


def test_a_chain_through_its_protocol_is_a_run():
    """Up to the last switch, which a chain still has before it."""
    chain = tj.start(SYSTEM, KEY, batch=3, initial=START)
    moved = tj.advance(SYSTEM, chain, dt=0.1, steps=20)
    run = tj.simulate(SYSTEM, KEY, dt=0.1, batch=3, initial=START)
    equal(moved.position, run.position)
    after = tj.advance(SYSTEM, moved, dt=0.1, steps=1)
    assert float(after.control) == 1.0  # the end value is held
    balance = moved.ledger.energy - moved.ledger.energy_start
    equal(balance, moved.ledger.total_work - moved.ledger.heat)


def test_a_chain_goes_through_jit_and_scan():
    chain = tj.start(SYSTEM, KEY, batch=3, initial=START)

    @jax.jit
    def three(chain):
        body = lambda c, _: (tj.advance(SYSTEM, c, dt=0.1, steps=3), None)
        return jax.lax.scan(body, chain, None, length=3)[0]

    equal(three(chain), tj.advance(SYSTEM, chain, dt=0.1, steps=9))
    assert int(three(chain).step) == 9


def test_switching_the_potential_books_its_work():
    old = tj.Underdamped(tj.Harmonic(1.0, jnp.zeros(2)), tj.Constant(), tj.Bath())
    new = old.replace(potential=tj.Harmonic(3.0, jnp.zeros(2)))
    chain = tj.advance(old, tj.start(old, KEY, batch=4), dt=0.1, steps=4)
    moved = tj.switch(chain, old, new)
    equal(moved.ledger.work, jnp.sum(chain.position**2, axis=1))
    onward = tj.advance(new, moved, dt=0.1, steps=3)
    balance = onward.ledger.energy - onward.ledger.energy_start
    equal(balance, onward.ledger.total_work - onward.ledger.heat)


@pytest.mark.slow
def test_a_chain_differentiates():
    chain = tj.start(SYSTEM, KEY, batch=3, initial=START)

    def moved(k):
        system = SYSTEM.replace(potential=tj.Harmonic(k, control="center"))
        return tj.advance(system, chain, dt=0.1, steps=7).position.sum()

    slope = jax.grad(moved)(2.0)
    np.testing.assert_allclose(slope, (moved(2 + 1e-6) - moved(2 - 1e-6)) / 2e-6, rtol=1e-7)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"steps": 0, "dt": 0.1}, "steps = 0"), ({"steps": 2, "dt": -1.0}, "dt = -1.0")],
)
def test_bad_input_is_refused_in_words(options, words):
    chain = tj.start(SYSTEM, KEY, batch=3, initial=START)
    with pytest.raises(ValueError, match=words):
        tj.advance(SYSTEM, chain, **options)
