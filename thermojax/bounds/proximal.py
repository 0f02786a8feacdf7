r"""The minimum of F[p; U] + W_2(rho, p)^2: Gaussian in closed form, on the line by Newton's method.

In the coordinates where the friction metric is one. It is the step of Jordan, Kinderlehrer and
Otto (1998), here with the duration of a whole protocol.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from ..distribution.linear import Quadratic
from ..sampling.initial import stopped
from .laws import Density
from .line import LineEnergy

ITERATIONS = 500
CLOSE = 1e-13  # the square of the last Newton step, in kT


@eqx.filter_jit
def nearest_normal(mean, covariance, energy: Quadratic, metric, kt):
    r"""Mean and covariance of the minimum over p for a Gaussian rho and quadratic U.

    With U'' = K and metric one, m: (K + 2)(m - m_0) = -U'(m_0). The transport map from the final
    law S back to S_0 is M = A - (kT/2) S^-1, A = 1 + K/2, and M S M = S_0 reads

        Z + (kT/2)^2 Z^-1 = kT + A^-1/2 S_0 A^-1/2,     Z = A^1/2 S A^1/2,

    whose roots commute; M >= 0 asks for the larger. Gaussians suffice, since among laws of given
    moments they have the most entropy and the least distance.
    """
    mean, covariance, energy, metric, kt = stopped((mean, covariance, energy, metric, kt))
    root = jnp.sqrt(metric)
    scale = jnp.outer(root, root)
    curvature, slope = energy.matrix / scale, (energy.linear + energy.matrix @ mean) / root
    identity = jnp.eye(len(mean), dtype=mean.dtype)
    shift = -jnp.linalg.solve(curvature + 2 * identity, slope)
    values, vectors = jnp.linalg.eigh(identity + curvature / 2)
    inverse = (vectors / jnp.sqrt(values)) @ vectors.T  # NaN where there is no minimum
    # In units of kT, whose square may leave the range of the numbers.
    spread, axes = jnp.linalg.eigh(inverse @ (covariance * scale / kt) @ inverse)
    spread = jnp.maximum(spread, 0)
    z = (spread + 1 + jnp.sqrt(spread * (spread + 2))) / 2
    back = inverse @ axes
    return mean + shift / root, (back * z) @ back.T * (kt / scale)


@eqx.filter_jit
def nearest_density(
    start: Density, rest: Density, energy: LineEnergy, metric, kt, pins: dict
) -> Density:
    """The minimum over p on the line: where the points of `start` move. No gradient passes.

    What lies between two points stays between them, so that the unknown is p's quantile function.
    `pins` holds points in place, index -> position. Found from two maps, the simplest and that to
    the equilibrium `rest`, since there may be more than one minimum.
    """
    start, rest, energy, metric, kt = stopped((start, rest, energy, metric, kt))
    x, shares = start.x, start.shares
    pins = {i % len(x): jnp.asarray(v, x.dtype) for i, v in pins.items() if v is not None}
    knots = {0: x[0], len(x) - 1: x[-1]} | pins
    order = sorted(knots)
    simple = jnp.interp(x, x[jnp.asarray(order)], jnp.stack([knots[i] for i in order]))
    relaxed = rest.quantile(jnp.concatenate([jnp.zeros(1, x.dtype), jnp.cumsum(shares)]))
    index, free = jnp.arange(len(x)), jnp.ones(len(x), bool)
    for i, value in pins.items():
        sides = jnp.minimum(relaxed, value), jnp.maximum(relaxed, value)
        relaxed = jnp.where(index < i, *sides).at[i].set(value)
        free = free.at[i].set(False)
    maps = jnp.stack([simple, 0.99 * relaxed + 0.01 * simple])  # strictly increasing, both
    # In units of kT and of the length of the line, the origin where it is: near it points lie
    # closer together than the digits of their distance from anywhere else could tell.
    unit = x[-1] - x[0]
    within = lambda y: energy(unit * y) / kt
    y = unit * lowest_minimum(
        maps / unit, x / unit, shares, free, within, metric * unit / kt * unit, 1.0
    )
    return Density(y, shares / jnp.diff(y))


def lowest_minimum(maps, x, shares, free, energy, metric, kt):
    """The lowest of the minima that are reached from several maps of the points x; NaN for none."""
    # A cell without mass would leave its points anywhere.
    shares = jnp.maximum(shares, 1e-22)
    around = jnp.pad(shares, (1, 0)) + jnp.pad(shares, (0, 1))  # twice the mass of a point
    slope, bend = jax.vmap(jax.grad(energy)), jax.vmap(jax.grad(jax.grad(energy)))

    def cost(y):
        u, width, d = jax.vmap(energy)(y), jnp.diff(y), y - x
        squares = (d[1:] ** 2 + d[1:] * d[:-1] + d[:-1] ** 2) / 3
        cells = 0.5 * (u[1:] + u[:-1]) - kt * jnp.log(width) + metric * squares
        return jnp.sum(shares * cells)

    def newton(y):
        """Minus the gradient over the Hessian, a tridiagonal one, with U'' where it is positive."""
        width, d = jnp.diff(y), y - x
        push, pull = shares * kt / width, shares * metric / 3
        left = lambda a: jnp.pad(a, (1, 0))  # of the cell on the left of each point
        right = lambda a: jnp.pad(a, (0, 1))
        gradient = 0.5 * around * slope(y) + right(push) - left(push)
        gradient += right(pull * (2 * d[:-1] + d[1:])) + left(pull * (2 * d[1:] + d[:-1]))
        stiff, beside = push / width + 2 * pull, push / width - pull
        diagonal = 0.5 * around * jnp.maximum(bend(y), 0) + right(stiff) + left(stiff)
        # Masses run over twenty decades: in unknowns in which the diagonal is one, the solver has
        # no reason to exchange rows, and keeps the digits of the lightest cell.
        scale = jnp.where(free, 1 / jnp.sqrt(diagonal), 0)
        off, one = -beside * scale[1:] * scale[:-1], jnp.ones_like(diagonal)
        wanted = (-gradient * scale)[:, None]
        change = jax.lax.linalg.tridiagonal_solve(left(off), one, right(off), wanted)[:, 0] * scale
        return change, -jnp.sum(gradient * change)

    def step(carry):
        y, _, count = carry
        change, decrease = newton(y)
        closing = jnp.diff(change) / jnp.diff(y)
        longest = jnp.minimum(1.0, 0.9 / jnp.maximum(-jnp.min(closing), 0.9))
        y_now = cost(y)
        worse = lambda t: (cost(y + t * change) > y_now - 1e-4 * t * decrease) & (t > 1e-8)
        t = jax.lax.while_loop(worse, lambda t: t / 2, longest)
        return y + t * change, decrease, count + 1

    going = lambda carry: (carry[1] > CLOSE) & (carry[2] < ITERATIONS)
    start = lambda y: (y, jnp.asarray(jnp.inf, y.dtype), 0)
    found, decrease, _ = jax.lax.map(lambda y: jax.lax.while_loop(going, step, start(y)), maps)
    # What the next step would gain is what the cost may be wrong by.
    settled = jnp.abs(decrease) < jnp.sqrt(jnp.finfo(decrease.dtype).eps)
    costs = jnp.where(settled, jax.vmap(cost)(found), jnp.nan)
    return jnp.where(jnp.any(settled), found[jnp.nanargmin(costs)], jnp.nan)
