"""What lies between the knots, against numpy and scipy, and what keeps them in place."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BarycentricInterpolator, CubicSpline

import thermojax as tj
from tests.components import PROTOCOLS
from thermojax.protocol import AbstractKnots

KEY = jax.random.key(5)
TIMES = jnp.linspace(0, 2, 33)
KINDS = [tj.PiecewiseLinear, tj.PiecewiseConstant, tj.CubicSpline, tj.Chebyshev]
RANDOM = np.random.default_rng(3).normal(size=(7, 2))
ALL = {
    "linear": lambda a, b, **options: tj.PiecewiseLinear.between(a, b, 2.0, **options),
    "constant": lambda a, b, **options: tj.PiecewiseConstant.between(a, b, 2.0, **options),
    "spline": lambda a, b, **options: tj.CubicSpline.between(a, b, 2.0, **options),
    "Chebyshev": lambda a, b, **options: tj.Chebyshev.between(a, b, 2.0, **options),
    "monotone": lambda a, b, **options: tj.Monotone.between(a, b, 2.0, **options),
    "neural": lambda a, b, **options: tj.Neural.between(a, b, 2.0, key=KEY, **options),
}


JUMPING = [name for name, protocol in PROTOCOLS.items() if protocol.jumps() is not None]


def moved(protocol, size=1.0):
    """The protocol with everything that trains moved at random."""
    for i, name in enumerate(protocol.trainable()):
        arrays, rest = eqx.partition(getattr(protocol, name), eqx.is_inexact_array)
        leaves, structure = jax.tree.flatten(arrays)
        keys = jax.random.split(jax.random.fold_in(KEY, i), len(leaves))
        shaken = [
            x + size * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)
        ]
        new = eqx.combine(structure.unflatten(shaken), rest)
        protocol = eqx.tree_at(lambda p, name=name: getattr(p, name), protocol, new)
    return protocol


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("values", [RANDOM[:, 0], RANDOM])
def test_the_spline_is_that_of_scipy(values, count):
    found = jax.vmap(tj.CubicSpline(values[:count], 2.0))(TIMES)
    expected = CubicSpline(np.linspace(0, 2, count), values[:count], bc_type="not-a-knot")(TIMES)
    np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize("values", [RANDOM[:, 0], RANDOM, RANDOM[:2]])
def test_the_polynomial_is_that_of_scipy_and_its_coefficients_those_of_numpy(values):
    protocol = tj.Chebyshev(values, 2.0)
    expected = BarycentricInterpolator(np.asarray(protocol.knots), values)(np.asarray(TIMES))
    np.testing.assert_allclose(jax.vmap(protocol)(TIMES), expected, atol=1e-12)
    places, coefficients = np.asarray(TIMES - 1), np.asarray(protocol.coefficients)
    again = np.polynomial.chebyshev.chebval(places, coefficients).T
    np.testing.assert_allclose(again, expected, atol=1e-12)


def test_pieces_hold_their_values_and_switch_between_them():
    protocol = tj.PiecewiseConstant([0.3, 0.1, 0.7], 3.0, initial=0.0, final=1.0)
    found = jax.vmap(protocol)(jnp.array([0, 0.99, 1, 1.5, 2, 3]))
    np.testing.assert_array_equal(found, [0.3, 0.3, 0.1, 0.1, 0.7, 0.7])
    times, before, after = protocol.jumps()
    np.testing.assert_array_equal([times, before, after], [[1, 2], [0.3, 0.1], [0.1, 0.7]])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_between_is_the_ramp_and_pinning_takes_the_jumps(name, shape):
    initial, final = jnp.full(shape, 1.0), jnp.full(shape, 3.0)
    protocol = ALL[name](initial, final)
    exact = name in ("linear", "spline", "Chebyshev", "neural")
    straight = (1 + TIMES).reshape(-1, *[1] * len(shape)) * jnp.ones(shape)
    np.testing.assert_allclose(
        jax.vmap(protocol)(TIMES), straight, atol=1e-12 if exact else 0.13 + 2 / 17
    )
    pinned = moved(ALL[name](initial, final, pinned=True))
    found = jax.vmap(pinned)(TIMES)
    np.testing.assert_allclose(found[0], initial, atol=1e-12)
    np.testing.assert_allclose(found[-1], final, atol=1e-12)
    assert np.max(abs(found - straight)) > 0.2
    assert np.all(abs(moved(protocol)(TIMES[0]) - initial) > 1e-3)  # free: it jumps


@pytest.mark.parametrize("name", [name for name in ALL if name != "monotone"])
def test_bounds_hold_at_all_times(name):
    """Between the knots too, whatever an update did to what trains."""
    protocol = ALL[name](0.0, 1.0, lower=-0.2, upper=1.1)
    found = jax.vmap(moved(protocol, 2.0).project())(jnp.linspace(0, 2, 500))
    assert np.min(found) > -0.2 - 1e-12 and np.max(found) < 1.1 + 1e-12
    assert np.min(found) < -0.2 + 1e-12 or np.max(found) > 1.1 - 1e-12  # and are reached


@pytest.mark.parametrize("pinned", [True, False])
def test_monotone_never_turns_back(pinned):
    protocol = tj.Monotone.between(jnp.array([0.0, 2.0]), jnp.array([1.0, -1.0]), 2.0, 9)
    protocol = moved(protocol, 3.0)
    found = np.concatenate([[protocol.initial], jax.vmap(protocol)(TIMES), [protocol.final]])
    assert np.all(np.diff(found, axis=0) * np.array([1, -1]) >= 0)


def test_pieces_alone_jump_inside():
    assert JUMPING == ["piecewise constant", "piecewise constant vector"]


@pytest.mark.parametrize("name", JUMPING)
def test_jumps_are_events_and_reversal_swaps_their_sides(name):
    protocol = PROTOCOLS[name]
    times, before, after = protocol.jumps()
    events = protocol.events()
    assert events is not None and set(times.tolist()) <= set(events.tolist())
    np.testing.assert_array_equal(jax.vmap(protocol)(times + 1e-9), after)
    np.testing.assert_array_equal(jax.vmap(protocol)(times - 1e-9), before)
    system = tj.Overdamped(tj.DoubleWell(), protocol, tj.Bath())
    mirrored = tj.reverse(system).protocol
    again = mirrored.jumps()
    assert again is not None
    np.testing.assert_allclose(again[0], (2 - times)[::-1], rtol=4e-16)
    for found, expected in zip(again[1:], (after, before), strict=True):
        np.testing.assert_array_equal(found, expected[::-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_at_a_bound_is_whole(kind):
    """A value that lies on its bound, and goes inward, keeps its derivative of one."""
    protocol = kind.between(0.0, 1.0, 2.0, knots=4, lower=0.0, upper=1.0)
    assert isinstance(protocol, AbstractKnots)

    def start(values):
        return dataclasses.replace(protocol, values=values)(jnp.asarray(0.0))

    gradient = jax.grad(start)(protocol.values)
    np.testing.assert_allclose(gradient, [1, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("lower", [0.0, -0.3, 1e3])
@pytest.mark.parametrize("kind", [tj.CubicSpline, tj.Chebyshev])
def test_rounding_at_a_bound_takes_no_gradient(kind, lower):
    """A rounding error beyond the bound a control is on it, and moves with its values."""
    protocol = kind.between(lower, lower + 1.0, 2.0, knots=7, lower=lower, upper=lower + 1.0)
    times = jnp.stack([jnp.zeros(()), protocol.duration])
    at = lambda values: jax.vmap(dataclasses.replace(protocol, values=values))(times)
    found, slope = jax.jit(at), jax.jit(jax.jacobian(at))
    values = np.asarray(found(protocol.values))
    assert np.all(values >= lower) and np.all(values <= lower + 1.0)
    np.testing.assert_allclose(slope(protocol.values), np.eye(7)[[0, 6]], atol=1e-11)
    # Well beyond it the bound holds, and nothing moves.
    beyond = slope(np.asarray(protocol.values) - 1e-6 * np.eye(7)[0])
    np.testing.assert_array_equal(beyond[0], np.zeros(7))


@pytest.mark.slow
def test_the_work_of_pieces_in_both_pictures():
    """Exact moments book the jumps inside: a unit trap in three steps, by hand, and by paths."""
    protocol = tj.PiecewiseConstant([0.5, 1.5, 2.0], 3.0, initial=0.0, final=2.5)
    system = tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    start = tj.Equilibrium(jnp.zeros(1))
    ledger = tj.moments(system, [0.0, 1.0, 1.7, 3.0], start).ledger
    mean, old, work = 0.0, 0.0, [0.0]
    for new in (0.5, 1.5, 2.0, 2.5):
        work.append(work[-1] + ((mean - new) ** 2 - (mean - old) ** 2) / 2)
        mean, old = new + (mean - new) * np.exp(-1), new
    np.testing.assert_allclose(ledger.work, [work[1], work[2], work[2], work[4]], rtol=1e-10)
    np.testing.assert_allclose(ledger.energy, 0.5 + ledger.work - ledger.heat, rtol=1e-10)
    out = tj.simulate(system, KEY, time_steps=60, batch=4000, initial=start)
    found = out.mean(out.ledger.total_work)
    assert abs(found.value - work[4]) < 4.5 * found.error + 1e-3


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: tj.Chebyshev.between(0.0, 1.0, 1.0, knots=1), "knots = 1"),
        (lambda: tj.PiecewiseConstant([1.0], 1.0), "at least two knots"),
        (lambda: tj.Monotone.between(0.0, 1.0, 1.0, knots=1), "knots = 1"),
        (lambda: tj.Monotone([0.0, 1.0], 1.0, 0.0, 1.0), "at least 3"),
        (lambda: tj.Chebyshev.between(0.0, 1.0, 1.0, lower=2.0, upper=1.0), "lower below upper"),
        (lambda: tj.Chebyshev.between(0.0, 1.0, 1.0, lower=[0.0, 0.0]), "expected a number"),
        (lambda: tj.Chebyshev.between(0.0, 1.0, 1.0, upper=np.nan), "upper = nan"),
        (lambda: tj.PiecewiseConstant([0.5, 0.5], 1.0, 0.0, 1.0, 0.1, pinned=True), "initial rea"),
        (lambda: tj.Neural.between(0.0, 1.0, 1.0, key=KEY, upper=0.5), "final reaches 1, above"),
        (lambda: tj.Neural(eqx.nn.MLP(1, 2, 4, 1, key=KEY), 1.0, 0.0, 1.0), "network returns"),
        (lambda: tj.Neural.between(0.0, 1.0, -1.0, key=KEY), "a positive time"),
        (
            lambda: tj.log_work_moment(
                tj.Overdamped(
                    tj.Harmonic(1.0, control="center"),
                    tj.PiecewiseConstant([0.5, 0.5], 1.0),
                    tj.Bath(),
                ),
                initial=tj.Equilibrium(jnp.zeros(1)),
            ),
            "jumps inside",
        ),
    ],
)
def test_bad_schedules_are_refused_in_words(build, words):
    with pytest.raises(ValueError, match=words):
        build()
