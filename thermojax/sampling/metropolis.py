"""Segments of a chain as proposals of Metropolis: the equilibrium exact at any step."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import AbstractComponent, Positive, positive_number
from .._tree import cast, dimension_of, dtype_of, per_sample_sum, where_alive
from ..dynamics import bath_at, bath_coefficients, normal
from ..dynamics.random import threefry
from ..execution import Execution
from ..potential import batched_gradient
from ..system import AbstractSystem
from .segment import moved
from .state import Chain

CHOICE, STEP = np.uint32(0x9E3779B9), np.uint32(0x7F4A7C15)  # other keys than that of the noise


class LocalStep(AbstractComponent):
    r"""A step of its own for every path: `tj.advance(..., adjusted=tj.LocalStep())`.

    Where wide and narrow places want steps that differ by a hundred, as the mouth and the neck of a
    hierarchical posterior do. Before each proposal a path draws

        dt_path = exp(spread z) / sqrt(1 / dt^2 + (omega / angle)^2),  z ~ N(0, 1),
        omega^2 = sum_i (dU/dx_i)^2 / m_i / (kT dim),

    where it stands; over the equilibrium omega^2 is the mean square of the frequencies. `dt` is the
    step of the widest places. At the other end the same step would be drawn with another density;
    the proposal is accepted with probability min(1, exp(-beta shadow work) p(dt_path | end) /
    p(dt_path | start)), which leaves the equilibrium exact whatever the potential. Friction goes
    with 1 / dt_path: momenta forget as much in each step.

    **Arguments:** `angle`, of the mean frequency in a step, radians, a scalar; smaller where too
    many proposals are refused. `spread`, a scalar, of ln dt_path: wider where the force tells
    little of the curvature.
    **Raises:** ValueError for one that is not positive. **Cost:** two more gradients a proposal.
    **Source:** N. Bou-Rabee, B. Carpenter, M. Marsden, arXiv:2404.15253 (2024) (Gibbs self-tuning).
    """

    angle: Float[Array, ""]
    spread: Float[Array, ""]

    def __init__(self, angle: Positive = 0.5, spread: Positive = 1.0):
        self.angle = positive_number("angle", angle)
        self.spread = positive_number("spread", spread)

    def log_median(self, system: AbstractSystem, chain: Chain, dt) -> Float[Array, " batch"]:
        """ln of the median of dt_path / dt of every path."""
        angle_squared = squared_angle(system, chain.position, chain.control, chain.time, dt)
        return -0.5 * jnp.log1p(angle_squared / self.angle**2)


def squared_angle(system: AbstractSystem, x, control, time, dt) -> Float[Array, " batch"]:
    """(omega dt)^2 of every path."""
    temperature, friction, mass = bath_at(system, time, x)
    bath = bath_coefficients(system, x, dt, temperature, friction, mass)
    gradient = batched_gradient(system.potential, x, control)
    # Squared last: in units where kT is 1e-19, squares of forces are below what float32 holds.
    scale = lambda g, a, b: (dt * g * jnp.sqrt(a * b) / jnp.sqrt(temperature)) ** 2
    squares = jax.tree.map(scale, gradient, bath.drift, bath.push)
    return per_sample_sum(squares) / dimension_of(x)


@eqx.filter_jit
def propose(system, chain: Chain, dt, steps: int, how: Execution, local: LocalStep | None) -> Chain:
    """One accepted or refused segment of a chain. Paths that diverged before stay frozen.

    What is accepted or refused leaves the equilibrium as it is, like an exchange of heat: what the
    integrator did to the energy on the way is booked as heat, and no weight comes of it.
    """
    dtype = dtype_of(chain.position)
    system, local, dt = cast(system, dtype), cast(local, dtype), dt.astype(dtype)
    first, second = chain.words
    paths = jax.lax.iota(jnp.uint32, len(chain.ledger.work))
    counter = jnp.full_like(paths, chain.step.astype(jnp.uint32))
    # The shadow work of the segment alone: a difference of long sums would lose it to rounding.
    book = dataclasses.replace(chain.ledger, shadow_work=jnp.zeros_like(chain.ledger.shadow_work))
    begun = dataclasses.replace(chain, ledger=book)
    if local is None:
        new, book = moved(system, begun, dt, steps, how, None)
        gain = 0.0
    else:
        drawn = normal((first, second ^ STEP), paths, counter).astype(dtype)
        # Where the segment begins, under the control that it will have: the last one may differ.
        control = jnp.asarray(system.protocol.initial, chain.control.dtype)
        here = dataclasses.replace(chain, control=control)
        log_pace = local.log_median(system, here, dt) + local.spread * drawn
        new, book = moved(system, begun, dt, steps, how, jnp.exp(log_pace))
        there = (log_pace - local.log_median(system, new, dt)) / local.spread
        gain = 0.5 * (drawn**2 - there**2)
    shadow, unchanged = new.ledger.shadow_work, chain.ledger.shadow_work
    book = dataclasses.replace(book, shadow_work=unchanged)
    ledger = dataclasses.replace(
        new.ledger,
        shadow_work=unchanged,
        heat=new.ledger.heat - shadow,
        bath_entropy=new.ledger.bath_entropy - shadow / system.bath.temperature,
    )
    bits, _ = threefry((first ^ CHOICE, second), (paths, counter))
    uniform = (bits.astype(dtype) + 0.5) * 2.0**-32
    # float32 rounds the largest words up to 1, which refuses nothing that should be taken.
    likely = jnp.log(uniform) < gain - shadow / system.bath.temperature
    alive = book.alive > 0
    kept = (new.ledger.alive > 0) & likely
    turned = where_alive(alive, jax.tree.map(jnp.negative, chain.momentum), chain.momentum)
    position, momentum, ledger = where_alive(
        kept, (new.position, new.momentum, ledger), (chain.position, turned, book)
    )
    return dataclasses.replace(
        new,
        position=position,
        momentum=momentum,
        ledger=ledger,
        proposed=chain.proposed + alive,
        accepted=chain.accepted + kept,
    )
