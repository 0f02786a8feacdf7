"""The ways through a block give the same paths: what a GPU does, done on whatever is here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.components import INTEGRATORS
from thermojax.dynamics import block

KEY = jax.random.key(12)


@pytest.mark.parametrize(("name", "dim", "written"), [("BAOAB", 1, 4), ("OBABO", 3, 2)])
def test_substeps_written_out_are_the_same_substeps(name, dim, written, monkeypatch):
    """Values and gradients, through a remainder, and for a chain that goes on at an odd step."""
    starts = jnp.linspace(-1.0, 1.0, 6 * dim).reshape(6, dim)
    state = tj.State(starts, 0.5 - starts)
    well = tj.Harmonic(1.0, jnp.zeros(dim), control="stiffness")

    def run(values):
        protocol = tj.PiecewiseLinear(values, 4.0, 0.25, 1.0)
        driven = tj.Underdamped(well, protocol, tj.Bath())
        chain = tj.start(driven, KEY, initial=state)
        chain = tj.advance(driven, chain, dt=0.1, steps=3, integrator=INTEGRATORS[name])
        chain = tj.advance(driven, chain, dt=0.1, steps=25, integrator=INTEGRATORS[name])
        return jnp.mean(chain.ledger.total_work), chain

    def both(values):
        (_, chain), gradient = jax.value_and_grad(run, has_aux=True)(values)
        return gradient, chain.position, chain.momentum, chain.ledger

    values = jnp.linspace(0.4, 0.9, 5)
    plain = jax.jit(both)(values)
    jax.clear_caches()
    monkeypatch.setattr(block, "written_out", lambda size, _: np.gcd(size, written))
    together = jax.jit(both)(values)
    jax.clear_caches()
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)  # float32 noise
