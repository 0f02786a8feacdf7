"""Paths as draws of ArviZ, in both of its generations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from .extras import needed

FEW = 0.1  # effective share of the paths below which a warning is given

Arrays = Mapping[str, Any]


def inference_data(
    groups: Mapping[str, Arrays],
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, list[str]] | None = None,
) -> Any:
    """Groups of arrays `(chain, draw, ...)` as ArviZ holds them; groups of nothing are left out.

    **Returns:** an `InferenceData` before version 1, a `DataTree` from there on. **Raises:**
    ImportError that names the extra, where ArviZ is missing.
    """
    arviz = needed("arviz", "arviz")
    full = {
        name: {key: np.asarray(value) for key, value in arrays.items()}
        for name, arrays in groups.items()
        if arrays
    }
    if int(arviz.__version__.partition(".")[0]) >= 1:
        return arviz.from_dict(full, coords=coords, dims=dims)
    return arviz.from_dict(**full, coords=coords, dims=dims)


def by_weight(log_weight: Any, count: int | None = None) -> np.ndarray:
    """`count` places among `(n,)` weighted ones, each about as often as its weight says.

    Floor or ceil of count w times: systematic resampling, in which nothing is random. None takes
    as many as there are effective samples, so that hardly one is there twice, and an error that is
    computed from the draws is that of the weighted mean.
    **Raises:** ValueError for no weight, and for nan and infinity.
    """
    log_weight = np.asarray(log_weight, float)
    if np.any(np.isnan(log_weight) | (log_weight == np.inf)):
        raise ValueError("log_weight holds nan or infinity: expected log weights, -inf for zero")
    if not np.any(log_weight > -np.inf):
        raise ValueError("no path has any weight: all have diverged, take a smaller dt")
    weight = np.exp(log_weight - np.max(log_weight))
    weight /= np.sum(weight)
    if count is None:
        count = max(1, int(1 / np.sum(weight**2) + 1e-6))
    sums = np.cumsum(weight)
    arms = (0.5 + np.arange(count)) / count * sums[-1]
    return np.minimum(np.searchsorted(sums, arms, side="right"), np.flatnonzero(weight)[-1])


def weighted_draws(
    posterior: Arrays,
    log_weight: Any,
    stats: Arrays,
    *,
    resampled: bool,
    count: int | None = None,
    prior: Arrays | None = None,
    log_likelihood: Any = None,
) -> Any:
    """Weighted paths as one chain of ArviZ: see `tj.Result.to_arviz` for what becomes of weights.

    **Arguments:** `posterior`, `stats`, `prior`: arrays `(n, ...)` by name; `log_weight`, `(n,)`;
    `count`: draws to take by weight, as in `by_weight`; `log_likelihood`: a function of the chosen
    places `(k,)` that returns arrays `(k, ...)` by name.
    """
    needed("arviz", "arviz")  # before anything is computed or said
    log_weight = np.asarray(log_weight)
    paths = len(log_weight)
    chosen = by_weight(log_weight, count) if resampled else np.arange(paths)
    if resampled and len(chosen) < FEW * paths:
        warnings.warn(
            f"the weights of {paths} paths are worth {len(chosen)} of equal weight, and so many "
            "draws are handed out: resampled=False takes the paths as they are",
            stacklevel=4,  # beyond the method that was called, and what equinox wraps around it
        )
    one = lambda arrays: {name: np.asarray(x)[chosen][None] for name, x in arrays.items()}
    likelihood = {} if log_likelihood is None else log_likelihood(chosen)
    groups = {
        "posterior": one(posterior),
        "sample_stats": one({"log_weight": log_weight, **stats, "path": np.arange(paths)}),
        "log_likelihood": {name: np.asarray(x)[None] for name, x in likelihood.items()},
        "prior": {name: np.asarray(x)[None] for name, x in (prior or {}).items()},
    }
    return inference_data(groups)
