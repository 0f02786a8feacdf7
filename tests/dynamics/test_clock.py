"""Time is counted exactly, whatever the steps and however many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from thermojax.dynamics import Clock


@pytest.mark.parametrize(
    ("step", "steps", "segments"), [(1e-3, 1, 2_100_000), (1e-3, 200, 500_000), (0.3, 8191, 50_000)]
)
@pytest.mark.parametrize("constant", [False, True])  # XLA folds what it knows
def test_float32_counts_millions_of_steps(step, steps, segments, constant):
    """To a unit of the last of both floats' digits per piece; one float32 is off by a percent."""

    def run(h):
        h = jnp.float32(step) if constant else h
        body = lambda _, both: (both[0].moved(steps, h), both[1] + steps * h)
        return jax.lax.fori_loop(
            0, segments, body, (Clock.at(jnp.zeros_like(h)), jnp.zeros_like(h))
        )

    clock, single = jax.jit(run)(jnp.float32(step))
    exact = segments * steps * float(np.float32(step))
    assert abs(float(clock.time) + float(clock.rest) - exact) < segments * 2.0**-47 * exact
    assert float(clock.time) == np.float32(exact)
    assert abs(float(single) / exact - 1) > 1e-4


def test_a_clock_differentiates_and_its_steps_may_differ():
    """d time / d h is the number of steps, and 1.5 h, 2 h and 3 h make 6.5 h."""

    def time(h):
        clock = Clock.at(jnp.zeros_like(h)).moved(3, h / 2).moved(2, h).moved(1, 3 * h)
        return clock.time + clock.rest

    assert abs(jax.grad(time)(jnp.float32(0.1)) - 6.5) < 1e-5
    assert abs(time(jnp.asarray(0.1)) - 0.65) < 2e-16
    assert float(Clock.at(jnp.float32(2)).after(1.5)) == 3.5
