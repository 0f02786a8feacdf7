"""Laws that every protocol obeys, and the values of each."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.components import PROTOCOLS
from thermojax.protocol import Reversed, reversed_in_time, value_at, values_at

CASES = pytest.mark.parametrize("name", PROTOCOLS)


@CASES
def test_shapes_agree_inside_and_outside(name):
    protocol = PROTOCOLS[name]
    shape = protocol(jnp.asarray(0.3)).shape
    assert protocol.initial.shape == protocol.final.shape == shape
    assert value_at(protocol, jnp.asarray(-1.0)).shape == shape


@CASES
def test_outside_values_hold_outside(name):
    protocol = PROTOCOLS[name]
    np.testing.assert_array_equal(value_at(protocol, jnp.asarray(-0.1)), protocol.initial)
    np.testing.assert_array_equal(value_at(protocol, jnp.asarray(2.0)), protocol.final)
    np.testing.assert_array_equal(value_at(protocol, jnp.asarray(9.0)), protocol.final)


@CASES
def test_reversal_mirrors_and_is_its_own_inverse(name):
    forward = tj.Overdamped(tj.DoubleWell(), PROTOCOLS[name], tj.Bath())
    backward = tj.reverse(forward).protocol
    for t in (0.0, 0.7, 2.0):
        there = PROTOCOLS[name](jnp.asarray(2.0 - t))
        np.testing.assert_allclose(backward(jnp.asarray(t)), there, atol=1e-14)
    np.testing.assert_array_equal(backward.initial, PROTOCOLS[name].final)
    again = tj.reverse(tj.reverse(forward)).protocol
    np.testing.assert_array_equal(again(jnp.asarray(0.7)), PROTOCOLS[name](jnp.asarray(0.7)))


VALUED = [name for name in PROTOCOLS if name.partition(" ")[0] not in ("neural", "reversed")]


@pytest.mark.parametrize("name", VALUED)
def test_a_schedule_of_values_is_mirrored_in_them(name):
    """The same class and structure, and the numbers of one that is read backward."""
    protocol = PROTOCOLS[name]
    if "kicks" in vars(protocol):  # a vector of two, of different sizes
        kicks = jnp.stack([protocol.initial + 0.3, protocol.initial - 0.1])
        protocol = dataclasses.replace(protocol, kicks=kicks)
    backward, mirrored = Reversed(protocol), reversed_in_time(protocol)
    assert type(mirrored) is type(protocol)
    assert jax.tree.structure(mirrored) == jax.tree.structure(protocol)
    pairs = zip(jax.tree.leaves(mirrored), jax.tree.leaves(protocol), strict=True)
    assert all(a.shape == b.shape and a.aval == b.aval for a, b in pairs)
    grids = [2.0 / count * np.arange(count + 1) for count in (7, 30)]
    grids += [2.0 / count * (np.arange(count) + 0.5) for count in (7, 30)]
    tables = eqx.filter_jit(lambda protocol: [protocol.tabulated(times) for times in grids])
    for found, expected in zip(tables(mirrored), tables(backward), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    for read in ("impulses", "events", "jumps"):
        found, expected = getattr(mirrored, read)(), getattr(backward, read)()
        assert (found is None) == (expected is None)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
    ends = (mirrored.initial, mirrored.final), (protocol.final, protocol.initial)
    np.testing.assert_array_equal(*ends)
    again = reversed_in_time(mirrored)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(protocol), strict=True):
        np.testing.assert_array_equal(a, b)


def test_edges_of_pieces_are_the_mean_of_both_sides_whatever_the_rounding():
    """Every step that an edge can meet, on it and in its middle, in both precisions."""
    for dtype in (jnp.float32, jnp.float64):
        values = jnp.asarray([0.0, 1.0, 4.0], dtype)
        for duration in (0.7, 1.0, 3.3):
            protocol = tj.PiecewiseConstant(values, jnp.asarray(duration, dtype))
            for steps in (3, 6, 21, 57):
                h = np.asarray(protocol.duration) / dtype(steps)
                times = h * np.arange(steps + 1, dtype=dtype)
                table = np.asarray(protocol.tabulated(jnp.asarray(times)))
                third = steps // 3
                np.testing.assert_array_equal(table[[0, third, 2 * third, -1]], [0, 0.5, 2.5, 4])
                assert table[third + 1] in (1.0, 2.5) and table.shape == (steps + 1,)


@CASES
def test_a_table_has_the_values_of_single_calls_and_their_derivative(name):
    """On grid points and in the middles of steps; every number of times has another layout."""
    protocol = PROTOCOLS[name]
    arrays, rest = eqx.partition(protocol, eqx.is_inexact_array)
    tables = (lambda protocol, times: protocol.tabulated(times)), values_at

    def values_and_slopes(table, times, weights):
        values, pull_back = jax.vjp(lambda arrays: table(eqx.combine(arrays, rest), times), arrays)
        return values, jax.tree.leaves(pull_back(weights))

    both = jax.jit(lambda *at: [values_and_slopes(table, *at) for table in tables])

    for length in (6, 41, 204):
        shape = (length, *protocol.initial.shape)
        weights = np.random.default_rng(length).normal(size=shape)
        grid = 2.0 / (length - 1) * np.arange(length)
        for times in (grid, 2.0 / length * (np.arange(length) + 0.5)):
            (found, slopes), (expected, wanted) = both(times, weights)
            if protocol.jumps() is not None:
                edges = np.asarray(protocol.jumps()[0])[:, None]
                away = ~np.any(abs(times - edges) < 1e-9, axis=0)
                found, expected = np.asarray(found), np.asarray(expected)
                np.testing.assert_allclose(found[away], expected[away], atol=1e-14)
                continue
            np.testing.assert_allclose(found, expected, atol=1e-14)
            for a, b in zip(slopes, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_tables_of_many_protocols_at_once():
    values = jax.random.normal(jax.random.key(0), (3, 6, 2))
    times = jnp.linspace(0, 2, 301)

    def of(table):
        return jax.vmap(lambda values: table(tj.PiecewiseLinear(values, 2.0), times))(values)

    found = of(lambda protocol, times: protocol.tabulated(times))
    np.testing.assert_allclose(found, of(values_at), atol=1e-14)


def test_piecewise_linear_interpolates_its_knots():
    protocol = tj.PiecewiseLinear([0.0, 1.0, 0.5], 4.0, initial=-1.0, final=2.0)
    times = jnp.linspace(0, 4, 17)
    values = jax.vmap(protocol)(times)
    np.testing.assert_allclose(values, np.interp(times, [0, 2, 4], [0.0, 1.0, 0.5]), atol=1e-15)
    np.testing.assert_allclose(protocol.knots, [0, 2, 4])


def test_between_starts_from_the_linear_ramp():
    protocol = tj.PiecewiseLinear.between(1.0, 3.0, 2.0, knots=5)
    np.testing.assert_allclose(protocol.values, [1, 1.5, 2, 2.5, 3])
    assert protocol.trainable() == ("values",)


def test_projection_keeps_the_bounds():
    protocol = tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=3, lower=0.0, upper=1.0)
    moved = jax.tree.map(lambda x: x, protocol)
    object.__setattr__(moved, "values", jnp.array([-0.5, 0.5, 1.5]))
    np.testing.assert_array_equal(moved.project().values, [0, 0.5, 1])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: tj.Linear(0.0, 1.0, -1.0), "duration = -1.0: expected a positive time"),
        (lambda: tj.Linear(0.0, 1.0, np.nan), "duration"),
        (lambda: tj.Linear(0.0, jnp.ones(2), 1.0), "different shapes"),
        (lambda: tj.PiecewiseLinear([1.0], 1.0), "at least two knots"),
        (lambda: tj.PiecewiseLinear([1.0, np.inf], 1.0), "values = .*finite numbers"),
        (lambda: tj.PiecewiseLinear([0.0, 1.0], 1.0, lower=1.0, upper=0.0), "lower below upper"),
        (lambda: tj.PiecewiseLinear([0.0, 1.0], 1.0, upper=0.5), "above upper"),
        (lambda: tj.PiecewiseLinear([0.0, 1.0], 1.0, lower=0.5), "below lower"),
        (lambda: tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=1), "knots = 1"),
        (lambda: tj.PiecewiseLinear([0.0, 1.0], 1.0, initial=jnp.zeros(2)), "different shapes"),
        (lambda: tj.Bath(temperature=-1.0), "temperature = -1.0"),
        (lambda: tj.Bath(friction=[1.0, 0.0]), "friction"),
        (lambda: tj.Bath(temperature=tj.Linear(1.0, -1.0, 1.0)), "temperature.final"),
        (
            lambda: tj.Underdamped(
                tj.DoubleWell(),
                1.0,  # pyright: ignore[reportArgumentType]  # refused
                tj.Bath(),
            ),
            "protocol is a float: expected a protocol",
        ),
    ],
)
def test_bad_input_is_refused_in_words(build, words):
    with pytest.raises(ValueError, match=words):
        build()
