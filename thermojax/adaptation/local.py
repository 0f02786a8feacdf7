"""Tuning chains whose proposals have steps of their own: masses, and the step of wide places."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from .._tree import batch_of
from ..sampling import LocalStep, advance
from ..sampling.chain import begin
from ..sampling.initial import Start
from ..sampling.metropolis import squared_angle
from .stages import CHUNK, AbstractWay, Setting, system_of


class Local(AbstractWay):
    """Proposals of CHUNK steps, in the course of which a momentum is forgotten once.

    Masses and step are those of a typical place, geometric means: others would be ruled by the
    narrowest place of any chain. In a quadratic well it makes no difference.
    """

    local: LocalStep
    stride: ClassVar[int] = CHUNK

    def first_setting(self, system, mass, unravel, control, state):
        setting = Setting(mass, jnp.ones((), mass.dtype), jnp.asarray(1 / CHUNK, mass.dtype))
        kept = jax.tree.map(lambda x: x[None], state.position)
        return self.next_setting(system, setting, mass, None, unravel, control, state, kept)

    def chunk(self, system, setting, unravel, control, state, key):
        ready = system_of(system, setting, unravel, control)
        chain, _ = begin(ready, key, Start(state=state, batch=batch_of(state.position)))
        moved = advance(ready, chain, dt=setting.step, steps=CHUNK, adjusted=self.local)
        positions = jax.tree.map(lambda x: x[None], moved.position)
        return moved.state, positions, jnp.zeros_like(setting.step), moved.accepted > 0

    def next_step(self, step, error, fraction, place):
        return step

    def curvature(self, gradient, values):
        typical = lambda x: jnp.mean(jnp.log(jnp.abs(x) + 1e-30), axis=(0, 1))
        return jnp.exp(typical(gradient) - typical(values))

    def next_setting(self, system, setting, mass, record, unravel, control, state, kept):
        moved = dataclasses.replace(setting, mass=mass)
        ready, one = system_of(system, moved, unravel, control), jnp.ones_like(setting.step)
        frequencies = jax.vmap(lambda x: squared_angle(ready, x, control, 0.0, one))(kept)
        least = jnp.finfo(frequencies.dtype).tiny
        slowness = jnp.exp(-0.5 * jnp.mean(jnp.log(jnp.maximum(frequencies, least))))
        return dataclasses.replace(moved, step=self.local.angle * slowness)
