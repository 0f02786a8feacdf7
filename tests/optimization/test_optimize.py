"""The optimizer reaches known optima, and its gradient is the derivative of what it reports."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import thermojax as tj

KEY = jax.random.key(21)
POINT = tj.Equilibrium(jnp.zeros(1))


def ramp(protocol, n):
    """Outside and grid values of a piecewise linear protocol, by numpy alone."""
    values = np.asarray(protocol.values, float)
    inside = np.interp(np.linspace(0, 1, n + 1), np.linspace(0, 1, values.size), values)
    return inside, float(protocol.initial), float(protocol.final), float(protocol.duration) / n


def trap_work(protocol, n=20_000):
    """<W> of dragging an overdamped unit trap: the mean obeys dm/dt = l - m (k = gamma = 1)."""
    inside, before, after, h = ramp(protocol, n)
    m, work = before, 0.5 * (inside[0] - before) ** 2
    for old, new in itertools.pairwise(inside):
        middle, decay = (old + new) / 2, np.exp(-h / 2)
        half = middle + (m - middle) * decay
        work += (new - old) * (middle - half)
        m = middle + (half - middle) * decay
    return work + 0.5 * (after - m) ** 2 - 0.5 * (inside[-1] - m) ** 2


def stiffness_work(protocol, n=20_000):
    """<W> of changing an overdamped stiffness: dw/dt = 2 (1 - l w) for the variance w."""
    inside, before, after, h = ramp(protocol, n)
    w = 1 / before
    work = 0.5 * (inside[0] - before) * w
    for old, new in itertools.pairwise(inside):
        middle = (old + new) / 2
        half = 1 / middle + (w - 1 / middle) * np.exp(-middle * h)
        work += 0.5 * (new - old) * half
        w = 1 / middle + (half - 1 / middle) * np.exp(-middle * h)
    return work + 0.5 * (after - inside[-1]) * w


def test_the_scoring_equations_give_the_linear_ramps_of_the_reference():
    """REFERENCE section 1: linear ramps, 9.1969860 and 0.412466."""
    drag = tj.PiecewiseLinear.between(0.0, 5.0, 1.0, knots=2)
    np.testing.assert_allclose(trap_work(drag), 9.1969860, rtol=1e-6)
    squeeze = tj.PiecewiseLinear.between(1.0, 2.0, 1.0, knots=2)
    np.testing.assert_allclose(stiffness_work(squeeze), 0.412466, rtol=1e-5)


def fitted(potential, start, end, rate, batch, steps=300):
    protocol = tj.PiecewiseLinear.between(start, end, duration=1.0, knots=12)
    schedule = optax.cosine_decay_schedule(rate, steps)
    return tj.optimize(
        tj.Overdamped(potential, protocol, tj.Bath()),
        tj.MeanWork(),
        optax.adam(schedule),
        KEY,
        dt=0.01,
        batch=batch,
        steps=steps,
        initial=POINT,
    )


def trained(fit):
    """Its schedule, which is still of the kind that was given."""
    protocol = fit.system.protocol
    assert isinstance(protocol, tj.PiecewiseLinear)
    return protocol


@pytest.mark.slow
def test_moving_trap_reaches_the_optimum():
    """(a, tau, k, gamma) = (5, 1, 1, 1): W* = 25/3 and jumps of 5/3, from a linear ramp."""
    fit = fitted(tj.Harmonic(1.0, control="center"), 0.0, 5.0, rate=0.1, batch=256)
    protocol = trained(fit)
    assert trap_work(protocol) < 1.005 * 25 / 3
    jumps = [float(protocol.values[0]), 5 - float(protocol.values[-1])]
    np.testing.assert_allclose(jumps, 5 / 3, rtol=0.2)  # the optimum is flat in them
    assert abs(fit.value.value - 25 / 3) < 4.5 * fit.value.error + 0.005 * 25 / 3


@pytest.mark.slow
def test_stiffness_reaches_the_optimum():
    """(k_i, k_f, tau) = (1, 2, 1): W* = 0.40291836, jumps to 1.190983 and from 1.763932."""
    fit = fitted(tj.Harmonic(control="stiffness"), 1.0, 2.0, rate=0.05, batch=1024)
    protocol = trained(fit)
    assert stiffness_work(protocol) < 1.005 * 0.40291836
    assert abs(float(protocol.values[0]) - 1.190983) < 0.08
    assert abs(float(protocol.values[-1]) - 1.763932) < 0.08


@pytest.mark.parametrize("kind", [tj.Underdamped, tj.Overdamped])
def test_gradient_of_the_mean_work_is_the_finite_difference(kind):
    """In every value of the schedule, the end jumps, the kicks, and the initial law."""

    def work(leaves):
        values, outside, stiffness, temperature, friction = leaves
        kicks = 0.1 * values[:2] if kind is tj.Underdamped else None
        protocol = tj.PiecewiseLinear(values, 1.0, outside[0], outside[1], kicks=kicks)
        bath = tj.Bath(temperature, friction)
        system = kind(tj.Harmonic(stiffness, control="center"), protocol, bath)
        out = tj.simulate(system, KEY, time_steps=9, batch=16, initial=POINT)
        return out.mean(out.ledger.total_work).value

    leaves = (
        jnp.array([0.3, 0.5, 0.6]),
        jnp.array([0.1, 1.0]),
        jnp.array(1.5),
        jnp.array(0.8),
        jnp.array(1.2),
    )
    flat, unravel = ravel_pytree(leaves)
    cost = jax.jit(jax.value_and_grad(lambda v: work(unravel(v))))
    _, gradient = cost(flat)
    assert np.all(np.asarray(gradient) != 0)
    for i, step in enumerate(1e-5 * np.eye(flat.size)):
        numeric = (cost(flat + step)[0] - cost(flat - step)[0]) / 2e-5
        np.testing.assert_allclose(gradient[i], numeric, rtol=2e-6, atol=1e-8)


@pytest.mark.slow
def test_memory_of_the_gradient_grows_like_the_square_root_of_the_steps():
    def temporary_bytes(steps):
        def work(values):
            protocol = tj.PiecewiseLinear(values, 1.0, 0.0, 1.0)
            system = tj.Underdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
            out = tj.simulate(system, KEY, time_steps=steps, initial=jnp.zeros((256, 4)))
            return out.mean(out.ledger.total_work).value

        compiled = jax.jit(jax.grad(work)).lower(jnp.linspace(0.0, 1.0, 4)).compile()
        analysis = compiled.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    small, large = temporary_bytes(256), temporary_bytes(4096)
    assert large < 1.25 * np.sqrt(4096 / 256) * small


@pytest.mark.slow
def test_callbacks_bounds_history_and_early_stop():
    protocol = tj.PiecewiseLinear.between(0.0, 5.0, 1.0, knots=4, lower=0.0, upper=5.0)
    system = tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    seen = []

    def watch(progress):
        seen.append((progress.step, str(progress.loss)))
        values = progress.system.protocol.values
        assert jnp.all((values >= 0) & (values <= 5))
        return progress.step == 6

    # Six steps that move, and then none: one optimizer, and so one program, for both runs.
    descent = optax.sgd(lambda step: jnp.where(jnp.asarray(step) < 6, 2.0, 0.0))
    options: dict[str, Any] = dict(dt=0.1, batch=32, initial=POINT, steps=50)
    fit = tj.optimize(system, tj.MeanWork(), descent, KEY, callback=watch, **options)
    assert [step for step, _ in seen] == list(range(1, 7))
    assert fit.stopped == "the callback ended training at step 6"
    assert fit.history["loss"].shape == fit.history["error"].shape == (6,)
    assert fit.value.error > 0 and fit.chosen in fit.candidates
    # The averaged iterate, or one that is lower beyond doubt.
    assert fit.candidates[fit.chosen].value <= fit.candidates["averaged"].value
    stuck = tj.optimize(system, tj.MeanWork(), descent, KEY, patience=5, **options)
    assert "no progress for 5 steps" in stuck.stopped
    assert 5 < len(stuck.history["loss"]) < 50


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_best():
    protocol = tj.PiecewiseLinear.between(0.0, 5.0, 1.0, knots=4)
    system = tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    options: dict[str, Any] = dict(dt=0.1, batch=8, initial=POINT, steps=20)
    fit = tj.optimize(system, tj.MeanWork(), optax.sgd(1e300), KEY, **options)
    assert fit.stopped.startswith("the loss was not finite at step")
    assert "8 of 8 paths diverged" in fit.stopped and "a lower learning rate" in fit.stopped
    assert np.all(np.isfinite(trained(fit).values))
    assert np.isfinite(fit.value.value)


@pytest.mark.slow
def test_other_leaves_train_when_asked():
    protocol = tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=3)
    system = tj.Underdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    fit = tj.optimize(
        system,
        tj.MeanWork(),
        optax.adam(0.1),
        KEY,
        dt=0.1,
        batch=64,
        steps=5,
        initial=POINT,
        trainable=lambda s: s.bath.friction,
    )
    np.testing.assert_array_equal(trained(fit).values, protocol.values)
    assert fit.chosen == "start" or fit.system.bath.friction != 1.0


@pytest.mark.slow
def test_a_bath_that_is_no_longer_positive_stops_training():
    """A schedule without bounds and a rate far too large; with bounds it is kept above."""
    protocol = tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=3)
    options: Any = dict(steps=6, picture=tj.ExactMoments(), initial=POINT, time_steps=10)
    for lower, stopped in ((None, "the friction was no longer positive at step 1"), (0.5, "all 6")):
        friction = tj.PiecewiseLinear([1.0, 2.0, 1.0], 1.0, lower=lower)
        fit = tj.optimize(
            tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath(friction=friction)),
            tj.MeanWork(),
            optax.sgd(1e3),
            trainable=lambda s: s.bath.friction.values,
            **options,
        )
        assert stopped in fit.stopped
        assert jnp.all(fit.system.bath.friction.values > 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps = 0"),
        ({"protocol": tj.Linear(0.0, 1.0, 1.0)}, "Linear has nothing to train"),
        ({"objective": lambda s, r: 0}, "expected one such as tj.MeanWork"),
        ({"trainable": lambda s: s.drive}, "no array of floats"),
        ({"dt": 2.0}, "larger than the duration"),
        ({"trainable": lambda s: 2 * s.protocol.values}, "was computed and is no part"),
        ({"steps": 2.5}, "steps = 2.5: expected a positive whole number"),
        ({"steps": True}, "steps = True"),
        ({"batch": "8"}, "batch = '8'"),
        ({"batch": 8.0}, "batch = 8.0"),
        ({"patience": 0}, "patience = 0"),
        ({"tolerance": float("nan")}, "tolerance = nan: expected a number from 0 on"),
        ({"tolerance": -1e-3}, "tolerance = -0.001"),
        ({"callback": 3}, "callback = 3: expected a function"),
        ({"compared": "bar"}, "compared = 'bar'"),
        ({"checkpoint": "x.ckpt"}, "checkpoint is a str: expected a tj.Checkpoint"),
        ({"gradient": tj.Pathwise}, "gradient is the class Pathwise itself"),
        ({"integrator": None}, "integrator is None"),
        ({"objective": tj.MeanWork}, "objective is the class MeanWork itself"),
        ({"optimizer": 0.1}, "optimizer is a float: expected an optax transformation"),
        ({"key": 3}, "key must be a typed key"),
    ],
)
def test_bad_input_is_refused_in_words(changes, words):
    options: dict[str, Any] = dict(dt=0.1, batch=8, steps=2, initial=POINT)
    options |= dict(objective=tj.MeanWork(), optimizer=optax.adam(0.1), key=KEY)
    options |= {"protocol": tj.PiecewiseLinear.between(0.0, 1.0, 1.0)} | changes
    protocol = options.pop("protocol")
    system = tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    with pytest.raises(ValueError, match=words):
        tj.optimize(system, **options)


def test_numbers_of_numpy_are_numbers():
    protocol = tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=np.int64(3))  # pyright: ignore[reportArgumentType]
    system = tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    steps: Any = np.int64(1)
    tolerance: Any = np.float32(0)
    fit = tj.optimize(
        system,
        tj.MeanWork(),
        optax.adam(0.1),
        steps=steps,
        picture=tj.ExactMoments(),
        initial=POINT,
        time_steps=4,
        patience=steps,
        tolerance=tolerance,
    )
    assert fit.history["loss"].shape == (1,)
