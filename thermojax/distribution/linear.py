"""A quadratic energy makes the Langevin equation linear: z' = A z + a + noise, and laws Gaussian.

z is the position, flattened, and underdamped the momentum after it.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._component import known
from .._tree import like_position
from ..dynamics import bath_at
from ..potential import LOG_2PI
from ..system import AbstractSystem, Overdamped


class Quadratic(eqx.Module):
    """The function constant + linear . z + z^T matrix z / 2."""

    constant: Float[Array, ""]
    linear: Float[Array, " n"]
    matrix: Float[Array, "n n"]

    def mean(self, mean, covariance):
        """Its average over N(mean, covariance)."""
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
    """What acts on the position x at one control, linear in it."""

    matrix: Float[Array, "dim dim"]  # the total force -grad U + f = matrix x + constant
    constant: Float[Array, " dim"]
    drive_matrix: Float[Array, "dim dim"]  # the drive alone
    drive_constant: Float[Array, " dim"]


class LinearLangevin(eqx.Module):
    """The linear equations of a system whose potential is quadratic in the position.

    **Raises:** ValueError for a potential that is not quadratic, or a drive that is not linear
    (seen at a few random positions, where values are known outside of jit).
    """

    system: AbstractSystem
    template: PyTree[Array]

    def __check_init__(self):
        protocol = self.system.protocol
        for control in (protocol.initial, protocol.final, protocol(0.5 * protocol.duration)):
            require_quadratic(self.system.potential, self.template, control)
            if self.system.drive is not None:
                require_linear(self.system.drive, self.template, control)

    @property
    def overdamped(self) -> bool:
        return isinstance(self.system, Overdamped)

    def flat(self, function):
        """`function` of the flat position."""
        _, restore = ravel_pytree(self.template)
        return lambda q, *rest: function(restore(q), *rest)

    @property
    def origin(self) -> Float[Array, " dim"]:
        return jnp.zeros_like(ravel_pytree(self.template)[0])

    def potential_energy(self, control) -> Quadratic:
        """U at a control, of the position."""
        energy = self.flat(self.system.potential.energy)
        value, linear = jax.value_and_grad(energy)(self.origin, control)
        return Quadratic(value, linear, jax.hessian(energy)(self.origin, control))

    def energy(self, control, mass) -> Quadratic:
        """H at a control: of the position, underdamped also of the momentum."""
        energy = self.potential_energy(control)
        if self.overdamped:
            return energy
        matrix = jax.scipy.linalg.block_diag(energy.matrix, jnp.diag(1 / mass))
        return Quadratic(energy.constant, jnp.concatenate([energy.linear, self.origin]), matrix)

    def forces(self, control) -> Forces:
        """The total force on the position at a control, and the drive in it."""
        energy = self.potential_energy(control)
        if self.system.drive is None:
            nothing = jnp.zeros_like(energy.matrix), jnp.zeros_like(energy.linear)
            return Forces(-energy.matrix, -energy.linear, *nothing)
        drive = lambda q: ravel_pytree(self.flat(self.system.drive)(q, control))[0]
        slope, push = jax.jacobian(drive)(self.origin), drive(self.origin)
        return Forces(slope - energy.matrix, push - energy.linear, slope, push)

    def bath(self, t):
        """(temperature, friction, mass) at time t, the last two (dim,)."""
        temperature, *rest = bath_at(self.system, t, self.template)
        return temperature, *(self.spread(value) for value in rest)

    def spread(self, value):
        """A bath parameter as a vector along the flat position."""
        value = like_position(value, self.template)
        spread = lambda v, x: jnp.broadcast_to(v, x.shape)
        return ravel_pytree(jax.tree.map(spread, value, self.template))[0]

    def outside(self, end: str):
        """H and temperature before (`initial`) or after (`final`) the run."""
        at = lambda value: getattr(value, end, value)
        bath = self.system.bath
        mass = self.spread(at(bath.mass))
        return self.energy(getattr(self.system.protocol, end), mass), at(bath.temperature)

    def at(self, t):
        """H at time t inside of the run."""
        return self.energy(self.system.protocol(t), self.bath(t)[2])

    def switch_work(self, t, before, after, mean, covariance):
        """The work of a control that jumps at time t, at a fixed law."""
        mass = self.bath(t)[2]
        old, new = self.energy(before, mass), self.energy(after, mass)
        return new.mean(mean, covariance) - old.mean(mean, covariance)

    def equation(self, t, forces: Forces):
        """(A, a, D): z' = A z + a, and the covariance grows by 2 D."""
        temperature, friction, mass = self.bath(t)
        matrix, constant = forces.matrix, forces.constant
        if self.overdamped:
            row = 1 / friction
            return row[:, None] * matrix, row * constant, jnp.diag(temperature * row)
        zero, none = jnp.zeros_like(matrix), jnp.zeros_like(friction)
        drift = jnp.block([[zero, jnp.diag(1 / mass)], [matrix, -jnp.diag(friction / mass)]])
        spread = jnp.diag(jnp.concatenate([none, friction * temperature]))
        return drift, jnp.concatenate([none, constant]), spread

    def kick(self, strength):
        """(K, k): the momentum kick takes z to z - K z - k, for control = strength delta(t)."""
        _, change = jax.jvp(self.potential_energy, (self.system.protocol.initial,), (strength,))
        zero = jnp.zeros_like(change.matrix)
        return (
            jnp.block([[zero, zero], [change.matrix, zero]]),
            jnp.concatenate([self.origin, change.linear]),
        )


def require_quadratic(potential, template, control) -> None:
    """The second derivative is the same everywhere; skipped while tracing."""
    found = known(curvatures(potential, template, control, scattered(template, 3)))
    if found is None:
        return
    here, *there = found
    scale = max(1.0, float(np.max(np.abs(here))))
    tolerance = 1e3 * float(jnp.finfo(found.dtype).eps) * scale
    changes = [np.max(np.abs(other - here)) for other in there]
    if not np.all(np.asarray(changes) < tolerance):
        raise ValueError(
            f"{type(potential).__name__} is not quadratic (its second derivative moves by "
            f"{max(changes):.3g} between two positions): the moment equations are exact only for "
            "quadratic energies; use tj.FokkerPlanck in one or two dimensions, or tj.simulate"
        )


def scattered(template, count: int) -> Float[Array, "points dim"]:
    """The flat template, and points around it, each three times as far away as the last."""
    flat, _ = ravel_pytree(template)
    away = [np.zeros(flat.shape)] + [
        np.random.default_rng(seed).normal(size=flat.shape) * 3.0**seed for seed in range(count)
    ]
    return flat + jnp.asarray(np.stack(away), flat.dtype)


# Compiled as wholes: piece by piece these take a hundred small programs.
@eqx.filter_jit
def curvatures(potential, template, control, places):
    """The second derivative of U at flat positions, `(places, dim, dim)`."""
    _, restore = ravel_pytree(template)
    return jax.vmap(jax.hessian(lambda q: potential.energy(restore(q), control)))(places)


@eqx.filter_jit
def slopes(drive, template, control, places):
    """The Jacobian of a drive at flat positions, `(places, dim, dim)`."""
    _, restore = ravel_pytree(template)
    return jax.vmap(jax.jacobian(lambda q: ravel_pytree(drive(restore(q), control))[0]))(places)


def require_linear(drive, template, control) -> None:
    """The Jacobian of the drive is the same everywhere; skipped while tracing."""
    found = known(slopes(drive, template, control, scattered(template, 1)))
    if found is None:
        return
    here, there = found
    if not np.max(np.abs(there - here)) < 1e-6 * max(1.0, np.max(np.abs(here))):
        raise ValueError(
            "drive is not linear in the position: the moment equations hold for linear drives "
            "only; use tj.simulate"
        )
