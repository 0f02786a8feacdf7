"""The cost of moving a control, whatever it drives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._component import Numbers, positive_number
from ...protocol import AbstractProtocol
from .objective import AbstractObjective, exact

NODES = 32  # of Gauss-Legendre between two breaks of the protocol


class ControlCost(AbstractObjective):
    r"""The squared speed of the control, int |dcontrol/dt|^2 dt over the inside of the run.

    Jumps are free unless `jump_time` is given: then a jump counts as if it were spread evenly over
    that time, |jump|^2 / jump_time each, those at both ends included.

    **Arguments:** `jump_time`: a positive time, a scalar; None for jumps that cost nothing.

    **Raises:** ValueError for a time that is not positive.
    """

    jump_time: Float[Array, ""] | None

    def __init__(self, jump_time: Numbers | None = None):
        self.jump_time = (
            None if jump_time is None else positive_number("jump_time", jump_time, "time")
        )

    def __call__(self, system, result):
        cost = squared_speed(system.protocol)
        if self.jump_time is not None:
            cost = cost + squared_jumps(system.protocol) / self.jump_time
        return exact(cost)


def squared_speed(protocol: AbstractProtocol) -> Float[Array, ""]:
    """int |dcontrol/dt|^2 dt between the breaks: exact for polynomials up to degree 32."""
    breaks, end = protocol.events(), protocol.duration[None]
    edges = jnp.concatenate([0 * end, *([] if breaks is None else [breaks]), end])
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    width = jnp.diff(edges)[:, None]
    times = (edges[:-1, None] + width * (nodes + 1) / 2).ravel()
    speed = jax.vmap(lambda t: jax.jvp(protocol, (t,), (jnp.ones_like(t),))[1])(times)
    square = jnp.sum(speed.reshape(len(times), -1) ** 2, axis=1)
    return jnp.sum((width * weights / 2).ravel() * square)


def squared_jumps(protocol: AbstractProtocol) -> Float[Array, ""]:
    """The sum of |jump|^2 over both ends and the inside."""
    start, end = protocol(jnp.zeros_like(protocol.duration)), protocol(protocol.duration)
    total = jnp.sum((start - protocol.initial) ** 2) + jnp.sum((protocol.final - end) ** 2)
    jumps = protocol.jumps()
    return total if jumps is None else total + jnp.sum((jumps[2] - jumps[1]) ** 2)
