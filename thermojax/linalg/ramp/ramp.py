"""A ramp of all springs at once, from a reference to A: what its modes do, and how fast to go.

Every spring is (1 - s) c + s A, so that all of them have the modes of A at any time, and a mode of
stiffness a has k = (1 - s) c + s a.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from ...bounds import geodesic
from ...potential import Harmonic
from ...protocol import AbstractProtocol, Linear, Monotone, values_at
from ...system import Bath, Overdamped
from ..device.device import Dynamics

KNOTS = 65  # of a ramp that is no straight line
CORNERS = 513  # of s, closer to each other at its ends
STAIRS = 8192  # of a ramp where what it loses is found
FEWER = 2048  # and where it is found whether a moment is finite
COARSE = 512  # and while it learns
NODES = 64  # stiffnesses of which a ramp learns
TRAINING = 60  # steps of L-BFGS


class Ramp(eqx.Module):
    """The way from springs that are all alike to those of A.

    - `values`, `weights`: the stiffness of modes of A, and how many modes have it.
    - `reference`: c, the stiffness before. `bath`, `dynamics`: of the device.
    """

    values: Float[Array, " modes"]
    weights: Float[Array, " modes"]
    reference: Float[Array, ""]
    bath: Bath
    dynamics: Dynamics = eqx.field(static=True)

    def stiffness(self, s) -> Float[Array, " modes"]:
        return (1 - s) * self.reference + s * self.values

    @property
    def few(self) -> Ramp:
        """About the same modes, of `NODES` stiffnesses at most."""
        if len(self.values) <= NODES:
            return self
        order = jnp.argsort(self.values)
        total, place = jnp.sum(self.weights), jnp.cumsum(self.weights[order])
        place, even = place - 0.5 * self.weights[order], (jnp.arange(NODES) + 0.5) / NODES * total
        values = jnp.interp(even, place, self.values[order])
        return Ramp(values, jnp.full_like(values, total / NODES), *self.device)

    @property
    def device(self):
        return self.reference, self.bath, self.dynamics

    def linear(self, time: float) -> AbstractProtocol:
        """A straight line."""
        return Linear(0.0, 1.0, time)

    def geodesic(self, time: float) -> AbstractProtocol:
        """The ramp of constant thermodynamic speed, the best where time is long."""
        corners = 0.5 * (1 - np.cos(np.linspace(0, np.pi, CORNERS)))
        system = Overdamped(Harmonic(), Linear(0.0, 1.0, time), self.bath)
        return geodesic(system, eqx.Partial(friction, self), corners, knots=KNOTS)

    def trained(self, time: float) -> AbstractProtocol:
        """The ramp of the least mean work there and back, jumps at its ends included.

        L-BFGS from the geodesic, by the exact moments of the modes. It takes no product of A. What
        it gains on a coarse staircase may be lost on a fine one: then the geodesic stays.
        """
        geodesic = self.geodesic(time)
        begin = values_at(geodesic, jnp.linspace(0, 1, KNOTS) * time)
        way = jnp.concatenate([jnp.zeros(1, begin.dtype), begin, jnp.ones(1, begin.dtype)])
        logits = jnp.log(jnp.maximum(jnp.diff(way), 1e-3 / KNOTS))
        found = trained(self.few, Monotone(logits, time, 0.0, 1.0))
        return min(found, geodesic, key=lambda ramp: float(self.dissipated(ramp)))

    def along(self, protocol: AbstractProtocol, order: Any, count: int) -> tuple[Array, Array]:
        """ln <exp(-order W / kT)> of every mode on a staircase to A, and on the way back."""
        controls = stairs(protocol, count)
        way = lambda controls: log_moments(self, controls, protocol.duration, order)
        return way(controls), way(controls[::-1])

    @eqx.filter_jit
    def dissipated(self, protocol: AbstractProtocol, count: int = STAIRS) -> Array:
        """The mean work that is lost on the way there and back by all modes, in units of kT."""

        def total(order):
            return sum(jnp.sum(self.weights * x) for x in self.along(protocol, order, count))

        return -jax.grad(total)(jnp.zeros_like(self.reference))


def best_reference(values: np.ndarray, weights: np.ndarray) -> float:
    """The stiffness c from which the way to all modes is shortest, (mean of a^(-1/2))^(-2).

    A mode on a way of its own, at its own best speed, loses gamma kT (a^(-1/2) - c^(-1/2))^2 over
    the time. From any other c the answer is the same, with a larger error.
    """
    return float(np.average(values**-0.5, weights=weights) ** -2)


def friction(ramp: Ramp, s) -> Array:
    r"""zeta(s) of all modes, in units of kT: (ds/dt)^2 zeta is lost per time where that is slow.

    Of a stiffness gamma / (4 k^3), underdamped m / (4 gamma k^2) more. Source: D. A. Sivak,
    G. E. Crooks, Phys. Rev. Lett. 108, 190602 (2012), equation 17.
    """
    k, gamma = ramp.stiffness(s), ramp.bath.friction
    of_stiffness = gamma / (4 * k**3)
    if ramp.dynamics == "underdamped":
        of_stiffness = of_stiffness + ramp.bath.mass / (4 * gamma * k**2)
    return jnp.sum(ramp.weights * (ramp.values - ramp.reference) ** 2 * of_stiffness)


def stairs(protocol: AbstractProtocol, count: int) -> Float[Array, " count+2"]:
    """A ramp as a staircase: s before, in the middle of each of equal intervals, and after."""
    middles = values_at(protocol, (jnp.arange(count) + 0.5) / count * protocol.duration)
    ends = [jnp.asarray(x, middles.dtype)[None] for x in (protocol.initial, protocol.final)]
    return jnp.concatenate([ends[0], middles, ends[1]])


def log_moments(ramp: Ramp, controls: Float[Array, " stairs"], time, order) -> Array:
    r"""ln <exp(-order W / kT)> of every mode along a staircase, exactly; it may be infinite.

    The law weighted with exp(-order W / kT) stays a Gaussian times a mass. Where the stiffness
    jumps by d, with u = order d / kT and C the covariance, C_x its column of x,

        C -> C - u C_x C_x^T / (1 + u C_xx),    mass -> mass (1 + u C_xx)^(-1/2),

    infinite unless 1 + u C_xx > 0; on a stair C decays to the equilibrium of its stiffness. Of many
    stairs this is the Riccati equation of `tj.log_work_moment`, in steps that no stiffness makes
    shorter. The derivatives by the order at 0 are minus the mean of W / kT, and its variance.
    """
    interval = time / (len(controls) - 2)

    def jumped(covariance, change):
        left = 1 + order * change * covariance[0, 0]
        held = jnp.where(left > 0, left, 1.0)
        pull = order * change / held * covariance[:, :1] * covariance[:1]
        return covariance - pull, jnp.where(left > 0, -0.5 * jnp.log(held), jnp.inf)

    def stair(carry, s):
        covariance, before, mass = carry
        k = ramp.stiffness(s)
        covariance, gained = jumped(covariance, k - before)
        rest, decay = equilibrium(ramp, k), decay_of(ramp, k, interval)
        off = jnp.einsum("ijd,jkd,lkd->ild", decay, covariance - rest, decay)
        return (rest + off, k, mass + gained), None

    first = ramp.stiffness(controls[0])
    begin = equilibrium(ramp, first), first, jnp.zeros_like(first)
    (covariance, k, mass), _ = jax.lax.scan(stair, begin, controls[1:-1])
    return mass + jumped(covariance, ramp.stiffness(controls[-1]) - k)[1]


def equilibrium(ramp: Ramp, k: Float[Array, " modes"]) -> Float[Array, "n n modes"]:
    """The covariance of (x,), underdamped of (x, p), over kT."""
    if ramp.dynamics == "overdamped":
        return (1 / k)[None, None]
    zero = jnp.zeros_like(k)
    return jnp.stack([jnp.stack([1 / k, zero]), jnp.stack([zero, zero + ramp.bath.mass])])


def decay_of(ramp: Ramp, k: Float[Array, " modes"], time) -> Float[Array, "n n modes"]:
    r"""The share that a time leaves of a deviation of (x,), underdamped of (x, p).

    e^(-k t / gamma); underdamped, with g = gamma / 2m and w^2 = k/m - g^2 of either sign,

        e^(-g t) [[cos w t + g sin(w t) / w,  sin(w t) / (m w)],
                  [-k sin(w t) / w,  cos w t - g sin(w t) / w]].
    """
    gamma, mass = ramp.bath.friction, ramp.bath.mass
    if ramp.dynamics == "overdamped":
        return jnp.exp(-k * time / gamma)[None, None]
    g = gamma / (2 * mass)
    square = k / mass - g**2
    # Near w = 0 by the first terms of the series. No branch that is not taken may be infinite.
    near, turning = jnp.abs(square) * time**2 < 1e-5, square > 0
    w = jnp.sqrt(jnp.where(near, 1.0, jnp.abs(square)))
    faded = jnp.exp(-g * time)
    slow, fast = jnp.exp(-k / (mass * (g + w)) * time), jnp.exp(-(g + w) * time)
    cosine = jnp.where(turning, faded * jnp.cos(w * time), 0.5 * (slow + fast))
    sine = jnp.where(turning, faded * jnp.sin(w * time), 0.5 * (slow - fast)) / w
    cosine = jnp.where(near, faded * (1 - square * time**2 / 2), cosine)
    sine = jnp.where(near, faded * time * (1 - square * time**2 / 6), sine)
    rows = [cosine + g * sine, sine / mass], [-k * sine, cosine - g * sine]
    return jnp.stack([jnp.stack(row) for row in rows])


@eqx.filter_jit
def infinite_variance(ramp: Ramp, protocol: AbstractProtocol) -> tuple[Array, Array]:
    """Whether exp(-W / kT) has an infinite variance on the way to A, and on the way back."""
    there, back = ramp.along(protocol, 2.0, FEWER)
    return jnp.any(jnp.isinf(there)), jnp.any(jnp.isinf(back))


@eqx.filter_jit
def trained(ramp: Ramp, protocol: Monotone) -> Monotone:
    """The protocol of the least mean work that `TRAINING` steps have met."""
    with_logits = lambda x: eqx.tree_at(lambda p: p.logits, protocol, x)
    cost = lambda logits: ramp.dissipated(with_logits(logits), COARSE)
    optimizer, value_and_grad = optax.lbfgs(), optax.value_and_grad_from_state(cost)

    def step(carry, _):
        logits, state, best, least = carry
        value, slope = value_and_grad(logits, state=state)
        best, least = (jnp.where(value < least, *x) for x in ((logits, best), (value, least)))
        update, state = optimizer.update(
            slope, state, logits, value=value, grad=slope, value_fn=cost
        )
        return (optax.apply_updates(logits, update), state, best, least), None

    first = protocol.logits
    begin = first, optimizer.init(first), first, jnp.full((), jnp.inf, first.dtype)
    (_, _, best, _), _ = jax.lax.scan(step, begin, length=TRAINING)
    return with_logits(best)
