"""Schedules that learn, as a neural network of time."""

from __future__ import annotations

from typing import Annotated, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._component import Numbers, Positive, floating, positive, require
from .base import AbstractProtocol
from .fixed import require_same_shape
from .knots import check_bounds, clipped, optional


class Neural(AbstractProtocol):
    r"""The linear ramp plus a network of s = t / duration,

        control = initial + (final - initial) s + network(2 s - 1),

    clipped to the bounds. With `pinned` the network is multiplied by 4 s (1 - s): no jumps.

    **Arguments:**

    - `network`: an `eqx.nn.MLP` (or any module) from `(1,)` to the shape of the control.
    - `duration`: time. `initial`, `final`: the outside values, numbers or `(k,)`.
    - `lower`, `upper`: bounds, numbers or `(k,)`, kept by clipping at all times.
    - `kicks`: `(2,)` or `(2, k)`, as in `tj.PiecewiseLinear`. `pinned`: True for no jumps.

    `between` needs a `key` and starts from the ramp: the last layer is zero.

    **Raises:** ValueError for a duration that is not positive, shapes that differ, contradictory
    bounds, or ends of the ramp outside of them.
    """

    network: eqx.Module
    duration: Float[Array, ""]
    initial: Float[Array, "*control"]
    final: Float[Array, "*control"]
    lower: Float[Array, "*control"] | None
    upper: Float[Array, "*control"] | None
    kicks: Float[Array, "2 *control"] | None
    pinned: bool = eqx.field(static=True)

    def __init__(
        self,
        network: eqx.Module,
        duration: Positive,
        initial: Numbers,
        final: Numbers,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        kicks: Numbers | None = None,
        pinned: bool = False,
    ):
        self.network, self.duration, self.pinned = network, floating(duration), pinned
        self.initial, self.final = floating(initial), floating(final)
        self.lower, self.upper, self.kicks = optional(lower), optional(upper), optional(kicks)
        require("duration", self.duration, positive, "a positive time")
        require_same_shape(initial=self.initial, final=self.final)
        if self.kicks is not None:
            require_same_shape(initial=self.initial, kicks=self.kicks[0])
        ends = dict(initial=self.initial, final=self.final)
        check_bounds(self.lower, self.upper, self.initial.shape, **ends)
        shape = jax.eval_shape(self.correction, self.duration).shape
        if shape != self.initial.shape:
            raise ValueError(
                f"network returns the shape {shape}: expected that of the control, "
                f"{self.initial.shape}, as tj.Neural.between builds it"
            )

    @classmethod
    def between(
        cls,
        initial: Numbers,
        final: Numbers,
        duration: Positive,
        *,
        key: PRNGKeyArray,
        width: Annotated[int, ">= 1"] = 16,
        depth: Annotated[int, ">= 1"] = 2,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        kicks: Numbers | None = None,
        pinned: bool = False,
    ) -> Self:
        """The linear ramp from `initial` to `final`, ready to be optimized; tanh inside."""
        initial = floating(initial)
        size = "scalar" if initial.ndim == 0 else len(initial)
        network = eqx.nn.MLP(1, size, width, depth, jnp.tanh, dtype=initial.dtype, key=key)
        last = lambda net: (net.layers[-1].weight, net.layers[-1].bias)
        network = eqx.tree_at(last, network, replace_fn=jnp.zeros_like)
        return cls(network, duration, initial, final, lower, upper, kicks, pinned)

    def correction(self, t):
        """What the network adds to the ramp."""
        s = t / self.duration
        added = self.network(jnp.atleast_1d(2 * s - 1))  # pyright: ignore[reportCallIssue]
        return 4 * s * (1 - s) * added if self.pinned else added

    def __call__(self, t):
        s = t / self.duration
        ramp = self.initial + (self.final - self.initial) * s
        return clipped(ramp + self.correction(t), self.lower, self.upper)

    def impulses(self):
        return self.kicks

    def trainable(self):
        return ("network",) if self.kicks is None else ("network", "kicks")
