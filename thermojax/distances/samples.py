"""Samples and their weights, as the distances take them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .._component import floating, require


def checked_points(name: str, values, ndim: int):
    """Samples as floats of this many axes, finite, at least one of them."""
    values = floating(values, name)
    if values.ndim != ndim or values.size == 0:
        wanted = "(n,), samples on the line" if ndim == 1 else "(n, dim), one sample a row"
        raise ValueError(f"{name} has shape {values.shape}: expected {wanted}")
    require(name, values, np.isfinite, "finite numbers")
    return values


def checked_weights(name: str, weights, x, of: str):
    """Weights of samples or points, as floats, `(n,)`; None stays None."""
    if weights is None:
        return None
    weights, n = floating(weights, name), x.shape[0]
    if weights.shape != (n,):
        raise ValueError(f"{name} has shape {weights.shape}: expected {(n,)}, as many as {of}")
    fits = lambda w: np.all(np.isfinite(w) & (w >= 0)) and np.any(w > 0)
    require(name, weights, fits, "finite numbers, none negative, not all zero")
    return weights


def normalized_weights(weights, x):
    """Weights of sum one, equal ones for None."""
    if weights is None:
        return jnp.full(x.shape[0], 1 / x.shape[0], x.dtype)
    return weights / jnp.sum(weights)
