"""The grid of a run: how many steps, in blocks of what size."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._arguments import real, whole
from .._component import floating, known, positive, require, shown

MOST_STEPS = 2**31  # half of what the counters of the noise hold: pairs of normals share one


def count_steps(duration, dt, time_steps: int | None) -> int:
    """The number n of equal steps of a run; the step is always duration / n.

    **Raises:** ValueError unless exactly one of `dt` and `time_steps` is given, for `dt` with a
    traced duration, and for a `dt` that is not positive, longer than the run, or
    too short to count its steps.
    """
    if (dt is None) == (time_steps is None):
        raise ValueError(
            f"dt = {shown(dt)} and time_steps = {shown(time_steps)}: pass exactly one of the two"
        )
    if time_steps is not None:
        steps = whole("time_steps", time_steps)
        if steps >= MOST_STEPS:
            raise ValueError(
                f"time_steps = {steps}: noise is numbered up to 2^31: take fewer, larger steps"
            )
        return steps
    real("dt", dt, "a positive time step", lambda step: step > 0)
    length, step = known(duration), known(dt)
    if length is None or step is None:
        raise ValueError(
            "dt needs a duration that is known outside of jit and vmap: pass time_steps= instead"
        )
    length, step = float(length), float(step)
    if step > length * (1 + 1e-6):
        raise ValueError(f"dt = {step:g} is larger than the duration {length:g}: take a smaller dt")
    ratio = length / step
    if ratio >= MOST_STEPS:  # also where it is infinite
        raise ValueError(
            f"dt = {step:g}: the duration {length:g} would take {ratio:.1e} steps, and noise is "
            "numbered up to 2^31: take a larger dt"
        )
    nearest = round(ratio)
    # A float32 duration of 0.3 is 3.0000001 steps of 0.1, and means 3.
    return nearest if abs(ratio - nearest) < 1e-6 * max(1.0, ratio) else math.ceil(ratio)


def step_sizes(dt, duration) -> jax.Array | None:
    """The sizes of steps that each have their own, `(steps,)`; None where `dt` is one number.

    **Raises:** ValueError unless they are positive and add up to the duration, to rounding; what
    is traced passes.
    """
    if dt is None or (not isinstance(dt, list | tuple) and np.ndim(dt) == 0):
        return None
    sizes = floating(dt, "dt")
    if sizes.ndim != 1 or not 0 < sizes.size < MOST_STEPS:
        raise ValueError(
            f"dt has shape {sizes.shape}: expected one time step, or the size of every step, "
            "(steps,)"
        )
    require("dt", sizes, positive, "positive sizes of the steps")
    each, length = known(sizes), known(duration)
    if each is not None and length is not None:
        total = float(np.sum(each, dtype=float))
        off = 8 * len(each) * float(jnp.finfo(sizes.dtype).eps)
        if abs(total - float(length)) > max(off, 1e-6) * float(length):
            raise ValueError(
                f"the steps dt add up to {total:g} and the protocol lasts {float(length):g}: scale "
                "them, dt * duration / dt.sum(), or change the duration of the protocol"
            )
    return sizes


def block_size(steps: int, stride: int | None = None, best: float | None = None) -> int:
    """Substeps per block: near `best`, or else sqrt(n), so that reverse mode keeps sqrt(n) states
    and as many residuals. A divisor of `stride` where snapshots ask for it, of n where one is near;
    rather an even one, since normals come in pairs."""
    best = math.sqrt(steps) if best is None else min(best, steps)
    if stride is not None and stride != steps:
        return min(divisors(stride), key=lambda k: abs(k - best))
    near = [k for k in range(1, steps + 1) if best / 1.6 <= k <= best * 1.6]
    return min(near, key=lambda k: (steps % k != 0, k % 2, abs(k - best)))


def divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def snap(times, duration, steps: int, name: str = "save", sizes=None) -> np.ndarray:
    """Grid indices of save times: a count of intervals of as many steps (with both ends), or times.

    **Arguments:** `sizes`, `(steps,)`, of steps that differ; None for equal ones.

    **Raises:** ValueError for times outside of the run or out of order.
    """
    one = not isinstance(times, list | tuple) and np.ndim(times) == 0
    if one and not isinstance(times, float | Tracer):
        count = whole(name, times, 2, "or an array of times")
        return np.unique(np.round(np.linspace(0, steps, min(count, steps + 1))).astype(int))
    times = floating(times, name)
    length, wanted = known(duration), known(times)
    each = None if sizes is None else known(sizes)
    if length is None or wanted is None or (sizes is not None and each is None):
        raise ValueError(
            "save times need values known outside of jit: pass the number of snapshots instead"
        )
    wanted = np.atleast_1d(wanted).astype(float)
    require_within(name, wanted, float(length))
    if each is not None:
        grid = np.concatenate([[0.0], np.cumsum(each, dtype=float)])
        return np.argmin(np.abs(wanted[:, None] - grid), axis=1)
    return np.clip(np.round(wanted / float(length) * steps).astype(int), 0, steps)


def require_within(name: str, times: np.ndarray, duration: float) -> None:
    """Times of a run: in order, from 0 to its duration, at least one."""
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"{name} has shape {times.shape}: expected times (n,), at least one")
    if not np.all(np.isfinite(times)):
        raise ValueError(f"{name} = {shown(times)}: expected finite times")
    if times.min() < 0 or times.max() > duration * (1 + 1e-6):
        raise ValueError(
            f"{name}: times run from {times.min():g} to {times.max():g}: expected 0 to {duration:g}"
        )
    if np.any(np.diff(times) < 0):
        raise ValueError(f"{name}: the times must not decrease: sort them")


def even_stride(save_steps: np.ndarray, steps: int) -> int | None:
    """The distance of snapshots that lie evenly from 0 to the end; None for any others.

    Blocks that divide it make every snapshot the end of a block: nothing else need be kept.
    """
    strides = np.diff(save_steps)
    even = save_steps[0] == 0 and save_steps[-1] == steps and len(set(strides.tolist())) == 1
    return int(strides[0]) if even else None
