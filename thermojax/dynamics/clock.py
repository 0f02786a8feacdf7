"""The time of a chain, to twice the digits of its dtype."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Clock(eqx.Module):
    """A time as the sum of two floats: the nearest one, and what it is off; both scalars.

    Steps may differ from call to call and be traced, so that time is no integer times one step.
    Added up in one float32 number, 2e6 steps of 1e-3 come to a time that is 1.65 % too short.
    """

    time: Float[Array, ""]
    rest: Float[Array, ""]

    @classmethod
    def at(cls, time: Float[Array, ""]) -> Clock:
        return cls(time, jnp.zeros_like(time))

    def after(self, offset):
        """The time `offset` later, the nearest float to it."""
        return self.time + (self.rest + offset)

    def moved(self, steps: int, h: Float[Array, ""]) -> Clock:
        """The clock `steps` steps of `h` later, to the last of both floats' digits.

        h is split into two numbers of half its digits, and `steps` into such of as many, so that
        each product is exact. No compiler may contract or reorder these sums: XLA does not.
        """
        info = jnp.finfo(h.dtype)
        half = (info.nmant + 1) // 2
        high = jax.lax.stop_gradient(jax.lax.reduce_precision(h, info.nexp, half - 1))
        clock, power = self, 0
        while steps >> (half * power):
            some = float((steps >> (half * power)) % 2**half * 2 ** (half * power))
            clock, power = clock.plus(some * high).plus(some * (h - high)), power + 1
        return clock

    def plus(self, duration: Float[Array, ""]) -> Clock:
        """The clock later by one float (D. E. Knuth's sum of two, which loses nothing)."""
        total = self.time + duration
        added = total - self.time
        lost = (self.time - (total - added)) + (duration - added)
        rest = self.rest + lost
        time = total + rest
        return Clock(time, rest - (time - total))
