"""A schedule as a dense curve is the control that runs, between its knots, too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.components import PROTOCOLS
from thermojax.protocol import dense_curve, value_at


class Beats(tj.AbstractProtocol):
    """Oscillations that are zero at every point of an even grid of 512; nothing is announced."""

    duration: jax.Array
    knots: int  # of another meaning than those of ours

    def __init__(self):
        self.duration, self.knots = jnp.asarray(1.0), 3

    @property
    def initial(self):
        return jnp.asarray(0.0)

    @property
    def final(self):
        return jnp.asarray(0.0)

    def __call__(self, t):
        return jnp.sin(2 * jnp.pi * 1024 * t / self.duration)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_curve_is_the_control(name):
    """At random times straight lines between the points are within 0.2 % of the range."""
    protocol = PROTOCOLS[name]
    time, control = dense_curve(protocol)
    assert len(time) > 400 and np.all(np.diff(time) >= 0)
    np.testing.assert_allclose(control[0], protocol.initial)
    np.testing.assert_allclose(control[-1], protocol.final)
    assert time[1] == 0 and time[-2] == protocol.duration
    at = np.random.default_rng(0).uniform(0, 2, 300)
    truth = np.asarray(jax.vmap(lambda t: value_at(protocol, t))(at)).reshape(300, -1)
    columns = control[1:-1].reshape(len(time) - 2, -1)
    line = np.stack([np.interp(at, time[1:-1], x) for x in columns.T], axis=1)
    assert np.all(np.abs(line - truth) <= 2e-3 * np.ptp(truth, axis=0) + 1e-12)


def test_both_sides_of_a_jump():
    time, control = dense_curve(PROTOCOLS["piecewise constant"])
    for jump, before, after in ((2 / 3, 0.2, 0.1), (4 / 3, 0.1, 0.9)):
        (first, second) = np.flatnonzero(np.abs(time - jump) < 1e-6)
        assert second == first + 1
        np.testing.assert_allclose(control[[first, second]], [before, after])


def test_what_oscillates_is_followed():
    time, control = dense_curve(Beats())
    assert control.max() > 0.99 and control.min() < -0.99  # an even grid of 512 shows zeros
    assert len(time) > 4 * 1024
