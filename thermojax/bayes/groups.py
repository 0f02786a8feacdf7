"""Groups of walkers that are resampled among themselves: means, whose errors they tell.

Copies of one walker know of each other; groups do not. The mean weight of a group estimates Z_1/Z_0
without bias, as the weight of a single path does, and the spread over groups is the error of all
that is computed, whatever has been copied within. A group of one is a path of its own.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ..estimate import Estimate, weighted_mean

GROUPS = 16  # of one batch: the error is known to 18 %, and resampling has many to choose from


def group_size_for(samples: int) -> int:
    """Walkers in each of GROUPS groups that hold at least so many in all."""
    return math.ceil(samples / GROUPS)


def log_mean_weights(log_weight: Float[Array, " n"], size: int) -> Float[Array, " groups"]:
    """ln of the mean weight of every group of `size` walkers, which stand one after the other."""
    return logsumexp(log_weight.reshape(-1, size), axis=1) - math.log(size)


def grouped_mean(
    values: Float[Array, "n *shape"], weights: Float[Array, " n"], size: int
) -> Estimate:
    """sum w x / sum w, its error from the spread over groups of `size`: `weighted_mean` of them."""
    if size == 1:
        return weighted_mean(values, weights)
    groups = weights.reshape(-1, size)
    total = jnp.sum(groups, axis=1)
    inside = groups / jnp.where(total > 0, total, 1)[:, None]
    taken = jnp.where((weights != 0).reshape(-1, *(1,) * (values.ndim - 1)), values, 0)
    means = jnp.einsum("gs,gs...->g...", inside, taken.reshape(-1, size, *values.shape[1:]))
    found = weighted_mean(means, total)
    return Estimate(found.value, found.error, jnp.sum(weights != 0))


def effective_samples(
    x: Float[Array, "n dim"], weights: Float[Array, " n"], size: int
) -> Float[Array, ""]:
    """The number of independent draws whose means are as certain as those of these samples.

    (sum w)^2 / sum w^2 where each is a path of its own. Within groups copies have parted by their
    own noise, more or less: there it is the ratio of variance and squared error, on average over
    the coordinates and their squares, and never more than without groups.
    """
    most = jnp.sum(weights) ** 2 / jnp.sum(weights**2)
    if size == 1:
        return most
    share = weights / jnp.sum(weights)
    away = x - share @ x
    values = jnp.concatenate([away, away**2], axis=1)
    spread = share @ (values - share @ values) ** 2
    error = jnp.asarray(grouped_mean(values, weights, size).error)
    varied = spread > 0
    ratio = jnp.where(varied, error**2 / jnp.where(varied, spread, 1), 0)
    one_in = jnp.sum(ratio) / jnp.maximum(jnp.sum(varied), 1)
    return jnp.where(one_in * most > 1, 1 / jnp.where(one_in > 0, one_in, 1), most)
