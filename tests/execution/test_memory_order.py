"""The order of arrays in memory, what reverse mode keeps, and the derivative by the controls."""

import dataclasses
import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.aboba import ABOBA
from thermojax.dynamics import GridBrownianPath, evaluate_force, timetable
from thermojax.dynamics.random import key_words
from thermojax.execution import solving
from thermojax.execution.cpu.memory_order import MemoryOrder
from thermojax.execution.cpu.tiles import memory_order
from thermojax.execution.drawing import Drawing
from thermojax.execution.forces import evaluate_along_control
from thermojax.execution.residuals import KEPT
from thermojax.execution.workload import workload_of

KEY = jax.random.key(5)
ORDERED = MemoryOrder.ROW_MAJOR, MemoryOrder.COLUMN_MAJOR
BATCH, STEPS = 96, 24


of_a_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="orders are for a CPU")


def close(a, b, tolerance=1e-10):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def path_of(shape, **more):
    return GridBrownianPath(key_words(KEY), shape, jnp.ones(()), **more)


@pytest.mark.parametrize("order", ORDERED)
def test_what_is_ordered_and_stored_keeps_its_numbers(order):
    batch = jax.random.normal(KEY, (6, 3, 2))
    np.testing.assert_array_equal(jax.jit(order.in_memory_order)(batch), batch)
    np.testing.assert_array_equal(order.restored(order.stored(batch)), batch)
    each = jax.vmap(order.in_memory_order)(jnp.stack([batch, 2 * batch]))
    np.testing.assert_array_equal(each, jnp.stack([batch, 2 * batch]))


@of_a_cpu
def test_paths_lie_side_by_side_where_they_are_ordered():
    def moved(x):
        return jax.lax.fori_loop(
            0, 9, lambda i, x: MemoryOrder.COLUMN_MAJOR.in_memory_order(jnp.sin(x) + i), x
        )

    program = jax.jit(moved).lower(jnp.zeros((128, 8))).compile()
    assert "f64[128,8]{0,1} fusion" in (program.as_text() or "")


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("chosen", [None, (7, 7, 2, 0)])
def test_the_noise_is_the_same_in_any_order(antithetic, chosen):
    shape = {
        "a": jax.ShapeDtypeStruct((4, 3), jnp.float64),
        "b": jax.ShapeDtypeStruct((4, 2, 5), jnp.float64),
    }
    particles = None if chosen is None else jnp.array(chosen, jnp.uint32)
    path = path_of(shape, antithetic=antithetic, first_particle=6)

    def normals(order):
        return jax.vmap(Drawing(path, order, particles=particles).drawn(3, 5).at)(jnp.arange(5))

    free = normals(MemoryOrder.FREE)
    for order in ORDERED:
        jax.tree.map(np.testing.assert_array_equal, normals(order), free)
    if chosen is None:
        jax.tree.map(np.testing.assert_array_equal, path.normals(3, 5), free)


@of_a_cpu
def test_which_order():
    def order(dim, paths, potential=None, **more):
        potential = potential or tj.Harmonic(1.0, jnp.zeros(dim))
        system = tj.Underdamped(potential, tj.Linear(0.0, 1.0, duration=1.0), tj.Bath())
        position = jnp.zeros((paths, dim))
        path = path_of(jax.eval_shape(lambda: position), **more)
        table = timetable(system, position, jnp.ones(()), 1, ou_fraction=1.0)
        return memory_order(workload_of(system, table, path, tj.BAOAB(), position, 1), paths)

    assert {order(1, 64), order(8, 64), order(16, 1000)} == {MemoryOrder.COLUMN_MAJOR}
    assert {order(8, 63), order(17, 64), order(300, 64)} == {MemoryOrder.ROW_MAJOR}
    matrix = tj.Gaussian(jnp.zeros(8), jnp.eye(8) + 0.1)
    assert order(8, 64, matrix) is MemoryOrder.FREE


BATH = tj.Bath(
    temperature=0.8, friction=jnp.array([1.0, 2.0, 0.5]), mass=jnp.array([1.0, 1.5, 2.0])
)
PROTOCOL = tj.PiecewiseLinear.between(0.5, 2.0, duration=1.5, knots=5)
WELL = tj.Harmonic(1.0, jnp.array([0.0, 0.5, -0.2]), control="stiffness")
DRIVE = lambda x, control: control * jnp.array([-x[1], x[0], 0.0])
SYSTEMS = {
    "underdamped": tj.Underdamped(WELL, PROTOCOL, BATH),
    "overdamped": tj.Overdamped(tj.DoubleWell(2.0), PROTOCOL, tj.Bath()),
    "driven": tj.Underdamped(WELL, PROTOCOL, BATH, drive=DRIVE),
    "two controls": tj.Underdamped(
        tj.DoubleWell(2.0), tj.Linear(jnp.array([1.0, 0.0]), jnp.array([0.2, 1.0]), 1.5), BATH
    ),
    "a temperature in time": tj.Underdamped(
        WELL, PROTOCOL, tj.Bath(temperature=tj.Linear(1.0, 0.5, duration=1.5))
    ),
}
INTEGRATORS = {"BAOAB": tj.BAOAB(), "OBABO": tj.OBABO(), "ABOBA": ABOBA()}


QUICK = {("underdamped", "BAOAB"), ("two controls", "BAOAB"), ("driven", "OBABO")}
QUICK |= {("overdamped", "ABOBA")}


@pytest.mark.parametrize(
    ("name", "integrator"),
    [
        pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
        for case in itertools.product(SYSTEMS, INTEGRATORS)
        if case in QUICK or case[1] != "ABOBA"
    ],
)
def test_runs_and_gradients_are_the_same_in_any_order(name, integrator, monkeypatch):
    state = tj.State(*jax.random.normal(KEY, (2, BATCH, 3)))

    def cost(system):
        out = tj.simulate(
            system, KEY, time_steps=STEPS, initial=state, integrator=INTEGRATORS[integrator]
        )
        return jnp.mean(out.ledger.work + out.ledger.heat + out.position[:, 0]), out

    choose, one_control = solving.choose_layout, name != "two controls"

    def in_order(order):
        monkeypatch.setattr(
            solving,
            "choose_layout",
            lambda *options: choose(*options)._replace(
                order=order, along_control=order is not MemoryOrder.FREE and one_control
            ),
        )
        # A function of its own, which JAX has not traced yet.
        graded = eqx.filter_value_and_grad(functools.partial(cost), has_aux=True)
        return eqx.filter_jit(graded)(SYSTEMS[name])

    free = in_order(MemoryOrder.FREE)
    for order in ORDERED:
        close(in_order(order), free)


def test_reverse_mode_keeps_positions_and_momenta_instead_of_noise():
    system = SYSTEMS["underdamped"]
    state = tj.State(*jax.random.normal(KEY, (2, BATCH, 3)))
    names = str(
        jax.make_jaxpr(
            jax.grad(
                lambda values: jnp.mean(
                    tj.simulate(
                        system.replace(protocol=dataclasses.replace(PROTOCOL, values=values)),
                        KEY,
                        time_steps=STEPS,
                        initial=state,
                    ).ledger.work
                )
            )
        )(PROTOCOL.values)
    )
    assert f"name={KEPT}" in names


@jax.custom_vjp
def squared(x):
    return x**2


squared.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))


class OnlyInReverse(tj.AbstractPotential):
    """A well whose derivative refuses forward mode."""

    def energy(self, x, control):
        return jnp.sum(squared(x - control))


def test_a_potential_with_a_derivative_for_reverse_mode_only_trains():
    state = tj.State(*jax.random.normal(KEY, (2, BATCH, 3)))

    def work(values, potential):
        protocol = dataclasses.replace(PROTOCOL, values=values)
        system = tj.Underdamped(potential, protocol, tj.Bath())
        return jnp.mean(tj.simulate(system, KEY, time_steps=STEPS, initial=state).ledger.total_work)

    found = jax.grad(work)(PROTOCOL.values, OnlyInReverse())
    step = 1e-5 * jnp.eye(len(found))[2]
    ends = [work(PROTOCOL.values + sign * step, OnlyInReverse()) for sign in (1, -1)]
    np.testing.assert_allclose(found[2], (ends[0] - ends[1]) / 2e-5, rtol=1e-7)


POTENTIALS = {
    "stiffness": (WELL, jnp.array([0.7, 0.9, 1.1])),
    "tilt": (tj.DoubleWell(2.0), jnp.array([0.1, 0.3, 0.2])),
    "a control of shape (1,)": (
        tj.LogDensity(lambda x: -jnp.sum(jnp.sin(x) ** 2)) + tj.Harmonic(1.0, jnp.zeros(3)),
        jnp.array([[0.1], [0.3], [0.2]]),
    ),
    "interpolation": (
        tj.Interpolation(tj.Gaussian(jnp.zeros(3)), tj.Harmonic(2.0, jnp.ones(3))),
        jnp.array([0.2, 0.4, 0.3]),
    ),
}


@pytest.mark.parametrize("name", POTENTIALS)
def test_forward_along_the_control_is_the_derivative_in_reverse(name):
    potential, controls = POTENTIALS[name]
    keys = jax.random.split(KEY, 4)
    x, before, after = jax.random.normal(keys[0], (7, 3)), *jax.random.normal(keys[1], (2, 7))
    point = (potential, x, *controls)
    cotangents = before, after, jax.random.normal(keys[2], (7, 3))

    def pulled(function):
        arrays, rest = eqx.partition(point, eqx.is_inexact_array)
        _, pull = jax.vjp(lambda arrays: function(eqx.combine(arrays, rest)), arrays)
        return pull(cotangents)

    close(pulled(evaluate_along_control), pulled(lambda point: evaluate_force(*point)), 1e-12)
