"""Wells with a barrier: the double well of bit storage and erasure."""

from __future__ import annotations

import math

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
    Its equilibrium is drawn exactly, both wells in their shares, however high the barrier and steep
    the tilt: by the quantile function on a grid that is fine beside the width of each well.

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
        # z^4 - 2 a z^2 + 1 would lose eps barrier at the bottom of a well.
        return self.barrier * ((z**2 - a) ** 2 + (1 - a) * (1 + a)) - tilt * z

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
        return self

    def line(self, control, temperature):
        """The edges of cells along z, ln of exp(-(U - U_0)/kT) integrated over each, and U_0.

        The cells lie around the bottoms of the wells and widen as a sinh away from them, so that
        they are fine beside the width of a well however small it is.
        """
        a, tilt = self.shape(control)
        cells = self.cells(jnp.asarray(a), tilt, temperature)
        edges, bottom, low, high = jax.lax.stop_gradient(cells)
        # At the bottom of one of two wells bottom^2 - a is the small f / (4 barrier bottom): as a
        # difference it would be rounding, and its square times the barrier an energy of many kT.
        excess, beside = bottom**2 - a, bottom**2 > a / 2
        small = tilt / (4 * self.barrier * jnp.where(beside, bottom, 1))
        exact = jnp.where((jnp.asarray(a) > 0) & beside, small, excess)
        excess = excess + jax.lax.stop_gradient(exact - excess)
        slope = 4 * self.barrier * bottom * excess - tilt
        slope = slope - jax.lax.stop_gradient(slope)  # no slope at the bottom, but its derivative
        depth = self.barrier * excess**2 - tilt * bottom
        lowest = jax.lax.stop_gradient(jnp.min(depth))

        def log_density(y):
            # What y adds to U(bottom): in a difference of U(bottom + y) float32 would lose it.
            square = y * (2 * bottom + y)
            rise = self.barrier * (square**2 + 2 * excess * y**2) + slope * y
            return -((depth - lowest) + rise) / temperature

        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        two = (log_density(middle + sign * half / math.sqrt(3)) for sign in (-1, 1))  # by Gauss
        return edges, jnp.log(half) + jnp.logaddexp(*two), lowest

    def cells(self, a, tilt, temperature):
        """The edges of cells along z; of each the bottom that it belongs to, and where it begins
        and ends as seen from there.
        """
        push, high = tilt / self.barrier, self.barrier / temperature
        left, right = bottoms(a, push / 4)
        base, most = jnp.sqrt(jnp.maximum(a, 0.0)), jnp.abs(push)
        # There (z^2 - a)^2 alone exceeds all that the tilt gains, and the highest energy.
        end = base + (HIGHEST / high) ** 0.25 + jnp.cbrt(2 * most) + (most * base) ** 0.25
        between = jnp.where(left < right, -(left + right), right)
        sides = []
        for bottom, far in (left, -end), (left, between), (right, between), (right, end):
            curvature = jnp.maximum(12 * bottom**2 - 4 * a, 0)
            cubic = jnp.cbrt(4 * high * jnp.abs(bottom))
            width = 1 / (jnp.sqrt(high * curvature) + jnp.sqrt(jnp.sqrt(high)) + cubic)
            t = jnp.linspace(0.0, 1.0, CELLS // 4 + 1, dtype=width.dtype)
            sides.append(width * jnp.sinh(jnp.arcsinh((far - bottom) / width) * t))
        offsets = jnp.stack([sides[0][::-1], sides[1], sides[2][::-1], sides[3]])
        bottom = jnp.stack([left, left, right, right])[:, None]
        edges = jnp.append((bottom + offsets)[:, :-1], end)
        low, high = offsets[:, :-1].reshape(-1), offsets[:, 1:].reshape(-1)
        return edges, jnp.repeat(bottom, CELLS // 4), low, high

    def sample(self, key, control, temperature, batch, template):
        edges, logs, _ = self.line(control, temperature)
        cumulative = jnp.concatenate([jnp.zeros(1, logs.dtype), jnp.cumsum(jax.nn.softmax(logs))])
        u = cumulative[-1] * jax.random.uniform(key, (batch, *template.shape), logs.dtype)
        cell = jnp.clip(jnp.searchsorted(cumulative, u, side="right") - 1, 0, CELLS - 1)
        share = cumulative[cell + 1] - cumulative[cell]
        within = (u - cumulative[cell]) / jnp.where(share > 0, share, 1)
        z = edges[cell] + within * (edges[cell + 1] - edges[cell])
        return (self.separation * z).astype(template.dtype)

    def free_energy(self, control, temperature, template):
        a, _ = self.shape(control)
        _, logs, lowest = self.line(control, temperature)
        one = temperature * (jax.nn.logsumexp(logs) + jnp.log(self.separation))
        return template.size * (lowest - one + self.barrier * (1 - a) * (1 + a))


def bottoms(a, q):
    """The smallest and the largest root of z^3 - a z - q: the bottoms of both wells, or twice one.

    In closed form, then polished by Newton's method.
    """
    third, half = jnp.maximum(a, 0) / 3, jnp.abs(q) / 2
    excess = half**2 - jnp.where(a > 0, third, a / 3) ** 3
    two = (excess <= 0) & (a > 0)
    ratio = half / jnp.where(two, third**1.5, jnp.maximum(half, 1))
    angle = jnp.arccos(jnp.clip(ratio, 0, 1)) / 3
    size = 2 * jnp.sqrt(third)
    far, near = size * jnp.cos(angle), size * jnp.cos(angle + 2 * jnp.pi / 3)
    root = jnp.cbrt(half + jnp.sqrt(jnp.maximum(excess, 0)))
    one = jnp.where(root > 0, root + a / (3 * jnp.where(root > 0, root, 1)), 0)
    far, near = jnp.where(two, far, one), jnp.where(two, near, one)

    def polished(z):
        for _ in range(3):
            slope = 3 * z**2 - a
            step = (z**3 - a * z - 2 * half) / jnp.where(slope > 0, slope, 1)
            # Where two roots meet the slope is nothing but rounding.
            z = jnp.where(slope > 1e-3 * (z**2 + jnp.abs(a)), z - step, z)
        return z

    far, near = polished(far), polished(near)
    left, right = jnp.where(q < 0, -far, near), jnp.where(q < 0, -near, far)
    return left, right
