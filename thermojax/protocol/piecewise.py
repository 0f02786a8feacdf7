"""Schedules that learn: values on knots, free to jump at both ends."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import Numbers, Positive, floating, known, positive, require
from .base import AbstractProtocol
from .fixed import require_same_shape


class PiecewiseLinear(AbstractProtocol):
    r"""Straight lines between values on equally spaced knots, the first at 0+, the last at tau-.

    The control is `initial` before 0 and `final` after `duration`; where the first and last
    values differ from these it jumps, and the jumps are paid for in the work. `values` and
    `kicks` train; the outside values do not.

    **Arguments:**

    - `values`: `(knots,)` for a scalar control, `(knots, k)` for a vector; at least two knots.
    - `duration`: time.
    - `initial`, `final`: the outside values; those of the first and last knot when left out.
    - `lower`, `upper`: bounds on the values, kept by projection after every update.
    - `kicks`: `(2,)` or `(2, k)`, strengths of the momentum kicks at both ends (control * time).

    **Raises:** ValueError for fewer than two knots, a duration that is not positive, shapes that
    differ, contradictory bounds, or values outside of them.
    """

    values: Float[Array, "knots *control"]
    duration: Float[Array, ""]
    initial: Float[Array, "*control"]
    final: Float[Array, "*control"]
    lower: Float[Array, "*control"] | None
    upper: Float[Array, "*control"] | None
    kicks: Float[Array, "2 *control"] | None

    def __init__(
        self,
        values: Numbers,
        duration: Positive,
        initial: Numbers | None = None,
        final: Numbers | None = None,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        kicks: Numbers | None = None,
    ):
        self.values, self.duration = floating(values), floating(duration)
        if self.values.ndim < 1 or self.values.shape[0] < 2:
            raise ValueError(
                f"values has shape {self.values.shape}: expected at least two knots, (knots,) or "
                "(knots, k); use tj.Constant for one value"
            )
        self.initial = self.values[0] if initial is None else floating(initial)
        self.final = self.values[-1] if final is None else floating(final)
        self.lower = None if lower is None else floating(lower)
        self.upper = None if upper is None else floating(upper)
        self.kicks = None if kicks is None else floating(kicks)
        require("duration", self.duration, positive, "a positive time")
        require("values", self.values, np.isfinite, "finite controls")
        require_same_shape(values=self.values[0], initial=self.initial, final=self.final)
        if self.kicks is not None:
            require_same_shape(values=self.values[:2], kicks=self.kicks)
        self._check_bounds()

    def _check_bounds(self):
        lower, upper = (None if x is None else known(x) for x in (self.lower, self.upper))
        values = known(self.values)
        if lower is not None and upper is not None and np.any(lower >= upper):
            raise ValueError(f"lower = {lower} and upper = {upper}: expected lower below upper")
        if values is None:
            return
        if lower is not None and np.any(values < lower):
            raise ValueError(f"values reach {values.min():.6g}, below lower = {lower}: move one")
        if upper is not None and np.any(values > upper):
            raise ValueError(f"values reach {values.max():.6g}, above upper = {upper}: move one")

    @classmethod
    def between(
        cls,
        initial: Numbers,
        final: Numbers,
        duration: Positive,
        knots: Annotated[int, ">= 2"] = 16,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        kicks: Numbers | None = None,
    ) -> PiecewiseLinear:
        """The linear ramp from `initial` to `final` on `knots` knots, ready to be optimized.

        The outside values are `initial` and `final` for good; every value inside, 0+ and tau-
        included, trains.
        """
        if knots < 2:
            raise ValueError(f"knots = {knots}: expected at least two")
        initial, final = floating(initial), floating(final)
        require_same_shape(initial=initial, final=final)
        values = jnp.linspace(initial, final, knots)
        return cls(values, duration, initial, final, lower, upper, kicks)

    def __call__(self, t):
        last = self.values.shape[0] - 1
        place = jnp.clip(t / self.duration, 0, 1) * last
        left = jnp.minimum(jnp.floor(place).astype(int), last - 1)
        fraction = place - left
        return self.values[left] * (1 - fraction) + self.values[left + 1] * fraction

    @property
    def knots(self) -> Float[Array, " knots"]:
        """The times of the knots."""
        return jnp.linspace(0, 1, self.values.shape[0]) * self.duration

    def events(self):
        return self.knots[1:-1] if len(self.values) > 2 else None

    def impulses(self):
        return self.kicks

    def project(self):
        values = self.values
        if self.lower is not None:
            values = jnp.maximum(values, self.lower)
        if self.upper is not None:
            values = jnp.minimum(values, self.upper)
        return PiecewiseLinear(
            values, self.duration, self.initial, self.final, self.lower, self.upper, self.kicks
        )

    def trainable(self):
        return ("values",) if self.kicks is None else ("values", "kicks")
