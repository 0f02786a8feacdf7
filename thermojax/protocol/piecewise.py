"""Schedules that learn: straight lines or steps between values on evenly spaced knots."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .knots import AbstractKnots, piecewise_linear, piecewise_linear_tabulated

ROUNDING = 8  # times the precision: how near to an edge a time is taken to be on it


class PiecewiseLinear(AbstractKnots):
    r"""Straight lines between values on equally spaced knots, the first at 0+, the last at tau-.

    The control is `initial` before 0 and `final` after `duration`; where the first and last
    values differ from these it jumps, and the jumps are paid for in the work. `values` and
    `kicks` train; the outside values do not.

    **Arguments:**

    - `values`: `(knots,)` for a scalar control, `(knots, k)` for a vector; at least two knots.
    - `duration`: time.
    - `initial`, `final`: the outside values; those of the first and last knot when left out.
    - `lower`, `upper`: bounds on the values, numbers or `(k,)`, kept by projection after every
      update.
    - `kicks`: `(2,)` or `(2, k)`, strengths of the momentum kicks at both ends (control * time).
    - `pinned`: True for no jumps: the values at the ends are the outside ones, and do not train.

    **Raises:** ValueError for fewer than two knots, a duration that is not positive, shapes that
    differ, contradictory bounds, or values outside of them.
    """

    __init__ = AbstractKnots.__init__  # a type checker would else make one of the fields

    @staticmethod
    def positions(count):
        return np.linspace(0, 1, count)

    def __call__(self, t):
        return piecewise_linear(self.knot_values, t / self.duration)

    def tabulated(self, times):
        return piecewise_linear_tabulated(self.knot_values, times / self.duration)

    def events(self):
        return self.knots[1:-1] if len(self.values) > 2 else None

    def mirrored(self):
        return self.in_reverse_order()


class PiecewiseConstant(AbstractKnots):
    r"""Equally long intervals in each of which the control stands still; it jumps between them.

    **Arguments:** as for `tj.PiecewiseLinear`, with one value for each interval, `(intervals,)` or
    `(intervals, k)`; with `pinned` the first and the last hold the outside values. In
    `tj.simulate` intervals begin and end at steps: let their number divide that of the steps. The
    force of a step that ends on an edge is the mean of both sides.

    **Raises:** ValueError as `tj.PiecewiseLinear`.
    """

    __init__ = AbstractKnots.__init__  # a type checker would else make one of the fields

    @staticmethod
    def positions(count):
        return (np.arange(count) + 0.5) / count

    def __call__(self, t):
        # By comparison with `events`, so that a solver that stops there finds the right side.
        return self.knot_values[jnp.searchsorted(self.events(), t, side="right")]

    def tabulated(self, times):
        # A time on an edge, to rounding, belongs to both sides: a path run backward meets the same
        # control there, and the two halves of a kick have that of either side.
        count = len(self.values)
        place, slack = times / self.duration * count, ROUNDING * count * jnp.finfo(times.dtype).eps
        sides = (jnp.floor(place + s).astype(jnp.int32) for s in (-slack, slack))
        before, after = (self.knot_values[jnp.clip(i, 0, count - 1)] for i in sides)
        return 0.5 * (before + after)

    def tabulated_unevenly(self, times):
        return self.tabulated(times)

    def events(self):
        edges = np.arange(1, len(self.values)) / len(self.values)
        return jnp.asarray(edges, self.values.dtype) * self.duration

    def jumps(self):
        return self.events(), self.knot_values[:-1], self.knot_values[1:]

    def mirrored(self):
        return self.in_reverse_order()
