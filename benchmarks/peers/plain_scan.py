"""The yardstick: BAOAB as one would write it by hand, one step per iteration of `lax.scan`."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def plain_scan(energy, values, ends, position, momentum, key, *, h: float, steps: int):
    """A batch of paths through a piecewise linear schedule, with kT = friction = mass = 1.

    One split key and one `jax.random.normal` per step; one gradient per step, kept for the next
    one. It books the work W and nothing else: no heat, no shadow work, no energies, no watch for
    paths that diverge. The work is booked as thermojax does it, at the grid points, jumps at both
    ends included, so that both compute the same number.

    **Arguments:** `energy(x, control)` of one sample; `values`, `(knots,)`; `ends`, the control
    before and after the run; `position` and `momentum`, `(batch, dim)`.

    **Returns:** position, momentum, and the work `(batch,)`.
    """
    dtype = position.dtype
    knots = jnp.linspace(0, steps, values.size, dtype=dtype)
    grid = jnp.arange(steps + 1, dtype=dtype)
    middles = jnp.interp(grid[:-1] + 0.5, knots, values)
    before, after = (jnp.asarray(end, dtype)[None] for end in ends)
    held = jnp.concatenate([before, middles, after])
    kicks = jnp.interp(grid, knots, values)
    energies = jax.vmap(energy, (0, None))
    gradients = jax.vmap(jax.grad(energy), (0, None))
    damping, spread = math.exp(-h), math.sqrt(-math.expm1(-2 * h))

    def step(carry, row):
        x, p, gradient, work = carry
        key, now, new, kick = row
        p = p - 0.5 * h * gradient
        x = x + 0.5 * h * p
        p = damping * p + spread * jax.random.normal(key, p.shape, dtype)
        x = x + 0.5 * h * p
        work = work + energies(x, new) - energies(x, now)
        gradient = gradients(x, kick)
        return (x, p - 0.5 * h * gradient, gradient, work), None

    work = energies(position, held[1]) - energies(position, held[0])
    carry = (position, momentum, gradients(position, kicks[0]), work)
    rows = (jax.random.split(key, steps), held[1:-1], held[2:], kicks[1:])
    (x, p, _, work), _ = jax.lax.scan(step, carry, rows)
    return x, p, work
