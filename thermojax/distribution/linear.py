"""A quadratic energy makes the Langevin equation linear: z' = A z + a + noise, and laws Gaussian.

z is the position, flattened, and underdamped the momentum after it, in units of its own: numbers of
the order of one whatever units the user has.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._tree import like_position
from ..dynamics import bath_at
from ..potential import LOG_2PI
from ..system import AbstractSystem, Overdamped
from .quadratic import require_quadratic


class Quadratic(eqx.Module):
    """The function constant + linear . z + z^T matrix z / 2."""

    constant: Float[Array, ""]
    linear: Float[Array, " n"]
    matrix: Float[Array, "n n"]

    def mean(self, mean, covariance):
        """The average over N(mean, covariance)."""
        quadratic = mean @ self.matrix @ mean + jnp.sum(self.matrix * covariance)
        return self.constant + self.linear @ mean + 0.5 * quadratic

    def equilibrium(self, temperature):
        """Mean and covariance of exp(-H/kT)/Z, and its free energy -kT ln Z."""
        root = jnp.linalg.cholesky(self.matrix)
        mean = -jax.scipy.linalg.cho_solve((root, True), self.linear)
        identity = jnp.eye(len(self.linear), dtype=self.linear.dtype)
        covariance = temperature * jax.scipy.linalg.cho_solve((root, True), identity)
        logdet = 2 * jnp.sum(jnp.log(jnp.diagonal(root)))
        entropy = 0.5 * (len(self.linear) * (LOG_2PI + jnp.log(temperature)) - logdet)
        lowest = self.constant + 0.5 * self.linear @ mean
        return mean, covariance, lowest - temperature * entropy


class Forces(eqx.Module):
    """The total force, matrix x + constant, and the drive in it, at one control."""

    matrix: Float[Array, "dim dim"]  # the total force -grad U + f = matrix (x - place) + constant
    constant: Float[Array, " dim"]
    drive_matrix: Float[Array, "dim dim"]  # the drive alone
    drive_constant: Float[Array, " dim"]


class Units(eqx.Module):
    """The units of position, momentum and energy, and the origin; time is in the user's unit."""

    origin: Float[Array, " dim"]
    length: Float[Array, " dim"]
    momentum: Float[Array, " dim"]
    energy: Float[Array, ""]


class LinearLangevin(eqx.Module):
    """The linear equations of a system whose potential is quadratic in the position."""

    system: AbstractSystem
    template: PyTree[Array]
    units: Units

    @property
    def overdamped(self) -> bool:
        return isinstance(self.system, Overdamped)

    @property
    def scale(self) -> Float[Array, " n"]:
        """The units of z."""
        units = self.units
        return units.length if self.overdamped else jnp.concatenate([units.length, units.momentum])

    @property
    def offset(self) -> Float[Array, " n"]:
        """The position and momentum at z = 0, in the user's units."""
        rest = [] if self.overdamped else [jnp.zeros_like(self.units.origin)]
        return jnp.concatenate([self.units.origin, *rest])

    def flat(self, function):
        """A function of the position as one of the flat position in these units."""
        _, restore = ravel_pytree(self.template)
        units = self.units
        return lambda q, *rest: function(restore(units.origin + units.length * q), *rest)

    @property
    def origin(self) -> Float[Array, " dim"]:
        return jnp.zeros_like(self.units.origin)

    def potential_energy(self, control, place=None) -> Quadratic:
        """U at a control, a quadratic in the position relative to `place` (0 when left out)."""
        place = self.origin if place is None else place
        # Not divided before it is derived: the energy's own rounding is that of its own units.
        energy = self.flat(self.system.potential.energy)
        value, linear = jax.value_and_grad(energy)(place, control)
        found = Quadratic(value, linear, jax.hessian(energy)(place, control))
        return jax.tree.map(lambda leaf: leaf / self.units.energy, found)

    def energy(self, control, mass, place=None) -> Quadratic:
        """H at a control, a quadratic in the position relative to `place` and, underdamped, in the
        momentum."""
        energy = self.potential_energy(control, place)
        if self.overdamped:
            return energy
        momentum = self.units.momentum
        kinetic = jnp.diag((momentum / mass) * (momentum / self.units.energy))
        matrix = jax.scipy.linalg.block_diag(energy.matrix, kinetic)
        return Quadratic(energy.constant, jnp.concatenate([energy.linear, self.origin]), matrix)

    def forces(self, energy: Quadratic, control, place=None) -> Forces:
        """The total force where H is `energy`, of the position relative to `place`."""
        d = len(self.origin)
        matrix, linear = energy.matrix[:d, :d], energy.linear[:d]
        if self.system.drive is None:
            return Forces(-matrix, -linear, jnp.zeros_like(matrix), jnp.zeros_like(linear))
        place = self.origin if place is None else place
        scale = self.units.length / self.units.energy
        drive = lambda q: ravel_pytree(self.flat(self.system.drive)(q, control))[0] * scale
        slope, push = jax.jacobian(drive)(place), drive(place)
        return Forces(slope - matrix, push - linear, slope, push)

    def temperature(self, t):
        """kT at time t."""
        return bath_at(self.system, t, self.template)[0] / self.units.energy

    def mass(self, t):
        """The mass along the flat position at time t, in the user's units."""
        return self.spread(bath_at(self.system, t, self.template)[2])

    def spread(self, value):
        """A bath parameter as a vector along the flat position."""
        value = like_position(value, self.template)
        spread = lambda v, x: jnp.broadcast_to(v, x.shape)
        return ravel_pytree(jax.tree.map(spread, value, self.template))[0]

    def parameters_outside(self, end: str):
        """(control, mass, temperature) before (`initial`) or after (`final`) the run."""
        at = lambda value: getattr(value, end, value)
        bath = self.system.bath
        control, mass = jnp.asarray(at(self.system.protocol)), self.spread(at(bath.mass))
        return control, mass, at(bath.temperature) / self.units.energy

    def parameters_at(self, t):
        """(control, mass, temperature) at time t of the run."""
        return self.system.protocol(t), self.mass(t), self.temperature(t)

    def at(self, t, place=None):
        """H at time t of the run."""
        return self.energy(self.system.protocol(t), self.mass(t), place)

    def energy_and_rate(self, t, place=None) -> tuple[Quadratic, Quadratic]:
        """H at time t, and its derivative by time at fixed z."""
        # Of a whole run first: a power may leave the range of the numbers where an energy does not.
        duration = self.system.protocol.duration
        energy, change = jax.jvp(lambda t: self.at(t, place), (t,), (duration,))
        return energy, jax.tree.map(lambda leaf: leaf / duration, change)

    def energy_change(self, before, after, place=None) -> Quadratic:
        """The difference in H between one (control, mass) and another."""
        both = [jnp.stack(pair) for pair in zip(before, after, strict=True)]
        energy = jax.vmap(lambda control, mass: self.energy(control, mass, place))(*both)
        return jax.tree.map(lambda leaf: leaf[1] - leaf[0], energy)

    def relative_to(self, z, place):
        """z with its positions relative to `place`."""
        return z.at[: len(place)].add(-place)

    def coefficients(self, t):
        """(velocity, push, damping), each `(dim,)`, of dx/dt = velocity p and dp/dt = push F -
        damping p; overdamped the first is the mobility, dx/dt = mobility F.
        """
        units = self.units
        _, friction, mass = bath_at(self.system, t, self.template)
        friction, mass = self.spread(friction), self.spread(mass)
        if self.overdamped:
            return (units.energy / units.length) / (friction * units.length), friction, friction
        velocity = units.momentum / units.length / mass
        return velocity, units.energy / units.length / units.momentum, friction / mass

    def equation(self, t, forces: Forces):
        """(A, a, D): z' = A z + a, and the covariance grows by 2 D."""
        temperature, matrix, constant = self.temperature(t), forces.matrix, forces.constant
        if self.overdamped:
            row, _, _ = self.coefficients(t)
            return row[:, None] * matrix, row * constant, jnp.diag(temperature * row)
        velocity, push, damping = self.coefficients(t)
        zero, none = jnp.zeros_like(matrix), jnp.zeros_like(push)
        drift = jnp.block(
            [[zero, jnp.diag(velocity)], [push[:, None] * matrix, -jnp.diag(damping)]]
        )
        # kT m damping, in units of the momentum.
        spread = damping * temperature * (push / velocity)
        return (
            drift,
            jnp.concatenate([none, push * constant]),
            jnp.diag(jnp.concatenate([none, spread])),
        )

    def momentum_kick(self, strength):
        """(K, k): the momentum kick takes z to z - K z - k, for control = strength delta(t)."""
        _, change = jax.jvp(self.potential_energy, (self.system.protocol.initial,), (strength,))
        push = self.units.energy / self.units.length / self.units.momentum
        zero = jnp.zeros_like(change.matrix)
        return (
            jnp.block([[zero, zero], [push[:, None] * change.matrix, zero]]),
            jnp.concatenate([self.origin, push * change.linear]),
        )


def linear_langevin(system: AbstractSystem, template) -> LinearLangevin:
    """The linear equations of a system, in units of its own.

    **Raises:** ValueError for a potential that is not quadratic, or a drive that is not linear
    (where values are known outside of jit).
    """
    require_quadratic(system, template)
    return LinearLangevin(system, template, own_units(system, template))


def in_given_units(system: AbstractSystem, template) -> LinearLangevin:
    """The linear equations in the user's units, without a check that the energy is quadratic."""
    flat, _ = ravel_pytree(template)
    one = jnp.ones_like(flat)
    return LinearLangevin(system, template, Units(jnp.zeros_like(flat), one, one, one[0]))


@eqx.filter_jit
def own_units(system: AbstractSystem, template) -> Units:
    """kT, the widths of the equilibrium before the protocol, and its center.

    A coordinate without equilibrium is counted in what it diffuses within the run.
    """
    plain = in_given_units(system, template)
    flat, _ = ravel_pytree(template)
    plain = eqx.tree_at(lambda langevin: langevin.units.origin, plain, flat)
    initial = lambda value: plain.spread(getattr(value, "initial", value))
    bath, protocol = system.bath, system.protocol
    kt = jnp.asarray(getattr(bath.temperature, "initial", bath.temperature), flat.dtype)
    stiff = jnp.diagonal(plain.potential_energy(protocol.initial).matrix)
    well = jnp.sqrt(kt) / jnp.sqrt(jnp.where(stiff > 0, stiff, 1))
    diffused = jnp.sqrt(kt) * jnp.sqrt(protocol.duration / initial(bath.friction))
    length = jnp.where(stiff > 0, well, diffused)
    momentum = jnp.sqrt(kt) * jnp.sqrt(initial(bath.mass))
    units = Units(flat, length, momentum, kt)
    energy = LinearLangevin(system, template, units).potential_energy(protocol.initial)
    center, _, _ = energy.equilibrium(jnp.ones_like(kt))
    origin = flat + length * jnp.where(jnp.all(jnp.isfinite(center)), center, 0)
    return jax.lax.stop_gradient(Units(origin, length, momentum, kt))
