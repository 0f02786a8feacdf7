"""Several BAOAB steps in one kernel: noise and motion written out elementwise, for XLA to fuse.

What a GPU could do where the force of a coordinate depends on that coordinate alone. The engine
writes out substeps on a GPU as well, but with the whole ledger, which XLA keeps in several kernels;
on a CPU it draws the noise of many steps at once, which is faster there.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from thermojax.dynamics.random import both_normals, key_words

from .cases import STEP, Case


def unrolled(case: Case, unroll: int):
    """f(state, key) -> position, momentum, work of the stiffness ramp, `unroll` steps a kernel.

    Work is booked per coordinate and summed at the end, else it would end the kernel.

    **Raises:** ValueError unless `unroll` is even and divides the number of steps.
    """
    if unroll % 2 or case.steps % unroll:
        raise ValueError(
            f"unroll = {unroll} for {case.steps} steps: expected an even number that divides them"
        )
    damping, spread = math.exp(-STEP), math.sqrt(-math.expm1(-2 * STEP))
    held, kicks = (jnp.asarray(part) for part in case.controls())
    fold = lambda leaf: leaf.reshape(-1, unroll)
    rows = (fold(kicks[:-1]), fold(kicks[1:]), fold(held[2:] - held[1:-1]))
    firsts = jnp.arange(case.steps // unroll, dtype=jnp.uint32) * np.uint32(unroll // 2)

    def run(state, key):
        words = key_words(key)
        x, p = state.position, state.momentum
        index = jax.lax.iota(jnp.uint32, x.size).reshape(x.shape)

        def several(carry, row):
            x, p, work = carry
            first, early, late, jump = row
            for i in range(unroll):
                if i % 2 == 0:
                    noise = both_normals(words, index, first + np.uint32(i // 2))
                p = p - 0.5 * STEP * early[i] * x
                x = x + 0.5 * STEP * p
                p = damping * p + spread * noise[i % 2]
                x = x + 0.5 * STEP * p
                work = work + 0.5 * jump[i] * x**2
                p = p - 0.5 * STEP * late[i] * x
            return (x, p, work), None

        work = 0.5 * (held[1] - held[0]) * x**2
        (x, p, work), _ = jax.lax.scan(several, (x, p, work), (firsts, *rows))
        return x, p, jnp.sum(work, axis=-1)

    return run
