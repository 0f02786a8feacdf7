r"""A schedule learned from ramps: slow where the way has a long memory.

A slow ramp dissipates int zeta (dlambda/dt)^2 dt with the friction zeta = Var(dU/dlambda) m, m the
memory: how long dU/dlambda remembers its fluctuations. The Fisher metric knows the variance alone;
the memory shows in the works of ramps, whose fluctuations are twice what they dissipate. Along the
way, the least is lost where sqrt(zeta) dlambda is the same in every stretch of time.

In coordinates that fit a Gaussian the memory is FRICTION where data move its mean, and (FRICTION +
1 / FRICTION) / 2 where they narrow it: 0.5 and 1.25. Then no schedule gains more than 5 % on that
of the Fisher metric in a long time.

Source: D. A. Sivak, G. E. Crooks, Phys. Rev. Lett. 108, 190602 (2012); shrinkage towards the mean:
B. Efron, C. Morris, J. Am. Stat. Assoc. 70, 311 (1975).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ..protocol import PiecewiseLinear
from .leg import Leg
from .schedule import protocol_of
from .stage import STEPS, along

PATHS = 256  # of the ramps that are learned from
PARTS = 8  # of the way, each of which has one memory
FEWEST = 2 * PARTS  # stages of these ramps
FLOOR = 1 / 16  # of the mean memory: what none is below


def learned(leg: Leg, key: PRNGKeyArray, stages: int) -> PiecewiseLinear:
    """The schedule of least dissipation in a long time, from PATHS ramps of `stages` stages."""
    control, length = (np.asarray(x, float) for x in (leg.way.control, leg.way.length))
    if not length[-1] > 0:  # a likelihood that is the same everywhere
        return leg.protocol(stages)
    draw_key, run_key = jax.random.split(key)
    x, parts = leg.draw(draw_key, PATHS), leg.stages(stages)
    steps = along(leg.potential, leg.like, run_key, x, parts)
    works, books = zip(*((b.work, b) for _, _, b in steps), strict=True)
    alive = np.asarray(books[-1].alive) > 0
    works = np.diff(np.asarray(jnp.stack(works), float)[:, alive], axis=0, prepend=0.0)
    places = np.append(np.asarray(parts.start, float), 1.0)
    reached = np.interp(places, control, length)
    memory = memories(works, np.diff(reached), STEPS * np.asarray(parts.dt, float))
    time = np.append(0.0, np.cumsum(np.sqrt(memory) * np.diff(reached)))
    even = np.linspace(0.0, 1.0, 4 * len(control) * PARTS)  # the way is curved within a stage
    at = np.interp(np.interp(even, time / time[-1], reached), length, control)
    at[0], at[-1] = 0.0, 1.0
    return protocol_of(at, even)


def memories(
    works: Float[np.ndarray, "stages n"],
    length: Float[np.ndarray, " stages"],
    time: Float[np.ndarray, " stages"],
) -> Float[np.ndarray, " stages"]:
    """The memory of each stage, from the works that paths have done in it; noise is taken out.

    Half the covariance of the work of a part with the work of all is what it dissipates, memory x
    length^2 / time. What differs between the parts no more than by noise is taken to be the same.
    """
    if works.shape[1] < 2:
        return np.ones(len(works))
    part = np.arange(len(works)) * PARTS // max(len(works), PARTS)
    away = works - works.mean(axis=1, keepdims=True)
    sums = lambda values: np.stack([values[part == g].sum(axis=0) for g in np.unique(part)])
    each = 0.5 * sums(away) * away.sum(axis=0) / sums(length**2 / time)[:, None]
    found, error = each.mean(axis=1), each.std(axis=1) / np.sqrt(each.shape[1])
    mean = found.mean()
    if not (len(found) > 1 and np.isfinite(mean) and mean > 0):
        return np.ones(len(works))
    between = max(0.0, float(np.var(found, ddof=1) - np.mean(error**2)))
    kept = between / np.maximum(between + error**2, np.finfo(float).tiny)
    shrunk = np.maximum(mean + kept * (found - mean), FLOOR * mean)
    return shrunk[np.unique(part, return_inverse=True)[1]]
