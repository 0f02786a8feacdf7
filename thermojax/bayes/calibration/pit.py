"""The probability integral transform of a weighted sample, uniform where the sample is right."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._component import floating, known
from ..._keys import check_key
from ..._tree import one_each


def pit(
    value: Float[ArrayLike, "..."],
    draws: Float[ArrayLike, "n ..."],
    key: PRNGKeyArray,
    log_weight: Float[ArrayLike, " n"] | None = None,
) -> Float[Array, "..."]:
    r"""The place of a value among weighted draws of its law, uniform in (0, 1) where they are that.

        u = (sum_i w_i [x_i < x] + v (sum_i w_i [x_i = x] + 1/m)) / (1 + 1/m),

    with sum w = 1, the effective size m = 1 / sum w^2, and v uniform in (0, 1). For n draws of
    equal weight it is (rank + v) / (n + 1), uniform exactly. The sum alone would be the
    distribution function at x with an error of variance F (1 - F) / m, which takes the share 1/m
    out of the middle of the law and heaps it up at the ends; the value itself, counted as one more
    draw of the weight 1/m, gives it back up to O(1/m^2).

    **Arguments:** `value`, `(...)`; `draws`, `(n, ...)`, independent of each other given the data;
    `key`, for v; `log_weight`, `(n,)`, equal weights where left out.

    **Returns:** `(...)`; nan where the value is.

    **Raises:** ValueError for shapes that do not fit, and weights that are nan or infinite.

    **Source:** S. Talts, M. Betancourt, D. Simpson, A. Vehtari, A. Gelman, arXiv:1804.06788
    (2018), for equal weights.
    """
    value, draws = floating(value, "value"), floating(draws, "draws")
    if draws.ndim == 0 or draws.shape[1:] != value.shape or draws.shape[0] < 2:
        raise ValueError(
            f"draws have shape {draws.shape}: expected (n, *{value.shape}), two or more draws of "
            "the shape of the value"
        )
    check_key(key)
    if log_weight is None:
        log_weight = jnp.zeros(draws.shape[0], draws.dtype)
    log_weight = floating(log_weight, "log_weight")
    if log_weight.shape != draws.shape[:1]:
        raise ValueError(
            f"log_weight has shape {log_weight.shape}: expected {draws.shape[:1]}, one of each of "
            "the draws"
        )
    numbers = known(log_weight)
    if numbers is not None and not np.isfinite(np.max(numbers)):
        raise ValueError("log_weight holds nan, infinity, or -inf alone: expected log weights")
    w = jax.nn.softmax(log_weight)
    share = jnp.sum(w**2)
    w = one_each(w, draws)
    # A draw of weight zero may hold anything, nan included: no comparison with it is true.
    below, equal = (jnp.sum(jnp.where(x, w, 0), axis=0) for x in (draws < value, draws == value))
    v = jax.random.uniform(key, value.shape, draws.dtype)
    u = (below + v * (equal + share)) / (1 + share)
    unknown = jnp.any(jnp.isnan(draws) & (w > 0), axis=0)
    return jnp.where(jnp.isnan(value) | unknown, jnp.nan, u)
