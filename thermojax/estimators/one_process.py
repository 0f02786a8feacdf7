"""Whether two runs can be one process, forward and backward."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._arguments import exceeds
from .fluctuation import crooks, overlap


def objection(forward: np.ndarray, reverse: np.ndarray) -> str:
    """The reason why two runs cannot be one process in its two directions; empty without one.

    They obey the second law and, roughly, Crooks' relation.

    **Arguments:** the log weights -beta W of the paths that are alive, `(forward,)`, `(reverse,)`.
    """
    grain = np.finfo(forward.dtype).eps * max(np.abs(forward).max(), np.abs(reverse).max())
    a, b = forward.astype(float), reverse.astype(float)
    dissipated = -(a.mean() + b.mean())
    error = np.hypot(a.std() / np.sqrt(a.size), b.std() / np.sqrt(b.size))
    if dissipated < -5 * error - 1e-9 * max(1.0, np.abs(a).max()):
        return (
            f"forward and reverse together dissipate {dissipated:.3g} +- {error:.1g} < 0, against "
            "the second law"
        )
    if a.std() == 0 or b.std() == 0 or min(a.size, b.size) < 50:
        return ""
    # Works rounded to steps as wide as their spread are not distributed as they were.
    if exceeds(10 * grain, min(a.std(), b.std())):
        return ""
    if overlap(jnp.asarray(-a), jnp.asarray(b)) is False:
        return ""
    slope = crooks(jnp.asarray(-a), jnp.asarray(-b)).slope
    if abs(float(slope.value) - 1) > max(0.2, 5 * float(slope.error)):
        return (
            f"forward and reverse are not one process in its two directions (Crooks' slope is "
            f"{slope}, not 1)"
        )
    return ""
