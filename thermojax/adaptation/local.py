"""Tuning chains whose proposals have steps of their own: masses, and that of the widest places."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from .._tree import batch_of
from ..sampling import LocalStep, advance
from ..sampling.chain import begin
from ..sampling.initial import Start
from ..sampling.metropolis import turn
from .stages import CHUNK, AbstractWay, Setting, system_of


class Local(AbstractWay):
    """Proposals of CHUNK steps, in the course of which a momentum is forgotten once.

    Masses and step are those of a typical place, geometric means: others would be ruled by the
    narrowest that any chain has met. In a quadratic well it makes no difference.
    """

    local: LocalStep
    stride: ClassVar[int] = CHUNK

    def begun(self, system, mass, unravel, control, state):
        setting = Setting(mass, jnp.ones((), mass.dtype), jnp.asarray(1 / CHUNK, mass.dtype))
        here = jax.tree.map(lambda x: x[None], state.position)
        return self.settled(system, setting, mass, None, unravel, control, state, here)

    def chunk(self, system, setting, unravel, control, state, key):
        ready = system_of(system, setting, unravel, control)
        chain, _ = begin(ready, key, Start(state=state, batch=batch_of(state.position)))
        new = advance(ready, chain, dt=setting.step, steps=CHUNK, adjusted=self.local)
        positions = jax.tree.map(lambda x: x[None], new.position)
        return new.state, positions, jnp.zeros_like(setting.step), new.accepted > 0

    def followed(self, step, error, share, place):
        return step

    def curvature(self, gradient, values):
        typical = lambda x: jnp.mean(jnp.log(jnp.abs(x) + 1e-30), axis=(0, 1))
        return jnp.exp(typical(gradient) - typical(values))

    def settled(self, system, setting, mass, record, unravel, control, state, kept):
        new = dataclasses.replace(setting, mass=mass)
        ready, one = system_of(system, new, unravel, control), jnp.ones_like(setting.step)
        turns = jax.vmap(lambda x: turn(ready, x, control, 0.0, one))(kept)
        least = jnp.finfo(turns.dtype).tiny
        slowness = jnp.exp(-0.5 * jnp.mean(jnp.log(jnp.maximum(turns, least))))
        return dataclasses.replace(new, step=self.local.angle * slowness)
