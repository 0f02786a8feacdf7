"""Jumps and bends of a control that its `events` and `jumps` do not list."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import known
from ..protocol import AbstractProtocol, values_at

PLACES = 1025  # looked at along the protocol, and again within an interval that is suspect
SUSPECTS = 16  # intervals that are looked into
TABLE = 4097  # of the integral of the control


class UndeclaredJump(NamedTuple):
    """A jump of a control: its time, and its size."""

    time: float
    size: float
    listed: bool  # whether the time is among the events


def undeclared_jump(protocol: AbstractProtocol) -> UndeclaredJump | None:
    """The largest jump that is not among `jumps`; None where there is none, or nothing is known.

    The control is compared with its slope between neighboring times, and again within intervals
    where the two disagree: a bend, however sharp, fades as they get short, a jump stays.
    """
    if any(known(x) is None for x in jax.tree.leaves(eqx.filter(protocol, eqx.is_array))):
        return None
    with jax.ensure_compile_time_eval():
        duration = float(protocol.duration)
        events, jumps = protocol.events(), protocol.jumps()
        listed = np.zeros(0) if events is None else np.asarray(events, float)
        allowed = np.zeros(0) if jumps is None else np.asarray(jumps[0], float)
        times = np.linspace(0, duration, PLACES)
        values, unexplained = unexplained_change(protocol, times)
        size = max(float(np.ptp(values)), float(np.max(np.abs(values))) * 1e-3)
        eps = float(jnp.finfo(jnp.result_type(float)).eps)
        suspects = np.argsort(unexplained)[::-1][:SUSPECTS]
        worst = None
        for i in suspects:
            low, high, first = times[i], times[i + 1], unexplained[i]
            if not first > max(1e-6, 100 * eps) * size:
                break
            gap = first
            # Four looks, each a thousand times closer, as far as the numbers tell times apart.
            while (most := int((high - low) / (8 * eps * duration))) > 1:
                closer = np.linspace(low, high, min(most, PLACES - 1) + 1)
                _, found = unexplained_change(protocol, closer)
                # What is listed lies between two of these, or on one.
                near = np.array([is_near(allowed, a, b) for a, b in pairwise(closer)])
                found = np.where(near, 0, found)
                j = int(np.argmax(found))
                low, high, gap = closer[j], closer[j + 1], found[j]
            if gap > 0.1 * first and (worst is None or gap > worst.size):
                worst = UndeclaredJump(
                    float(0.5 * (low + high)), float(gap), bool(is_near(listed, low, high))
                )
    return worst


def is_near(times, low, high) -> bool:
    slack = high - low
    return bool(np.any((times >= low - slack) & (times <= high + slack)))


def unexplained_change(protocol, times):
    """The control at some times, and its changes that the slopes at both ends do not explain."""
    values, slopes = (np.asarray(x, float) for x in with_slope(protocol, jnp.asarray(times)))
    values, slopes = values.reshape(len(times), -1), slopes.reshape(len(times), -1)
    step = np.diff(times)[:, None]
    explained = step * 0.5 * (slopes[1:] + slopes[:-1])
    return values, np.max(np.abs(np.diff(values, axis=0) - explained), axis=1)


@eqx.filter_jit
def with_slope(protocol, times):
    return jax.vmap(lambda t: jax.jvp(protocol, (t,), (jnp.ones_like(t),)))(times)


def control_integral(protocol: AbstractProtocol) -> tuple[Array, Array, Float[Array, "*control"]]:
    """(the integral of the control over its size, the error of that integral, the size).

    By the trapezoidal rule on many places, to which the steps of a solver are compared: one that
    has stepped over a pulse does not find it.
    """
    fraction = jnp.linspace(0, 1, TABLE)
    times = fraction.astype(protocol.duration.dtype) * protocol.duration
    values = jax.lax.stop_gradient(values_at(protocol, times))
    size = jnp.max(jnp.abs(values), axis=0)
    values = values / jnp.where(size > 0, size, 1)
    middle = 0.5 * (values[1:] + values[:-1])
    rough = jnp.sum(jnp.abs(jnp.diff(values, n=2, axis=0)), axis=0)
    each = 1 / (TABLE - 1)
    return jnp.sum(middle, axis=0) * each, 2 * rough * each, jnp.where(size > 0, size, 1)
