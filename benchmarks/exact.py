"""The exact mean work of a stiffness ramp, by the second moments of BAOAB itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .cases import STEP, Case


def mean_work(case: Case, values):
    """<W> of one path of `case` with these schedule values; kT = friction = mass = 1.

    A substep is linear in (x, p), so S = <(x, p)(x, p)^T> goes to M S M^T + N, and the switch of
    the stiffness from k to k' at a grid point does the work (k' - k) <x^2> / 2 per coordinate.
    Differentiable in `values`: that is the exact gradient.
    """
    h, grid = STEP, jnp.arange(case.steps + 1.0)
    knots = jnp.linspace(0, case.steps, values.size)
    middles, kicks = (jnp.interp(at, knots, values) for at in (grid[:-1] + 0.5, grid))
    before, after = (jnp.asarray(end)[None] for end in case.ends)
    held = jnp.concatenate([before, middles, after])
    damping, noise = np.exp(-h), -np.expm1(-2 * h)

    def kick(k):
        return jnp.eye(2).at[1, 0].set(-0.5 * h * k)

    drift = jnp.array([[1, 0.5 * h], [0, 1]])
    fluctuation = jnp.diag(jnp.array([0, noise]))

    def substep(moments, row):
        first, last, now, new = row
        late = kick(last) @ drift
        whole = late @ jnp.diag(jnp.array([1, damping])) @ drift @ kick(first)
        moments = whole @ moments @ whole.T + late @ fluctuation @ late.T
        return moments, 0.5 * (new - now) * moments[0, 0]

    moments = jnp.diag(jnp.array([1 / case.ends[0], 1.0]))
    jump = 0.5 * (held[1] - held[0]) * moments[0, 0]
    _, works = jax.lax.scan(substep, moments, (kicks[:-1], kicks[1:], held[1:-1], held[2:]))
    return case.dim * (jump + jnp.sum(works))


def of_case(case: Case, function=mean_work) -> np.ndarray:
    """`function(case, values)` in float64, whatever the default is."""
    with jax.enable_x64(True):
        values = jnp.asarray(np.asarray(case.inputs(jax.random.key(0))[0]), jnp.float64)
        return np.asarray(jax.jit(lambda v: function(case, v))(values))
