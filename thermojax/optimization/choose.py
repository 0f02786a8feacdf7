"""The choice among several trained protocols."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ..estimate import Estimate


def choose(costs: dict[str, list[float]]) -> str:
    """The averaged iterate, unless another is lower by two standard errors of the difference.

    The runs of all candidates share their noise, so differences are far sharper than costs. Taking
    simply the lowest would prefer the lucky to the good.
    """
    if all(len(values) == 1 for values in costs.values()):  # without noise, the lowest
        return min(costs, key=lambda name: np.nan_to_num(costs[name][0], nan=np.inf))
    reference = np.asarray(costs["averaged"])
    chosen, gain = "averaged", 0.0
    for name, values in costs.items():
        difference = reference - np.asarray(values)
        error = np.std(difference, ddof=1) / np.sqrt(difference.size)
        sure = difference.mean() - 2 * error
        if not np.all(np.isfinite(reference)) and np.all(np.isfinite(values)):
            sure = -np.mean(values)
            gain = -np.inf if chosen == "averaged" else gain
        if np.isfinite(sure) and sure > gain:
            chosen, gain = name, sure
    return chosen


def pool_runs(runs: list[Estimate]) -> Estimate:
    """One estimate from runs of equal size."""
    values = jnp.stack([run.value for run in runs])
    errors = jnp.stack([run.error for run in runs])
    count = sum(run.count for run in runs)
    return Estimate(jnp.mean(values), jnp.sqrt(jnp.sum(errors**2)) / len(runs), jnp.asarray(count))
