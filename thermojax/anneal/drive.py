"""A learned force beside that of the potential: it steers, and its work is counted."""

from __future__ import annotations

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import flag, whole
from .._component import AbstractComponent
from .._keys import check_key


class AbstractDrive(AbstractComponent):
    """Forces on the coordinates z `(dim,)` of the base at the fraction s of the run, in [0, 1].

    Called with z and s it returns a pair: the force of the half kick that ends a step at z, and of
    the one that begins the next. Each depends on the position alone, so that it kicks momenta by a
    shear, which keeps volume and can be run backward; weights stay exact at any step, whatever the
    drive has learned. A new one is a subclass with fields and `__call__`; 0 at first is a good
    start.
    """

    @abc.abstractmethod
    def __call__(
        self, z: Float[Array, " dim"], s: Float[Array, ""]
    ) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
        """(closing, opening) at one z."""


class LinearDrive(AbstractDrive):
    """f(z, s) = A(s) z + b(s), A and b straight lines in s between a few knots: 0 at first.

    The force has the shape `(dim,)` of z. A matrix that is not symmetric drives in circles, and one
    that is acts as a changed potential: together they bring one Gaussian to another in a few steps.

    **Arguments:** `dim`, the number of coordinates; `knots`, at least two; `two_sided`: whether
    closing and opening half kicks have forces of their own. **Cost:** dim^2 per step and path.
    """

    matrix: Float[Array, "knots force dim"]
    shift: Float[Array, "knots force"]

    def __init__(self, dim: int, knots: int = 9, *, two_sided: bool = False):
        dim, knots = whole("dim", dim), whole("knots", knots, 2)
        count = dim * (2 if flag("two_sided", two_sided) else 1)
        self.matrix, self.shift = jnp.zeros((knots, count, dim)), jnp.zeros((knots, count))

    def __call__(self, z, s):
        return sides(between(self.matrix, s) @ z + between(self.shift, s), z)


class NetworkDrive(AbstractDrive):
    """A network of one hidden layer whose weights are straight lines in s between a few knots.

    f(z, s) = B h + b + C z + (D h + d) * z with h = tanh(A z + a), each of A to d a function of s,
    of the shape `(dim,)` of z and 0 at first: a shift and a stiffness for each coordinate that
    depend on the others, for targets far from Gaussian. Where these have to be squeezed or widened
    by much, volume in phase space has to change, which the thermostat alone can do: then take
    `two_sided`, and a friction so high at first (`rate`) that momenta forget most of themselves in
    each step.

    **Arguments:** `dim`, the number of coordinates; `key`, of the first weights; `width` of the
    hidden layer; `knots`, at least two; `two_sided`: whether closing and opening half kicks have
    forces of their own.

    **Cost:** dim (3 width + dim) per step and path, with two sides about twice that.
    """

    inward: Float[Array, "knots width dim"]
    bias: Float[Array, "knots width"]
    outward: Float[Array, "knots force width"]
    stiffness: Float[Array, "knots force width"]
    constant: Float[Array, "knots force"]  # of the stiffness
    linear: LinearDrive

    def __init__(
        self,
        dim: int,
        key: PRNGKeyArray,
        width: int = 64,
        knots: int = 9,
        *,
        two_sided: bool = False,
    ):
        dim, width, knots = whole("dim", dim), whole("width", width), whole("knots", knots, 2)
        check_key(key)
        first, second = jax.random.split(key)
        one = dim**-0.5 * jax.random.normal(first, (width, dim))
        self.linear = LinearDrive(dim, knots, two_sided=two_sided)
        self.inward = jnp.broadcast_to(one, (knots, width, dim))
        self.bias = jnp.broadcast_to(jax.random.normal(second, (width,)), (knots, width))
        self.outward = jnp.zeros((*self.linear.shift.shape, width))
        self.stiffness, self.constant = self.outward, self.linear.shift

    def __call__(self, z, s):
        hidden = jnp.tanh(between(self.inward, s) @ z + between(self.bias, s))
        shift = between(self.outward, s) @ hidden + between(self.linear.shift, s)
        stiffness = between(self.stiffness, s) @ hidden + between(self.constant, s)
        linear = between(self.linear.matrix, s) @ z
        return sides(shift + linear + stiffness * jnp.resize(z, shift.shape), z)


def between(knots: Float[Array, "knots *value"], s) -> Float[Array, "*value"]:
    """The value at s of straight lines between evenly spaced knots."""
    last = len(knots) - 1
    weights = jnp.maximum(0, 1 - jnp.abs(s * last - jnp.arange(last + 1, dtype=knots.dtype)))
    return jnp.tensordot(weights, knots, 1)


def sides(force, z):
    """(closing, opening) of a force that is one for both, or holds one behind the other."""
    if force.shape == z.shape:
        return force, force
    return force[: z.size], force[z.size :]


class Steering(eqx.Module):
    """The drive as the dynamics take it: its s is the last number of the control."""

    drive: AbstractDrive

    def __call__(self, z, control):
        return self.drive(z, control[-1])
