"""A start that takes a burn-in is drawn once per training, where nothing that trains moves it."""

from collections import Counter
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from thermojax.optimization.descent import COMPARISONS
from thermojax.optimization.fit import optimization
from thermojax.optimization.picture import prepare_picture
from thermojax.optimization.starts import drawn_once
from thermojax.optimization.trainable import split_trainable
from thermojax.sampling.initial import energy_of, law_of_start
from thermojax.sampling.pool import Pool

KEY = jax.random.key(21)
POINT = tj.Equilibrium(jnp.zeros(1))


class Quartic(tj.AbstractPotential):
    """Without a sampler of its own."""

    barrier: float = 1.0

    def energy(self, x, control):
        return jnp.sum(self.barrier * (x**2 - 1) ** 2 - control * x)


WELLS = tj.Overdamped(Quartic(), tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=3), tj.Bath())
TRAP = WELLS.replace(potential=tj.Harmonic(1.0, control="center"))
ENDS = lambda s: (s.protocol.values, s.protocol.initial)
HOW: dict[str, Any] = dict(time_steps=4, batch=8, initial=POINT)


FINE = (0.8, 0.9, 0.0, 0.5, 0.0, 0.0, 0.1)  # a burn-in that has converged


@pytest.mark.parametrize(
    ("system", "trainable", "both_ways", "pools"),
    [
        (WELLS, None, False, ["start"]),
        (WELLS, None, True, ["start", "back"]),
        (WELLS, lambda s: s.bath.friction, True, ["start", "back"]),
        (WELLS, ENDS, True, ["back"]),  # the end is where it was
        (WELLS, lambda s: s.bath.temperature, True, []),
        (WELLS, lambda s: s.potential.barrier, True, []),
        (TRAP, None, True, []),  # drawn exactly, and anew in every step
    ],
)
def test_what_is_drawn_once(system, trainable, both_ways, pools):
    system, picture = prepare_picture(system, KEY, **HOW)
    params, rest = split_trainable(system, trainable)
    drawing = drawn_once(picture, params, rest, KEY, both_ways=both_ways)
    report = tj.BurnInReport(*map(jnp.asarray, FINE))
    answer = None
    try:
        while True:
            drawing.send(answer)
            answer = Pool(jnp.zeros((512, 1)), jnp.ones(())), report
    except StopIteration as end:
        found = end.value
    assert [n for n in ("start", "back") if getattr(found, n).pool is not None] == pools


def test_a_training_burns_in_once_and_once_more_for_each_comparison():
    """What it asks to be computed, nothing of which needs to be."""
    report = tj.BurnInReport(*map(jnp.asarray, FINE))
    cost = tj.Estimate(jnp.asarray(1.0), jnp.asarray(0.1), jnp.asarray(8))
    answers = {
        "fill": lambda *_: (Pool(jnp.zeros((512, 1)), jnp.ones(())), report),
        "update": lambda task, optimizer, *now: (*now[:3], (cost, 0), 1.0, (True, True)),
        "evaluate_cost": lambda *_: cost,
    }
    seen, heard, keys = Counter(), [], []
    how: Any = dict(steps=3, compared=lambda done, of: heard.append((done, of)), **HOW)
    computation = optimization(WELLS, tj.MeanWork(), optax.adam(0.1), KEY, **how)
    answer = None
    try:
        while True:
            call = computation.send(answer)
            name = call.function.__name__
            seen[name] += 1
            if name == "fill":
                keys.append(tuple(jax.random.key_data(call.arguments[2]).tolist()))
            else:
                assert call.arguments[0].picture.start.pool is not None
            answer = answers[name](*call.arguments)
    except StopIteration as end:
        assert isinstance(end.value, tj.Fit)
    assert seen == {"fill": 1 + 2 * COMPARISONS, "update": 3, "evaluate_cost": 5 * COMPARISONS}
    assert len(set(keys)) == len(keys)  # none of the comparisons sees the start of the training
    assert heard == [(i + 1, 25) for i in range(25)]


@pytest.mark.slow
def test_draws_from_a_pool_are_of_the_law_and_differ_from_run_to_run():
    energy, temperature = energy_of(law_of_start(WELLS))
    law = dict(energy=energy, temperature=temperature)
    pool, report = jax.jit(partial(Pool.filled, batch=4096, **law))(KEY, template=jnp.zeros(1))
    assert report.converged
    draw = jax.jit(partial(pool.drawn, batch=2048, **law))
    one, other = (draw(jax.random.fold_in(KEY, i)) for i in range(2))
    assert one.shape == (2048, 1)
    x = jnp.linspace(-4, 4, 4001)[:, None]
    p = jnp.exp(-jax.vmap(energy)(x) / temperature)
    for found in (one, other):
        for f in (lambda x: x**2, lambda x: x**4, jnp.tanh):
            expected = jnp.sum(p * f(x)[:, 0]) / jnp.sum(p)
            values = f(found)
            assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(2048)
    assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 5 / np.sqrt(2048)
    # Two moves, each refused with a probability of about 0.2.
    same = np.min(np.abs(one - pool.positions.T), axis=1) < 1e-12
    assert same.sum() < 0.08 * 2048
