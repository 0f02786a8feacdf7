"""The ways through a block give the same paths: what a GPU does, done on whatever is here."""

import math

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.components import INTEGRATORS
from thermojax.execution import solving

KEY = jax.random.key(12)


@pytest.mark.parametrize(
    ("name", "dim", "written"),
    [("BAOAB", 1, 4), pytest.param("OBABO", 3, 2, marks=pytest.mark.slow)],
)
def test_steps_written_out_are_the_same_steps(name, dim, written, monkeypatch):
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

    choose = solving.choose_layout

    def unrolled(work, steps, *options):
        return choose(work, steps, *options)._replace(unrolled=math.gcd(steps, written))

    values = jnp.linspace(0.4, 0.9, 5)
    plain = jax.jit(both)(values)
    jax.clear_caches()
    monkeypatch.setattr(solving, "choose_layout", unrolled)
    together = jax.jit(both)(values)
    jax.clear_caches()
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)  # float32 noise


class Bump(tj.AbstractPotential):
    """A well with a spike of an energy beyond the limit, which paths may come out of again."""

    height: float = 1e90

    def energy(self, x, control):
        spike = jnp.abs(x[0] - control) < 0.25
        return 0.5 * x[0] ** 2 + jax.lax.stop_gradient(jnp.where(spike, self.height, 0.0))


@pytest.mark.parametrize("name", ["BAOAB", "OBABO"])
def test_an_optimistic_block_freezes_the_same_paths(name):
    """Paths that meet the spike freeze in that substep, also where they would have come out again.

    Forward runs for reverse mode by checkpoints look at the end of a block, and take it anew where
    a path has diverged; the direct adjoint freezes within each substep. The first path is frozen
    from the first block on.
    """
    starts = jnp.linspace(-2.0, 2.0, 40).at[0].set(3.0)[:, None]
    state = tj.State(starts, jnp.zeros_like(starts).at[0].set(1.0))

    def run(place, **options):
        protocol = tj.Constant(place, duration=3.0)
        system = tj.Underdamped(Bump(), protocol, tj.Bath())
        integrator = INTEGRATORS[name]
        return tj.simulate(system, KEY, dt=0.05, initial=state, integrator=integrator, **options)

    places = jnp.array([3.05, 1.0, 50.0])  # meets the first path, some paths, none
    optimistic = jax.jit(jax.vmap(run))(places)
    frozen = jax.jit(lambda x: jax.vmap(lambda p: run(p, adjoint=dfx.DirectAdjoint()))(x))(places)
    diverged = optimistic.ledger.diverged.sum(axis=1)
    assert diverged[0] >= 1 and 5 < diverged[1] < 40 and diverged[2] == 0
    for a, b in zip(jax.tree.leaves(optimistic), jax.tree.leaves(frozen), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
    # Without a spike these paths go on, and far from where they froze.
    assert np.any(
        np.abs(optimistic.position[1] - optimistic.position[2])[optimistic.ledger.diverged[1]] > 0.5
    )
