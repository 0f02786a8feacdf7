"""t -> control: the base class of schedules."""

import abc
import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._component import AbstractComponent, finite, positive_number


class AbstractProtocol(AbstractComponent):
    """A control (a scalar or `(k,)`) as a function of time on [0, duration], and outside of it.

    Outside, the control is `initial` before 0 and `final` after `duration`. Where these differ
    from the values just inside, the protocol jumps, and the jump's work is paid.

    A new protocol is a subclass with `duration`, `initial`, `final` (fields or properties) and
    `__call__`; the other methods have defaults.
    """

    duration: eqx.AbstractVar[Float[Array, ""]]
    initial: eqx.AbstractVar[Float[Array, "*control"]]
    final: eqx.AbstractVar[Float[Array, "*control"]]

    def __check_init__(self):
        fields = {field.name for field in dataclasses.fields(self)}
        for name in ("duration", "initial", "final"):
            value = getattr(self, name)
            array = (
                positive_number(name, value, "time") if name == "duration" else finite(name, value)
            )
            if name in fields:  # a field that holds a Python number
                object.__setattr__(self, name, array)
        require_same_shape(initial=self.initial, final=self.final)

    @abc.abstractmethod
    def __call__(self, t: Float[Array, ""]) -> Float[Array, "*control"]:
        """The control at time t inside [0, duration]: 0+ at t = 0, duration- at the end."""

    def tabulated(self, times: Float[Array, " n"]) -> Float[Array, "n *control"]:
        """The control at ascending, evenly spaced times from one end of [0, duration] to the other.

        For a protocol that knows a faster way than one call for each, or that jumps at some of
        these times: to the steps of a run the control at a jump is the mean of both sides.
        """
        return values_at(self, times)

    def tabulated_unevenly(self, times: Float[Array, " n"]) -> Float[Array, "n *control"]:
        """As `tabulated`, at ascending times of any distances: of steps that differ in size."""
        return values_at(self, times)

    def impulses(self) -> Float[Array, "2 *control"] | None:
        """Strengths kappa of delta functions in the control at the two ends, None for none.

        Each is an impulse p <- p - kappa grad_x dU/dcontrol.
        """
        return None

    def events(self) -> Float[Array, " events"] | None:
        """The times inside (0, duration) where the control or its slope jumps, None for none.

        Solvers with adaptive steps stop there.
        """
        return None

    def jumps(self) -> tuple[Float[Array, " n"], Array, Array] | None:
        """The times inside (0, duration) where the control itself jumps, and its values before and
        after, each `(n, *control)`; None for none. All of these times are `events`, too.
        """
        return None

    def mirrored(self) -> "AbstractProtocol | None":
        """The protocol run backward, control(duration - t), where one of its own class says so:
        outside values swapped, values and kicks in reverse order. Programs that were compiled for
        the one then run the other. None where none does.
        """
        return None

    def project(self) -> "AbstractProtocol":
        """The nearest protocol within its bounds; itself where it has none."""
        return self

    def trainable(self) -> tuple[str, ...]:
        """The fields that `tj.optimize` trains when not told otherwise."""
        return ()


def require_same_shape(**values) -> None:
    shapes = {name: jnp.shape(value) for name, value in values.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the controls have different shapes ({listed}): make them one shape")


def value_at(protocol: AbstractProtocol, t) -> Float[Array, "*control"]:
    """The control at any time: the outside values before 0 and from `duration` on."""
    during = protocol(jnp.clip(t, 0, protocol.duration))
    control = jnp.where(t < 0, protocol.initial, during)
    return jnp.where(t >= protocol.duration, protocol.final, control)


def value_outside(value, end: Literal["initial", "final"]):
    """The value of a schedule before (`initial`) or after the run; a constant is itself."""
    return jnp.asarray(getattr(value, end)) if isinstance(value, AbstractProtocol) else value


def values_at(protocol: AbstractProtocol, times: Float[Array, " n"]) -> Float[Array, "n *control"]:
    """The inside values at many times, in one call."""
    return jax.vmap(protocol)(times)


def require_no_jumps(protocol: AbstractProtocol, who: str) -> None:
    """Refuse a control that jumps inside of the run, for those who follow its slope."""
    if protocol.jumps() is not None:
        raise ValueError(
            f"{who} follows the slope of the control, and {type(protocol).__name__} jumps inside "
            "of the run: use tj.PiecewiseLinear"
        )
