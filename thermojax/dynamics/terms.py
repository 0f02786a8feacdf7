"""The Langevin equation as diffrax terms. Time is counted in steps of the timetable.

y = (position, momentum, ledger), batch inside. Any fixed-step Ito solver of diffrax accepts these
terms; our own read the same parts, but split the motion exactly and keep the ledger.
"""

from __future__ import annotations

import diffrax as dfx
import jax
import jax.numpy as jnp

from .._tree import like_position
from ..potential import batched_gradient
from ..protocol import AbstractProtocol, values_at
from ..system import AbstractSystem, Overdamped
from .forces import Forces
from .noise import AbstractStepNoise
from .timetable import Timetable, safe_sqrt


def zeros(tree):
    return jax.tree.map(jnp.zeros_like, tree)


def bath_at(system: AbstractSystem, t, position):
    """(temperature, friction, mass) at time t; friction and mass spread over the position."""

    def at(value):
        if isinstance(value, AbstractProtocol):
            return values_at(value, jnp.clip(t, 0, value.duration)[None])[0]
        return value

    bath = system.bath
    friction, mass = (
        like_position(at(bath.friction), position),
        like_position(at(bath.mass), position),
    )
    return at(bath.temperature), friction, mass


class DriftTerm(dfx.AbstractTerm):
    """dx = p/m dt, dp = (-grad U + f - gamma p/m) dt; overdamped dx = (-grad U + f)/gamma dt."""

    system: AbstractSystem
    table: Timetable

    def vf(self, t, y, args):
        position, momentum, ledger = y
        control = self.table.control[jnp.clip(t, 0, self.table.steps).astype(int)]
        gradient = batched_gradient(self.system.potential, position, control)
        drive = Forces(self.system).drive(position, control)
        force = jax.tree.map(jnp.negative, gradient)
        if drive is not None:
            force = jax.tree.map(jnp.add, force, drive)
        _, friction, mass = bath_at(self.system, t * self.table.h, position)
        if isinstance(self.system, Overdamped):
            velocity = jax.tree.map(jnp.divide, force, friction)
            return velocity, zeros(momentum), zeros(ledger)
        velocity = jax.tree.map(jnp.divide, momentum, mass)
        change = jax.tree.map(lambda f, g, v: f - g * v, force, friction, velocity)
        return velocity, change, zeros(ledger)

    def contr(self, t0, t1, **kwargs):
        return (t1 - t0) * self.table.h

    def prod(self, vf, control):
        return jax.tree.map(lambda leaf: leaf * jnp.asarray(control, leaf.dtype), vf)


class NoiseTerm(dfx.AbstractTerm):
    """sqrt(2 gamma kT) dW on the momentum; overdamped sqrt(2 kT / gamma) dW on the position."""

    system: AbstractSystem
    table: Timetable
    path: AbstractStepNoise

    def vf(self, t, y, args):
        position, momentum, ledger = y
        temperature, friction, _ = bath_at(self.system, t * self.table.h, position)
        spread = lambda g, x: jnp.broadcast_to(safe_sqrt(g), x.shape)
        if isinstance(self.system, Overdamped):
            amplitude = jax.tree.map(
                lambda g, x: spread(2 * temperature / g, x), friction, position
            )
            return amplitude, zeros(momentum), zeros(ledger)
        amplitude = jax.tree.map(lambda g, x: spread(2 * temperature * g, x), friction, position)
        return zeros(position), amplitude, zeros(ledger)

    def contr(self, t0, t1, **kwargs):
        return self.path.increment(t0, t1, self.table.h)

    def prod(self, vf, control):
        on_position, on_momentum, ledger = vf
        times = lambda amplitude: jax.tree.map(jnp.multiply, amplitude, control)
        return times(on_position), times(on_momentum), ledger
