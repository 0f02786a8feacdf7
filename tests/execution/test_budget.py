"""A gradient within a budget of memory."""

from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.execution.budget import passes

KEY, STEPS, FEW = jax.random.key(0), 2500, 144
START = jnp.linspace(-1, 1, 256 * 4).reshape(256, 4)
LINE = jnp.linspace(-1, 1, 1024)[:, None]  # taken through the steps in two parts


def compiled(memory, start):
    """The gradient of the mean total work with respect to 16 values, and its temporary bytes."""

    def mean_work(values):
        protocol = tj.PiecewiseLinear(values, 3.0, 0.0, 1.0)
        system = tj.Underdamped(tj.DoubleWell(2.0), protocol, tj.Bath())
        out = tj.simulate(system, KEY, time_steps=STEPS, initial=start, memory=memory)
        return jnp.mean(out.ledger.total_work)

    values = jnp.linspace(0.1, 0.9, 16)
    program = jax.jit(jax.grad(mean_work)).lower(values).compile()
    memory = program.memory_analysis()
    assert memory is not None
    return np.asarray(program(values)), memory.temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize(
    "start, fractions", [(START, (0.7, 0.45)), (LINE, (0.9, 0.75))], ids=["plane", "line"]
)
def test_less_memory_gives_the_same_gradient(start, fractions):
    free, most = compiled(None, start)
    for fraction in fractions:
        budget = int(fraction * most)
        slope, used = compiled(budget, start)
        np.testing.assert_allclose(slope, free, rtol=1e-10)
        assert used <= budget


def test_fewer_checkpoints_take_more_passes():
    """Griewank and Walther: c checkpoints and r passes reach C(c + r, r) blocks."""
    assert [passes(count, 3) for count in (1, 4, 5, 10, 11, 20)] == [1, 1, 2, 2, 3, 3]
    assert passes(7, 1) == 6


def test_budgets_that_cannot_be_kept_are_refused():
    system = tj.Underdamped(tj.DoubleWell(2.0), tj.Linear(0.0, 1.0, 0.3), tj.Bath())

    def run(**options: Any):
        options = {"time_steps": FEW, **options}
        return tj.simulate(system, KEY, initial=START[:2], **options)

    with pytest.raises(ValueError, match="memory = 100: the gradient of this run needs at least"):
        run(memory=100)
    for steps in (1, 5):  # fewer than the budget looks at to learn what a substep keeps
        short = lambda steps=steps: run(memory=10**6, time_steps=steps).position
        assert jax.eval_shape(short).shape == (2, 4)
    with pytest.raises(ValueError, match=r"memory = 0\.5: expected a positive whole number"):
        run(memory=0.5)
    with pytest.raises(ValueError, match="leave out one of the two"):
        run(memory=10**9, adjoint=dfx.DirectAdjoint())
