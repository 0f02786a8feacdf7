"""Peers: Numba, a compiled loop over particles and steps, with one thread and with all."""

from __future__ import annotations

import functools
import math

import numpy as np

from ..cases import STEP
from ..report import cores
from .peer import AbstractPeer, Outcome, starts


@functools.cache
def compiled(parallel: bool):
    """The loop: numba's own generator (Mersenne Twister, a state per thread), float32."""
    import numba

    each = numba.prange
    normal = np.random.standard_normal  # the one that numba has for each thread

    def loop(x, p, work, held, kicks, steps, h, damping, spread):
        half = np.float32(0.5)
        for i in each(x.shape[0]):
            booked = np.float32(0)
            for c in range(x.shape[1]):
                q, v = x[i, c], p[i, c]
                booked += half * (held[1] - held[0]) * q * q
                for n in range(steps):
                    v -= half * h * kicks[n] * q
                    q += half * h * v
                    v = damping * v + spread * np.float32(normal())
                    q += half * h * v
                    booked += half * (held[n + 2] - held[n + 1]) * q * q
                    v -= half * h * kicks[n + 1] * q
                x[i, c], p[i, c] = q, v
            work[i] = booked

    return numba.njit(parallel=parallel, fastmath=True)(loop)


@functools.cache
def seeder(parallel: bool):
    """Seeds the generators of all threads that the loop may use."""
    import numba

    def seed(start, threads):
        for i in numba.prange(threads):
            np.random.seed(start + i)  # noqa: NPY002, the only way to seed numba's generator

    return numba.njit(parallel=parallel)(seed)


class NumbaLoop(AbstractPeer):
    """One thread."""

    name = "numba loop, 1 thread"
    packages = (("numba", "numba"),)
    least, least_wide, least_single = 5.0, 5.0, 5.0
    parallel = False

    def build(self, case, steps, seed=0):
        x0, p0 = starts(case, seed)
        held, kicks = case.controls()
        loop = compiled(self.parallel)
        seeder(self.parallel)(1000 * seed, cores())
        h, damping, spread = (
            np.float32(v) for v in (STEP, math.exp(-STEP), math.sqrt(-math.expm1(-2 * STEP)))
        )

        def run():
            x, p, work = x0.copy(), p0.copy(), np.empty(len(x0), np.float32)
            loop(x, p, work, held, kicks, steps, h, damping, spread)
            return Outcome(x, p, work)

        return run


class NumbaThreads(NumbaLoop):
    """All threads, particles shared out."""

    name = "numba loop, all threads"
    parallel = True
