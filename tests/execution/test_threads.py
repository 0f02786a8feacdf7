"""A block as one kernel of a GPU moves the paths as any other: here by JAX's own operations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.components import INTEGRATORS, POTENTIALS
from thermojax._platform import platform
from thermojax.dynamics import GridBrownianPath, key_words
from thermojax.execution import layout
from thermojax.execution.gpu import blocks

KEY = jax.random.key(4)
SYMMETRIC = jnp.array([[1.0, 0.3, 0.0], [0.3, 2.0, 0.1], [0.0, 0.1, 1.5]])


class Coupled(tj.AbstractPotential):
    """Coordinates picked one by one, and a small matrix."""

    couplings: jax.Array

    def energy(self, x, control):
        first, *_, last = x
        wells = jnp.sum((x**2 - 1) ** 2) + jnp.logaddexp(first, jnp.sin(last) * control)
        return wells + 0.5 * x @ self.couplings @ x


class Field(tj.AbstractPotential):
    """Rows of coordinates, a row of masses, and a number beside them."""

    weights: jax.Array

    def energy(self, x, control):
        field, shift = x["field"], x["shift"]
        forces = self.weights * field + jnp.arange(8.0) * control
        wells = jnp.sum(jnp.cosh(0.3 * field) * (1 + 0.1 * shift**2)) + jnp.sum(forces)
        return wells + jnp.max(jnp.abs(field)) + jnp.sum(shift**2)


CASES = {
    **{name: POTENTIALS[name] for name in ("mixture", "gaussian", "logistic posterior", "pytree")},
    "coupled": (Coupled(SYMMETRIC), jnp.zeros(3), 0.0, 1.0),
    "rows": (tj.Harmonic(jnp.linspace(1.0, 2.0, 8), control="center"), jnp.zeros(8), 0.0, 1.0),
    "field": (
        Field(jnp.linspace(0.5, 1.0, 8)),
        {"field": jnp.zeros((2, 8)), "shift": jnp.zeros(1)},
        0.2,
        1.0,
    ),
}


@pytest.fixture
def calls(monkeypatch):
    """Kernels wherever there can be some; which runs had any."""
    made = []
    advance = blocks.advance_in_threads

    def recorded(*arguments):
        made.append(advance(*arguments))
        return made[-1]

    monkeypatch.setattr(blocks, "advance_in_threads", recorded)
    return made


def compared(run, calls, monkeypatch):
    """`run` by kernels and without, both as a GPU would."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(layout, "there_is_triton", lambda: False)
    jax.clear_caches()
    plain = jax.jit(run)(KEY)
    assert not calls
    monkeypatch.setattr(layout, "there_is_triton", lambda: True)
    jax.clear_caches()
    found = jax.jit(run)(KEY)
    jax.clear_caches()
    assert calls and all(call is not None for call in calls)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)  # float32 noise


def start_of(name):
    return jax.tree.map(lambda x: 0.5 * jax.random.normal(KEY, (150, *x.shape)), CASES[name][1])


def quick(cases, *names):
    """All of the cases, those that are not named with the long tests."""
    slow = lambda name: () if name in names else pytest.mark.slow
    return [pytest.param(name, marks=slow(name)) for name in cases]


@pytest.mark.parametrize("name", quick(CASES, "mixture", "pytree", "field"))
def test_a_kernel_is_the_same_motion(name, calls, monkeypatch):
    """Position, momentum and every entry of the ledger, for more paths than one program holds."""
    potential, _, start, end = CASES[name]
    system = tj.Underdamped(potential, tj.Linear(start, end, duration=1.0), tj.Bath(0.7, 1.3, 1.5))

    def run(key):
        out = tj.simulate(system, key, time_steps=11, initial=start_of(name))
        return out.position, out.momentum, out.ledger

    compared(run, calls, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", quick(["gaussian", "coupled", "field"], "coupled"))
def test_its_derivative_is_the_same(name, calls, monkeypatch):
    """By the schedule, the potential, the bath, the duration and the start."""
    potential, _, start, end = CASES[name]
    protocol = tj.PiecewiseLinear.between(start, end, 1.0, knots=3)
    system = tj.Underdamped(potential, protocol, tj.Bath(0.7, 1.3, 1.5))

    def run(key):
        def cost(trained):
            system, starts = trained
            out = tj.simulate(system, key, time_steps=10, initial=starts)
            return out.mean(out.ledger.total_work**2 + out.ledger.heat).value

        return eqx.filter_grad(cost)((system, start_of(name)))

    compared(run, calls, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", quick(["OBABO", "ABOBA"], "OBABO"))
def test_all_that_a_run_can_have(name, calls, monkeypatch):
    """Two normals a step, an odd number of them, a drive, a bath in time, a path that diverges.

    One of them freezes; its neighbors' derivatives do not notice.
    """
    hot = tj.Linear(0.5, 1.0, duration=1.0)
    heavy = tj.Linear(jnp.ones(2), jnp.array([1.0, 2.0]), duration=1.0)
    drive = lambda x, control: jnp.stack([x[1], -x[0]]) * control
    starts = jnp.linspace(-1.0, 1.0, 12).reshape(6, 2).at[4].set(40.0)

    def run(key):
        def cost(stiffness):
            potential = tj.DoubleWell(stiffness)
            protocol = tj.Linear(0.0, 1.0, duration=1.0)
            system = tj.Underdamped(potential, protocol, tj.Bath(hot, 1.0, heavy), drive=drive)
            integrator = INTEGRATORS[name]
            out = tj.simulate(system, key, time_steps=9, initial=starts, integrator=integrator)
            return out.mean(out.ledger.total_work).value, out.ledger

        return jax.value_and_grad(cost, has_aux=True)(1.5)

    (_, ledger), gradient = jax.jit(run)(KEY)
    assert list(ledger.diverged) == [False] * 4 + [True, False] and np.isfinite(gradient)
    compared(run, calls, monkeypatch)


def test_a_chain_that_goes_on_at_an_odd_step_under_vmap(calls, monkeypatch):
    system = tj.Overdamped(tj.DoubleWell(), tj.Constant(0.3, duration=1.0), tj.Bath())

    def run(key):
        def chain(control):
            own = system.replace(protocol=tj.Constant(control, duration=1.0))
            chain = tj.start(own, key, initial=jnp.linspace(-1.0, 1.0, 9)[:, None])
            for steps in (3, 4):
                chain = tj.advance(own, chain, dt=0.01, steps=steps)
            return chain.position, chain.ledger

        return jax.vmap(chain)(jnp.array([0.0, 0.5]))

    compared(run, calls, monkeypatch)


@pytest.mark.parametrize("name", quick(["gaussian", "rows"], "rows"))
def test_a_step_of_every_paths_own(name, calls, monkeypatch):
    system = tj.Underdamped(CASES[name][0], tj.Constant(0.3), tj.Bath(0.7, 1.3, 1.5))

    def run(key):
        chain = tj.start(system, key, initial=start_of(name))
        chain = tj.advance(system, chain, dt=0.3, steps=7, adjusted=tj.LocalStep())
        return chain.position, chain.ledger

    compared(run, calls, monkeypatch)


@pytest.mark.parametrize("antithetic", [False, True])
def test_a_thread_draws_the_same_normals(antithetic):
    shape = {
        "a": jax.ShapeDtypeStruct((4, 2), jnp.float64),
        "b": jax.ShapeDtypeStruct((4, 3), jnp.float64),
    }
    path = GridBrownianPath(
        key_words(KEY), shape, jnp.ones(()), first_particle=6, antithetic=antithetic
    )
    (normals,) = path.normals(2, 2)
    particles = jnp.arange(6, 10, dtype=jnp.uint32)[:, None]
    for place, (name, size) in enumerate({"a": 2, "b": 3}.items()):
        found = path.pair(place, size, particles, jnp.arange(size), np.uint32(1))
        np.testing.assert_array_equal(jnp.stack(found), normals[name])


def test_where_jax_computes(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cuda")
    assert platform() == "gpu"
    for device in ("cpu", jax.devices("cpu")[0]):
        with jax.default_device(device):
            assert platform() == "cpu"


class Stack(tj.AbstractPotential):
    """A loop, which no kernel has."""

    def energy(self, x, control):
        return jax.lax.fori_loop(0, 3, lambda _, y: y + jnp.sum(x**2) * control, 0.0)


def test_what_is_no_kernel_goes_another_way(calls, monkeypatch):
    """A loop within the energy; too many coordinates."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(layout, "there_is_triton", lambda: True)
    for potential, dim in [(Stack(), 2), (tj.Harmonic(1.0, jnp.zeros(9)), 9)]:
        system = tj.Underdamped(potential, tj.Constant(1.0, duration=1.0), tj.Bath())
        out = tj.simulate(system, KEY, time_steps=4, initial=jnp.ones((5, dim)))
        assert calls.pop() is None and bool(jnp.all(jnp.isfinite(out.position)))
        calls.clear()
