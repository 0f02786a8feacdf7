"""Ways to steer a device from uncoupled coordinates to the couplings of a matrix."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from ..._component import known, shown
from ...potential import AbstractPotential, Harmonic
from ...protocol import AbstractProtocol, PiecewiseLinear
from ...system import Bath, Overdamped
from ..device.operator import Springs

IDLE, COUPLED = (1.0, 0.0, 0.0), (0.0, 1.0, 1.0)  # the controls of CoupledSprings at both ends
KNOTS = 8  # of every schedule of the shares, so that one program follows them all


class CoupledSprings(AbstractPotential):
    """U = own k |x|^2 / 2 + coupled x . A x / 2 - push b . x, the control (own, coupled, push).

    Idle, at (1, 0, 0), every coordinate has a spring of its own; at (0, 1, 1) they are coupled by
    A, of which nothing but products is known, and pushed by b.
    """

    idle: Harmonic
    coupled: Springs

    def energy(self, x, control):
        if jnp.shape(control) != (3,):
            raise ValueError(
                f"the control of CoupledSprings has shape {jnp.shape(control)}: expected (3,), the "
                "shares of the springs of their own, of the couplings, and of b"
            )
        own, coupled, push = control
        springs = own * self.idle.energy(x, None) + coupled * self.coupled.energy(x, None)
        return springs + (coupled - push) * jnp.sum(self.coupled.b * x)

    def template(self, control):
        return self.coupled.template(None)

    def sampled_by(self, control, temperature):
        value = known(control)
        return self.idle if value is not None and value.tolist() == list(IDLE) else None


class ModeSprings(AbstractPotential):
    """U = sum_i k_i y_i^2 / 2 - h_i y_i, y = V^T x, the control (k, h), `(2, modes)`."""

    vectors: Float[Array, "dim modes"]

    def energy(self, x, control):
        stiffness, force = control
        y = self.vectors.T @ x
        return jnp.sum(y * (0.5 * stiffness * y - force))

    def template(self, control):
        return jnp.zeros_like(self.vectors[:, 0])

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        stiffness, force = control
        z = jax.random.normal(key, (batch, len(stiffness)), template.dtype)
        y = force / stiffness + jnp.sqrt(temperature / stiffness) * z
        return y @ self.vectors.T


class Transport(AbstractProtocol):
    r"""The springs (k, h) of modes that carry their law along the shortest way to another one.

    From N(0, s^2) to N(m, (1 + a)^2 s^2) every point moves evenly: with u = t / tau the width is
    (1 + u a) s and the velocity v = (a (x - u m) / (1 + u a) + m) / tau. The springs are those for
    which v = -(U' + kT (ln rho)') / gamma,

        k = kT / ((1 + u a) s)^2 - (gamma / tau) a / (1 + u a),     h = k u m + gamma m / tau.

    k may be negative where a mode has to widen fast. At both ends the springs jump.

    **Source:** E. Aurell, C. Mejia-Monasterio, P. Muratore-Ginanneschi, Phys. Rev. Lett. 106,
    250601 (2011).
    """

    duration: Float[Array, ""]
    rest: Float[Array, ""]  # k before
    values: Float[Array, " modes"]  # k and h after
    along: Float[Array, " modes"]
    widening: Float[Array, " modes"]  # a
    shift: Float[Array, " modes"]  # m
    kt: Float[Array, ""]
    friction: Float[Array, ""]

    @property
    def initial(self):
        return jnp.stack([jnp.full_like(self.values, self.rest), jnp.zeros_like(self.values)])

    @property
    def final(self):
        return jnp.stack([self.values, self.along])

    def __call__(self, t):
        u, pace = t / self.duration, self.friction / self.duration
        width = 1 + u * self.widening
        k = self.rest / width**2 - pace * self.widening / width
        return jnp.stack([k, (k * u + pace) * self.shift])


class SharesOfMode(eqx.Module):
    """One mode of a device whose springs and couplings follow a protocol, as a system of its own.

    It is called with the eigenvalue of the mode and its part of b.
    """

    rest: Float[Array, ""]
    protocol: AbstractProtocol
    bath: Bath

    def __call__(self, mode) -> Overdamped:
        value, along = mode
        return shares_system(
            lx.DiagonalLinearOperator(value[None]), along[None], self.rest, self.protocol, self.bath
        )


class TransportOfMode(eqx.Module):
    """One mode of a device that follows a `Transport`, as a system of its own.

    It is called with the numbers of that mode, a `Transport` of scalars.
    """

    bath: Bath

    def __call__(self, mode: tuple[Transport, Array]) -> Overdamped:
        protocol, one = mode
        return Overdamped(ModeSprings(one), protocol, self.bath)


def shares_system(
    operator: lx.AbstractLinearOperator, b, rest, protocol: AbstractProtocol, bath: Bath
) -> Overdamped:
    """A device whose springs, couplings and b follow a protocol of their shares."""
    potential = CoupledSprings(Harmonic(rest, jnp.zeros_like(b)), Springs(operator, b))
    return Overdamped(potential, protocol, bath)


def waiting(duration) -> PiecewiseLinear:
    """Couplings and b are there at once, and the device is waited for."""
    return PiecewiseLinear([COUPLED] * KNOTS, duration, IDLE, COUPLED)


def ramp(duration) -> PiecewiseLinear:
    """The springs fade, the couplings and b grow in proportion to time."""
    return PiecewiseLinear.between(IDLE, COUPLED, duration, KNOTS)


def checked_shares(protocol: AbstractProtocol, duration) -> AbstractProtocol:
    """A protocol of the shares. **Raises:** ValueError for any that is none."""
    for end, wanted in (("initial", IDLE), ("final", COUPLED)):
        value = known(getattr(protocol, end))
        if value is None or value.tolist() != list(wanted):
            raise ValueError(
                f"steering has the {end} control {shown(getattr(protocol, end))}: expected "
                f"{wanted}, the shares of springs of their own, of the couplings, and of b"
            )
    if not jnp.allclose(protocol.duration, duration, rtol=1e-6, atol=0):
        raise ValueError(
            f"steering lasts {float(protocol.duration):.6g} and duration = {float(duration):.6g}: "
            "make them one"
        )
    return protocol
