"""Wells with a barrier: the double well of bit storage and erasure."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import Positive, positive_number
from .._tree import total
from .base import AbstractPotential, require_position

CELLS = 2**13  # of the line on which the equilibrium is drawn
HIGHEST = 40.0  # kT above the lowest point: beyond is a share of e^-40


class DoubleWell(AbstractPotential):
    r"""The double well, summed over the coordinates of x in units of the half distance,

        U = sum_i  barrier (z_i^4 - 2 a z_i^2 + 1) - f z_i,     z = x / separation.

    With a = 1 it is `barrier (z^2 - 1)^2`, wells at +-separation and a barrier of that height.
    The control is the tilt f (a scalar, then a = 1), or the pair (a, f) of an erasure protocol.
    Its equilibrium is drawn exactly, both wells in their shares, however high the barrier: by the
    quantile function on a fine grid.

    **Arguments:** `barrier`, energy; `separation`, half the distance of the wells, length.

    **Raises:** ValueError for a barrier or a separation that is not positive.
    """

    barrier: Float[Array, ""]
    separation: Float[Array, ""]

    def __init__(self, barrier: Positive = 1.0, separation: Positive = 1.0):
        self.barrier = positive_number("barrier", barrier, "energy")
        self.separation = positive_number("separation", separation, "length")

    def energy(self, x, control):
        require_position(self, x)
        a, tilt = self.shape(control)
        return total(self.well(x / self.separation, a, tilt))

    def well(self, z, a, tilt):
        return self.barrier * (z**4 - 2 * a * z**2 + 1) - tilt * z

    def shape(self, control):
        """(a, f) of a control."""
        shape = jnp.shape(control)
        if shape not in ((), (2,)):
            raise ValueError(
                f"the control of DoubleWell has shape {shape}: expected a scalar (the tilt f) "
                "or (2,), the pair (a, f)"
            )
        return (1.0, control) if shape == () else (control[0], control[1])

    def sampled_by(self, control, temperature):
        return ()

    def line(self, control, temperature):
        """The edges of cells along z, and ln of exp(-U/kT) integrated over each of them."""
        a, tilt = self.shape(control)
        base, push = jnp.sqrt(jnp.maximum(a, 0.0)), jnp.abs(tilt) / self.barrier
        # There (z^2 - a)^2 alone exceeds all that the tilt gains, and the highest energy.
        reach = (HIGHEST * temperature / self.barrier) ** 0.25
        end = base + reach + jnp.cbrt(2 * push) + (push * base) ** 0.25
        end = jax.lax.stop_gradient(end)
        edges = jnp.linspace(-end, end, CELLS + 1)
        middle = 0.5 * (edges[1:] + edges[:-1])
        width = 2 * end / CELLS
        return edges, jnp.log(width) - self.well(middle, a, tilt) / temperature

    def sample(self, key, control, temperature, batch, template):
        edges, logs = self.line(control, temperature)
        upto = jnp.concatenate([jnp.zeros(1, logs.dtype), jnp.cumsum(jax.nn.softmax(logs))])
        u = upto[-1] * jax.random.uniform(key, (batch, *template.shape), logs.dtype)
        cell = jnp.clip(jnp.searchsorted(upto, u, side="right") - 1, 0, CELLS - 1)
        share = upto[cell + 1] - upto[cell]
        part = (u - upto[cell]) / jnp.where(share > 0, share, 1)
        z = edges[cell] + part * (edges[cell + 1] - edges[cell])
        return (self.separation * z).astype(template.dtype)

    def free_energy(self, control, temperature, template):
        _, logs = self.line(control, temperature)
        one = jax.nn.logsumexp(logs) + jnp.log(self.separation)
        return -temperature * template.size * one
