"""t -> control: what a schedule tells the engine."""

from __future__ import annotations

import abc

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import AbstractComponent


class AbstractProtocol(AbstractComponent):
    """A control as a function of time on [0, duration], with values outside of it.

    Outside, the control is `initial` before 0 and `final` after `duration`. Where these differ
    from the values just inside, the protocol jumps, and the jump's work is paid. `kicks` are
    the strengths kappa of delta functions in the control at the two ends, `(2, ...)`: an
    impulse p <- p - kappa grad_x dU/dcontrol; None for none.

    A new protocol is a subclass with these members and `__call__`.
    """

    duration: Float[Array, ""]
    initial: Float[Array, "*control"]
    final: Float[Array, "*control"]
    kicks: Float[Array, "2 *control"] | None

    @abc.abstractmethod
    def __call__(self, t: Float[Array, ""]) -> Float[Array, "*control"]:
        """The control at time t inside [0, duration]: 0+ at t = 0, duration- at the end."""

    def project(self) -> AbstractProtocol:
        """The nearest protocol within its bounds; itself where it has none."""
        return self

    def trainable(self) -> tuple[str, ...]:
        """The fields that `tj.optimize` trains when not told otherwise."""
        return ()


def value_at(protocol: AbstractProtocol, t) -> Float[Array, "*control"]:
    """The control at any time: the outside values before 0 and from `duration` on."""
    inside = protocol(jnp.clip(t, 0, protocol.duration))
    control = jnp.where(t < 0, protocol.initial, inside)
    return jnp.where(t >= protocol.duration, protocol.final, control)


def values_at(protocol: AbstractProtocol, times: Float[Array, " n"]) -> Float[Array, "n *control"]:
    """The inside values at many times, in one call."""
    return jax.vmap(protocol)(times)
