"""Values on knots that train, whatever joins them."""

from __future__ import annotations

import abc
from typing import Annotated, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from jaxtyping import Array, Float

from .._arguments import flag, whole
from .._component import Numbers, Positive, finite, floating, known, positive_number
from .._tree import in_memory
from .base import AbstractProtocol, require_same_shape


def optional(value, name: str) -> Array | None:
    return None if value is None else floating(value, name)


def checked_kicks(kicks, shape: tuple[int, ...]) -> Array | None:
    """Kicks `(2, *shape)` for controls of this shape, or None."""
    if kicks is None:
        return None
    kicks = finite("kicks", kicks)
    if kicks.shape != (2, *shape):
        raise ValueError(
            f"kicks has shape {kicks.shape}: expected {(2, *shape)}, one kick at each end in the "
            "shape of the control"
        )
    return kicks


class AbstractKnots(AbstractProtocol):
    """A control given by its values on knots, free to jump at both ends.

    The control is `initial` before 0 and `final` after `duration`; where the values at 0+ and tau-
    differ from these it jumps, and the jumps are paid for in the work. `values` and `kicks` train;
    the outside values do not. A subclass says where the knots are and what lies between them.
    """

    values: Float[Array, "knots *control"]
    duration: Float[Array, ""]
    initial: Float[Array, "*control"]
    final: Float[Array, "*control"]
    lower: Float[Array, "*control"] | None
    upper: Float[Array, "*control"] | None
    kicks: Float[Array, "2 *control"] | None
    pinned: bool = eqx.field(static=True)

    def __init__(
        self,
        values: Numbers,
        duration: Positive,
        initial: Numbers | None = None,
        final: Numbers | None = None,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        kicks: Numbers | None = None,
        pinned: bool = False,
    ):
        self.values = finite("values", values)
        self.duration = positive_number("duration", duration, "time")
        self.pinned = flag("pinned", pinned)
        shape = self.values.shape
        if len(shape) < 1 or shape[0] < 2:
            raise ValueError(
                f"values has shape {shape}: expected at least two knots, (knots,) or "
                "(knots, k); use tj.Constant for one value"
            )
        self.initial = self.values[0] if initial is None else finite("initial", initial)
        self.final = self.values[-1] if final is None else finite("final", final)
        self.lower, self.upper = optional(lower, "lower"), optional(upper, "upper")
        require_same_shape(values=self.values[0], initial=self.initial, final=self.final)
        self.kicks = checked_kicks(kicks, shape[1:])
        check_bounds(self.lower, self.upper, shape[1:], values=self.values)
        if pinned:
            ends = dict(initial=self.initial, final=self.final)
            check_bounds(self.lower, self.upper, shape[1:], **ends)

    @staticmethod
    @abc.abstractmethod
    def positions(count: int) -> np.ndarray:
        """The places of `count` knots in units of the duration, `(count,)`."""

    @classmethod
    def between(
        cls,
        initial: Numbers,
        final: Numbers,
        duration: Positive,
        knots: Annotated[int, Ge(2)] = 16,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        kicks: Numbers | None = None,
        pinned: bool = False,
    ) -> Self:
        """The linear ramp from `initial` to `final` on `knots` knots, ready to be optimized.

        The outside values are `initial` and `final` for good; every value inside, 0+ and tau-
        included, trains (with `pinned` all but these two, and nothing jumps).
        """
        values = ramp(initial, final, cls.positions(checked_count(knots)))
        return cls(values, duration, initial, final, lower, upper, kicks, pinned)

    @property
    def knots(self) -> Float[Array, " knots"]:
        """The times of the knots."""
        return jnp.asarray(self.positions(len(self.values)), self.values.dtype) * self.duration

    @property
    def knot_values(self) -> Float[Array, "knots *control"]:
        """The values in force: those at the ends are the outside ones where they are pinned."""
        if not self.pinned:
            return self.values
        return self.values.at[0].set(self.initial).at[-1].set(self.final)

    def impulses(self):
        return self.kicks

    def in_reverse_order(self) -> Self:
        """The `mirrored` one, where what lies between the knots looks alike from both sides."""
        return type(self)(
            self.values[::-1],
            self.duration,
            self.final,
            self.initial,
            self.lower,
            self.upper,
            None if self.kicks is None else self.kicks[::-1],
            self.pinned,
        )

    def project(self):
        values = clipped(self.knot_values, self.lower, self.upper)
        return eqx.tree_at(lambda protocol: protocol.values, self, values)

    def trainable(self):
        return ("values",) if self.kicks is None else ("values", "kicks")


def checked_count(knots: int) -> int:
    return whole("knots", knots, 2)


def ramp(initial: Numbers, final: Numbers, positions: np.ndarray) -> Float[Array, "n *control"]:
    """initial + (final - initial) s at all positions s."""
    initial, final = finite("initial", initial), finite("final", final)
    require_same_shape(initial=initial, final=final)
    s = jnp.asarray(positions, initial.dtype).reshape(-1, *[1] * initial.ndim)
    return initial * (1 - s) + final * s


def piecewise_linear(values: Float[Array, "knots *control"], place) -> Float[Array, "*control"]:
    """Straight lines between values on evenly spaced knots; `place` from 0 to 1."""
    left, fraction = knot_interval(len(values), place)
    # Not values[left], which asks for negative indices, and takes longer.
    at = lambda i: jnp.take(values, i, axis=0, mode="clip")
    return at(left) * (1 - fraction) + at(left + 1) * fraction


def knot_interval(knots: int, place):
    """The number of the knot to the left of `place`, and how far beyond it that is, up to 1."""
    place = jnp.clip(place, 0, 1) * (knots - 1)
    left = jnp.minimum(place.astype(jnp.int32), knots - 2)
    return left, place - left.astype(place.dtype)


SHORTEST = 16  # places of a piece: with fewer, pieces gain nothing


def piecewise_linear_tabulated(values, places: Float[Array, " n"]) -> Float[Array, "n *control"]:
    """The `piecewise_linear` values at ascending, evenly spaced places from 0 to 1, or nearly so.

    In pieces so short that each meets one knot at most, and three values will do for it: XLA's CPU
    backend looks values up one number at a time, and adds up their derivatives so.
    """
    count, knots = len(places), len(values)
    size = count // (knots - 1) - 1  # short of an interval by more than a rounding error
    if size < SHORTEST:
        return jax.vmap(lambda place: piecewise_linear(values, place))(places)
    segments = -(-count // size)
    padded = in_memory(jnp.pad(places, (0, segments * size - count), mode="edge"))
    padded = padded.reshape(segments, size, *[1] * (values.ndim - 1))
    left, _ = knot_interval(knots, padded[:, :1])
    first, second, third = (
        in_memory(jnp.take(values, left.reshape(-1) + k, axis=0, mode="clip"))[:, None]
        for k in range(3)
    )
    beyond = jnp.clip(padded, 0, 1) * (knots - 1) - left.astype(padded.dtype)
    later = (beyond >= 1) & (left < knots - 2)  # the end of the last interval lies in it
    fraction = beyond - later
    left_value, right_value = jnp.where(later, second, first), jnp.where(later, third, second)
    table = in_memory(left_value * (1 - fraction) + right_value * fraction)
    return table.reshape(-1, *values.shape[1:])[:count]


def clipped(values, lower, upper, slack: Array | float = 0.0):
    """The nearest values within the bounds; up to `slack` beyond one, with the derivative inside.

    A control computed from values on a bound lies a rounding error within or beyond it.
    """
    # Not jnp.clip: at a bound its derivative is one half, where values that are kept need one.
    if lower is not None:
        near = values + jax.lax.stop_gradient(jnp.maximum(lower - values, 0))
        values = jnp.where(values < lower - slack, lower, near)
    if upper is not None:
        near = values - jax.lax.stop_gradient(jnp.maximum(values - upper, 0))
        values = jnp.where(values > upper + slack, upper, near)
    return values


def interpolation_rounding(values):
    """The rounding error of values between knots, computed from those on them."""
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(values)))
    return 8 * len(values) * jnp.finfo(values.dtype).eps * size


def check_bounds(lower, upper, shape: tuple[int, ...], **controls) -> None:
    """Refuse bounds that contradict each other, and controls `(..., *shape)` outside of them."""
    for name, bound in (("lower", lower), ("upper", upper)):
        if bound is not None and bound.shape not in ((), shape):
            raise ValueError(f"{name} has shape {bound.shape}: expected a number or {shape}")
    low, high = (None if x is None else known(x) for x in (lower, upper))
    for name, bound in (("lower", low), ("upper", high)):
        if bound is not None and np.any(np.isnan(bound)):
            raise ValueError(f"{name} = {bound}: expected numbers, or leave it out for no bound")
    if low is not None and high is not None and np.any(low >= high):
        raise ValueError(f"lower = {low} and upper = {high}: expected lower below upper")
    for name, control in controls.items():
        found, reach = known(control), "reach" if name == "values" else "reaches"
        if found is None:
            continue
        if low is not None and np.any(found < low):
            raise ValueError(f"{name} {reach} {found.min():.6g}, below lower = {low}: move one")
        if high is not None and np.any(found > high):
            raise ValueError(f"{name} {reach} {found.max():.6g}, above upper = {high}: move one")
