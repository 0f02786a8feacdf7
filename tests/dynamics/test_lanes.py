"""A block as one kernel of a GPU moves the paths as any other: here by JAX's own operations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.components import POTENTIALS
from thermojax.dynamics import lanes, reverse_lanes

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
    **POTENTIALS,
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
    advanced = reverse_lanes.advanced

    def watched(*arguments):
        made.append(advanced(*arguments))
        return made[-1]

    monkeypatch.setattr(reverse_lanes, "advanced", watched)
    return made


def compared(run, calls, monkeypatch, kernels=True):
    """`run` by kernels, where `kernels`, and without, both as a GPU would."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(lanes, "are_compiled", lambda: False)
    jax.clear_caches()
    plain = jax.jit(run)(KEY)
    assert not calls
    monkeypatch.setattr(lanes, "are_compiled", lambda: True)
    jax.clear_caches()
    found = jax.jit(run)(KEY)
    jax.clear_caches()
    assert calls and all((call is not None) == kernels for call in calls)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)  # float32 noise


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_is_the_same_motion(name, calls, monkeypatch):
    """Position, momentum and every entry of the ledger, for more paths than one program holds."""
    potential, template, start, end = CASES[name]
    system = tj.Underdamped(potential, tj.Linear(start, end, duration=1.0), tj.Bath(0.7, 1.3, 1.5))
    draw = lambda x: 0.5 * jax.random.normal(KEY, (150, *x.shape), x.dtype)
    starts = jax.tree.map(draw, template)

    def run(key):
        out = tj.simulate(system, key, time_steps=11, initial=starts)
        return out.position, out.momentum, out.ledger

    compared(run, calls, monkeypatch)


@pytest.mark.parametrize("name", ["double well pair", "gaussian", "coupled", "rows", "field"])
def test_its_derivative_is_the_same(name, calls, monkeypatch):
    """By the schedule, the potential, the bath, the duration and the start."""
    potential, template, start, end = CASES[name]
    protocol = tj.PiecewiseLinear.between(start, end, 1.0, knots=3)
    system = tj.Underdamped(potential, protocol, tj.Bath(0.7, 1.3, 1.5))
    draw = lambda x: 0.5 * jax.random.normal(KEY, (150, *x.shape), x.dtype)
    starts = jax.tree.map(draw, template)

    def run(key):
        def cost(trained):
            system, starts = trained
            out = tj.simulate(system, key, time_steps=10, initial=starts)
            return out.mean(out.ledger.total_work**2 + out.ledger.heat).value

        return eqx.filter_grad(cost)((system, starts))

    compared(run, calls, monkeypatch)
