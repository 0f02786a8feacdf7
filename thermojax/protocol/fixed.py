"""Schedules without anything to learn."""

from __future__ import annotations

from jaxtyping import Array, Float

from .._component import Numbers, Positive, finite, positive_number
from .base import AbstractProtocol, require_same_shape


class Constant(AbstractProtocol):
    """The control stays at `value`.

    **Arguments:** `value`, a number or `(k,)`; `duration`, time (1 when left out: only
    `tj.simulate` reads it, `tj.advance` goes on for ever).

    **Raises:** ValueError for a duration that is not positive, or a value that is not finite.
    """

    value: Float[Array, "*control"]
    duration: Float[Array, ""]

    def __init__(self, value: Numbers = 0.0, duration: Positive = 1.0):
        self.value = finite("value", value)
        self.duration = positive_number("duration", duration, "time")

    @property
    def initial(self):
        return self.value

    @property
    def final(self):
        return self.value

    def __call__(self, t):
        return self.value

    def mirrored(self):
        return self


class Linear(AbstractProtocol):
    """The straight ramp control(t) = start + (end - start) t / duration, without jumps.

    **Arguments:** `start` and `end`, numbers or `(k,)` of one shape; `duration`, time.

    **Raises:** ValueError for shapes that differ, a duration that is not positive, or ends that are
    not finite.
    """

    start: Float[Array, "*control"]
    end: Float[Array, "*control"]
    duration: Float[Array, ""]

    def __init__(self, start: Numbers, end: Numbers, duration: Positive):
        self.start, self.end = finite("start", start), finite("end", end)
        self.duration = positive_number("duration", duration, "time")
        require_same_shape(start=self.start, end=self.end)

    @property
    def initial(self):
        return self.start

    @property
    def final(self):
        return self.end

    def __call__(self, t):
        return self.start + (self.end - self.start) * (t / self.duration)

    def mirrored(self):
        return Linear(self.end, self.start, self.duration)
