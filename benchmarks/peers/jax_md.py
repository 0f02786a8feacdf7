"""Peer: jax-md's `simulate.nvt_langevin`, BAOAB."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ..cases import STEP, Case
from ..race import Program
from .peer import AbstractPeer, Outcome


class JaxMD(AbstractPeer):
    """The batch as particles that do not meet, in one state; the stiffness a keyword of the step.

    jax-md keeps no work: the two energies of each switch are booked here, outside of its step.
    """

    name = "jax-md nvt_langevin"
    packages = (("jax-md", "jax_md"),)
    least, least_wide, least_single = 1.8, 1.5, 1.8

    def build(self, case: Case, steps, seed=0):
        from jax_md import simulate, space

        def energy(position, stiffness, **_):
            return 0.5 * stiffness * jnp.sum(position**2)

        def of_paths(position, stiffness):
            return 0.5 * stiffness * jnp.sum(position**2, axis=-1)

        _, shift = space.free()
        init, apply = simulate.nvt_langevin(energy, shift, dt=STEP, kT=1.0, gamma=1.0)
        held, kicks = (jnp.asarray(part) for part in case.controls())

        def run(state, key):
            x = state.position
            work = of_paths(x, held[1]) - of_paths(x, held[0])
            md = init(key, x, mass=1.0, momenta=state.momentum, stiffness=kicks[0])

            def step(carry, row):
                md, work = carry
                now, new, kick = row
                md = apply(md, stiffness=kick)  # pyright: ignore[reportCallIssue]
                return (md, work + of_paths(md.position, new) - of_paths(md.position, now)), None

            rows = (held[1 : steps + 1], held[2 : steps + 2], kicks[1 : steps + 1])
            (md, work), _ = jax.lax.scan(step, (md, work), rows)
            return md.position, md.momentum, work

        _, state, key = case.inputs(jax.random.key(seed))
        program = Program.build(run, (state, key))
        return lambda: Outcome(*program())
