"""Schedules that learn, as a neural network of time."""

from __future__ import annotations

from typing import Annotated, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from annotated_types import Ge
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import flag, function, instance, whole
from .._component import Numbers, Positive, finite, positive_number
from .._keys import check_key
from .base import AbstractProtocol, require_same_shape
from .knots import check_bounds, checked_kicks, clipped, optional


# By name in a module, so that a network can be pickled: jnp.tanh and a lambda cannot.
def tanh(x):
    return jnp.tanh(x)


def identity(x):
    return x


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
        network = instance(
            "network", network, eqx.Module, "an eqx.nn.MLP, or use tj.Neural.between(...)"
        )
        function("network", network, "an eqx.nn.MLP, or use tj.Neural.between(...)")
        self.network, self.pinned = network, flag("pinned", pinned)
        self.duration = positive_number("duration", duration, "time")
        self.initial, self.final = finite("initial", initial), finite("final", final)
        self.lower, self.upper = optional(lower, "lower"), optional(upper, "upper")
        require_same_shape(initial=self.initial, final=self.final)
        self.kicks = checked_kicks(kicks, self.initial.shape)
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
        width: Annotated[int, Ge(1)] = 16,
        depth: Annotated[int, Ge(1)] = 2,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        kicks: Numbers | None = None,
        pinned: bool = False,
    ) -> Self:
        """The linear ramp from `initial` to `final`, ready to be optimized; tanh inside."""
        check_key(key)
        initial = finite("initial", initial)
        if initial.ndim > 1 or initial.size == 0:
            raise ValueError(
                f"initial has shape {initial.shape}: expected a number or (k,), k at least 1"
            )
        size = "scalar" if initial.ndim == 0 else len(initial)
        width, depth = whole("width", width), whole("depth", depth)
        network = eqx.nn.MLP(1, size, width, depth, tanh, identity, dtype=initial.dtype, key=key)
        last = lambda net: (net.layers[-1].weight, net.layers[-1].bias)
        network = eqx.tree_at(last, network, replace_fn=jnp.zeros_like)
        return cls(network, duration, initial, final, lower, upper, kicks, pinned)

    def correction(self, t):
        """The deviation from the ramp, given by the network."""
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
