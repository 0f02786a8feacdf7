"""The Langevin equation as diffrax terms. Time is counted in steps of the timetable.

y = (position, momentum, ledger), batch inside. Any fixed-step Ito solver of diffrax accepts these
terms; our own read the same parts, but split the motion exactly and keep the ledger.
"""

from __future__ import annotations

import dataclasses

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp

from .._tree import like_position
from ..potential import batched_gradient
from ..protocol import AbstractProtocol, values_at
from ..system import AbstractSystem, Overdamped
from .equations import Traits
from .grid_point import met, met_by_one
from .noise import GridBrownianPath
from .order import Order
from .residuals import kept
from .timetable import Coefficients, Timetable, safe_sqrt


def unwrapped(terms) -> tuple[DriftTerm, NoiseTerm]:
    """The two terms, without the wrapper that diffrax puts around each."""
    drift, noise = (getattr(term, "term", term) for term in terms.terms)
    return drift, noise


def on_arrays(function, tree):
    """`function` of every array of a tree, the rest as it is."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.tree.map(function, arrays), rest)


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
    # Whether every array has a leading axis, with a copy for each device (`devices.py`).
    copies: bool = eqx.field(static=True, default=False)
    order: Order = eqx.field(static=True, default=Order.FREE)  # of the arrays of a loop
    by_one: bool = eqx.field(static=True, default=False)  # which derivative `meet` has

    def own(self) -> DriftTerm:
        """The first copy; on each device it is the only one."""
        if not self.copies:
            return self
        return dataclasses.replace(on_arrays(lambda leaf: leaf[0], self), copies=False)

    def meet(self, position, old, new, kick):
        """U(x, old), U(x, new) and grad U(x, kick): all that a grid point needs."""
        point = self.system.potential, position, old, new, kick
        before, after, gradient = met_by_one(point) if self.by_one else met(point)
        return before, after, self.order.placed(gradient)

    def kept(self, tree):
        """Positions and momenta of a substep as they are, for reverse mode to begin from."""
        return kept(tree, self.order)

    def driven(self, position, control):
        """The non-conservative force on the whole batch, None where there is none."""
        if self.system.drive is None:
            return None
        return jax.vmap(self.system.drive, in_axes=(0, None))(position, control)

    def coefficients(self, i) -> Coefficients:
        """Those of step i."""
        if not self.table.scheduled:
            return self.table.bath
        return jax.tree.map(lambda leaf: leaf[i], self.table.bath)

    def vf(self, t, y, args):
        if self.copies:
            return self.own().vf(t, y, args)
        position, momentum, ledger = y
        control = self.table.kick[jnp.clip(t, 0, self.table.steps).astype(int)]
        gradient = batched_gradient(self.system.potential, position, control)
        drive = self.driven(position, control)
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
        return (t1 - t0) * self.own().table.h

    def prod(self, vf, control):
        return jax.tree.map(lambda leaf: leaf * jnp.asarray(control, leaf.dtype), vf)


class NoiseTerm(dfx.AbstractTerm):
    """sqrt(2 gamma kT) dW on the momentum; overdamped sqrt(2 kT / gamma) dW on the position."""

    system: AbstractSystem
    table: Timetable
    path: GridBrownianPath
    traits: Traits = eqx.field(static=True, default=Traits())  # of the motion that it drives

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
        return self.path.evaluate(t0, t1)

    def prod(self, vf, control):
        on_position, on_momentum, ledger = vf
        times = lambda amplitude: jax.tree.map(jnp.multiply, amplitude, control)
        return times(on_position), times(on_momentum), ledger
