"""The exact pictures check themselves: first law, steps, the control, what is quadratic."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from thermojax.distribution.quadratic import require_quadratic
from thermojax.distribution.undeclared import undeclared_jump

TRAP = tj.Harmonic(1.0, control="center")


class Drawn(tj.AbstractProtocol):
    """A user's protocol: any function of time, which announces what it is told to."""

    function: Callable = eqx.field(static=True)
    duration: jax.Array
    breaks: jax.Array | None = None
    steps: tuple | None = None

    @property
    def initial(self):
        return self(jnp.zeros_like(self.duration))

    @property
    def final(self):
        return self(self.duration)

    def __call__(self, t):
        return self.function(t)[None]

    def events(self):
        return self.breaks

    def jumps(self):
        return self.steps


def step(t):
    return jnp.where(t > 0.5, 1.0, 0.0)


def pulse(t):
    return jnp.exp(-0.5 * ((t - 0.73) / 5e-4) ** 2)


ONE = jnp.ones(())


def drawn(function, *declared) -> Any:
    make: Any = Drawn  # a type checker takes the properties for fields
    return make(function, ONE, *declared)


def dragged(function, *declared):
    return tj.Overdamped(TRAP, drawn(function, *declared), tj.Bath())


def test_a_jump_that_is_not_announced_is_found():
    """By the first law: W = 0, Q = .316 and Delta E = .184 without a word; declared, W = .5."""
    silent = dragged(step)
    with pytest.raises(ValueError, match=r"Drawn jumps by 1 at t = 0.5, .* add to its `events"):
        tj.moments(silent, 2)
    with pytest.raises(ValueError, match=r"Drawn jumps by 1 at t = 0.5"):
        tj.moments(silent, 2, time_steps=100)
    with pytest.raises(ValueError, match=r"Drawn jumps by 1 at t = 0.5, which log_work_moment"):
        tj.log_work_moment(silent)
    with pytest.raises(ValueError, match=r"Drawn jumps by 1 at t = 0.5, which tj.ExactMoments"):
        tj.optimize(
            silent, tj.MeanWork(), optax.sgd(0.1), steps=1, picture=tj.ExactMoments(),
            trainable=lambda s: s.protocol.duration,
        )  # fmt: skip
    inside_of_jit = jax.jit(lambda s: tj.moments(s, 2).ledger.work[-1])
    assert np.isnan(inside_of_jit(silent))
    half = jnp.array([0.5])
    heard = dragged(step, half, (half, jnp.zeros((1, 1)), jnp.ones((1, 1))))
    assert tj.moments(heard, 2).ledger.work[-1] == pytest.approx(0.5, abs=1e-9)
    with pytest.raises(ValueError, match=r"listed in its `events\(\)`, but not in its `jumps"):
        tj.moments(dragged(step, half), 2)


def test_a_pulse_is_not_passed_over():
    """At rest steps grow, to the whole run: a pulse of 5e-4 of it is seen, or missed and said."""
    area, rate = 5e-4 * np.sqrt(2 * np.pi), 1.0
    try:
        work = float(tj.moments(dragged(pulse), 2).ledger.work[-1])
    except ValueError as error:
        assert "stepped over part of Drawn" in str(error) and "`events()`" in str(error)
    else:
        # W = k^2/gamma int c^2 dt, to first order in the width.
        assert work == pytest.approx(rate * area / np.sqrt(2), rel=2e-2)
    around = jnp.linspace(0.7, 0.76, 5)
    work = float(tj.moments(dragged(pulse, around), 2).ledger.work[-1])
    assert work == pytest.approx(rate * area / np.sqrt(2), rel=2e-2)


@pytest.mark.parametrize(
    "function",
    [
        lambda t: jnp.abs(t - 0.3),
        lambda t: jnp.tanh(1e5 * (t - 0.4)),
        lambda t: jnp.sin(60 * t),
        lambda t: jnp.sqrt(t + 1e-9),
    ],
)
def test_bends_and_steep_ramps_are_no_jumps(function):
    assert undeclared_jump(drawn(function)) is None


def test_jumps_of_any_size_and_place_are_found():
    for place, size in ((0.1234567, 1.0), (0.9, 1e-3), (1e-9, 1.0)):
        found = undeclared_jump(drawn(lambda t, p=place, s=size: s * (t > p) + 0.3 * t))
        assert found is not None and found.size == pytest.approx(size, rel=1e-3)
        assert found.time == pytest.approx(place, abs=1e-8) and not found.listed


class Hidden(tj.AbstractPotential):
    """Quadratic but for one thing, in one place."""

    rest: Callable = eqx.field(static=True)
    stiff: float = 0.5e6

    def energy(self, x, control):
        return self.stiff * x[0] ** 2 + 0.5 * x[1] ** 2 + self.rest(x, control)

    def template(self, control):
        return jnp.zeros(2)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    "rest, what",
    [
        (lambda x, c: 0.1 * x[1] ** 4, "second derivative"),
        (lambda x, c: 1e-5 * x[1] ** 4, "second derivative"),
        (
            lambda x, c: 0.5e6 * (2 * x[0] + x[1]) * x[1] + 0.1 * (x[1] - x[0]) ** 4,
            "second derivative",
        ),
        (lambda x, c: c * (1 - c) * x[1] ** 3 / 10, "second derivative"),
        (lambda x, c: jnp.abs(x[1] - 0.1), "slope"),
        (lambda x, c: jnp.where(x[1] > 0.1, 1.0, 0.0), "energy"),
    ],
)
def test_what_is_nearly_quadratic_is_not(rest, what, wide):
    """In float32 too: <x_1^2> of the first is .616, and was 1.0."""
    with jax.enable_x64(wide):
        system = tj.Overdamped(Hidden(rest), tj.Linear(0.0, 1.0, 1.0), tj.Bath())
        with pytest.raises(ValueError, match=f"Hidden is not quadratic .its {what} departs"):
            tj.moments(system, 2)


@pytest.mark.parametrize("wide", [True, False])
def test_what_is_quadratic_is_in_any_units(wide):
    """Stiff, soft, tilted, coupled, far from the template, with a constant: all of it passes."""
    with jax.enable_x64(wide):
        for unit in (1.0, 1e-8, 1e8):
            rest = lambda x, c, u=unit: 0.3e3 * x[0] * x[1] + 7 * x[1] * u * (c + 1) + 100 * u * u
            potential = Hidden(rest)
            system = tj.Overdamped(potential, tj.Linear(0.0, 1.0, 1.0), tj.Bath(unit**2))
            require_quadratic(system, jnp.full(2, 30.0 * unit))


def test_a_drive_that_is_nearly_linear_is_not():
    well = tj.Harmonic(1.0, jnp.zeros(2))
    for drive in (
        lambda x, c: x[::-1] + 1e-4 * x**2,
        lambda x, c: x[::-1] + 1e-4 * jnp.abs(x - 0.1),
    ):
        system = tj.Overdamped(well, tj.Constant(), tj.Bath(), drive=drive)
        with pytest.raises(ValueError, match="drive is not linear"):
            tj.moments(system, 2)


def test_a_grid_says_where_it_does_not_do():
    narrow = tj.Overdamped(tj.Harmonic(1e6, jnp.zeros(1)), tj.Constant(), tj.Bath())
    with pytest.raises(ValueError, match=r"as narrow as one of them in direction 0; take several"):
        tj.FokkerPlanck(-3.0, 3.0, 100).solve(narrow, time_steps=10)
    flat = tj.Overdamped(tj.Harmonic(1.0, jnp.zeros(1)), tj.Constant(), tj.Bath())
    solver = tj.FokkerPlanck(-8.0, 8.0, 100)
    edge = np.where(np.arange(100) > 97, 1.0, 0.0) / 0.32
    with pytest.raises(ValueError, match=r"upper = 8: its cell holds"):
        solver.solve(flat, time_steps=200, initial=jnp.asarray(edge))
    moved = tj.Overdamped(TRAP, tj.Linear(jnp.zeros(1), jnp.full(1, 5.0), 10.0), tj.Bath())
    with pytest.warns(UserWarning, match="time_steps = 4: with a tenth of them the work is"):
        tj.FokkerPlanck().solve(moved, time_steps=4)
