"""Schedules that learn and never turn back."""

from __future__ import annotations

from typing import Annotated, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from annotated_types import Ge
from jaxtyping import Array, Float

from .._arguments import flag
from .._component import Numbers, Positive, finite, positive_number
from .base import AbstractProtocol, require_same_shape
from .knots import checked_count, checked_kicks, piecewise_linear, piecewise_linear_tabulated


class Monotone(AbstractProtocol):
    r"""Straight lines between knots, from `initial` to `final` without ever turning back:

        control_i = initial + (final - initial) (p_0 + ... + p_i),      p = softmax(logits),

    so that every fraction p of the way is positive: of the jump at 0, of each interval between two
    knots, and of the jump at the end. Monotone, and between its ends, by construction.

    **Arguments:**

    - `logits`: `(knots + 1,)`, for a vector control `(knots + 1, k)`; with `pinned` `(knots - 1,)`.
    - `duration`: time. `initial`, `final`: the outside values, numbers or `(k,)`.
    - `kicks`: `(2,)` or `(2, k)`, as in `tj.PiecewiseLinear`.
    - `pinned`: True for no jumps at the ends.

    **Raises:** ValueError for fewer than two knots, a duration that is not positive, or shapes that
    differ.
    """

    logits: Float[Array, "shares *control"]
    duration: Float[Array, ""]
    initial: Float[Array, "*control"]
    final: Float[Array, "*control"]
    kicks: Float[Array, "2 *control"] | None
    pinned: bool = eqx.field(static=True)

    def __init__(
        self,
        logits: Numbers,
        duration: Positive,
        initial: Numbers,
        final: Numbers,
        kicks: Numbers | None = None,
        pinned: bool = False,
    ):
        self.logits = finite("logits", logits)
        self.duration = positive_number("duration", duration, "time")
        self.pinned = flag("pinned", pinned)
        self.initial, self.final = finite("initial", initial), finite("final", final)
        fewest = 1 if pinned else 3
        if self.logits.ndim < 1 or len(self.logits) < fewest:
            raise ValueError(
                f"logits has shape {self.logits.shape}: expected at least {fewest}, one for each "
                "interval between two knots" + ("" if pinned else ", and for both jumps")
            )
        require_same_shape(logits=self.logits[0], initial=self.initial, final=self.final)
        self.kicks = checked_kicks(kicks, self.initial.shape)

    @classmethod
    def between(
        cls,
        initial: Numbers,
        final: Numbers,
        duration: Positive,
        knots: Annotated[int, Ge(2)] = 16,
        kicks: Numbers | None = None,
        pinned: bool = False,
    ) -> Self:
        """Equal shares of the way for all intervals and both jumps: nearly the linear ramp."""
        initial, final = finite("initial", initial), finite("final", final)
        shares = checked_count(knots) + (-1 if flag("pinned", pinned) else 1)
        logits = jnp.zeros((shares, *initial.shape), initial.dtype)
        return cls(logits, duration, initial, final, kicks, pinned)

    @property
    def values(self) -> Float[Array, "knots *control"]:
        """The controls on the knots, those at 0+ and tau- first and last."""
        way = jnp.cumsum(jax.nn.softmax(self.logits, axis=0), axis=0)
        way = jnp.concatenate([jnp.zeros_like(way[:1]), way]) if self.pinned else way[:-1]
        return self.initial + (self.final - self.initial) * way

    @property
    def knots(self) -> Float[Array, " knots"]:
        """The times of the knots."""
        return jnp.linspace(0, 1, len(self.values)) * self.duration

    def __call__(self, t):
        return piecewise_linear(self.values, t / self.duration)

    def tabulated(self, times):
        return piecewise_linear_tabulated(self.values, times / self.duration)

    def impulses(self):
        return self.kicks

    def events(self):
        return self.knots[1:-1] if len(self.values) > 2 else None

    def mirrored(self):
        kicks = None if self.kicks is None else self.kicks[::-1]
        logits = self.logits[::-1]
        return Monotone(logits, self.duration, self.final, self.initial, kicks, self.pinned)

    def trainable(self):
        return ("logits",) if self.kicks is None else ("logits", "kicks")
