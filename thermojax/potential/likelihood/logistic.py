"""Logistic regression: labels 0 and 1."""

from __future__ import annotations

from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._component import Numbers
from ..._tree import product
from ..base import require_position
from .base import AbstractLikelihood
from .rows import finite_features, one_each_row, require_labels


# jax.nn.softplus and its derivative evaluate three exponentials of the same number. These two share
# one, which makes the step of a logistic regression a quarter faster; every derivative is exact.
@jax.custom_jvp
def sigmoid(z):
    """1 / (1 + exp(-z)), without overflow."""
    e = jnp.exp(-jnp.abs(z))
    return jnp.where(z > 0, 1, e) / (1 + e)


@sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    s = sigmoid(*primals)
    return s, s * (1 - s) * tangents[0]


@jax.custom_jvp
def softplus(z):
    """ln(1 + exp(z)), without overflow."""
    return jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))


@softplus.defjvp
def _softplus_jvp(primals, tangents):
    return softplus(*primals), sigmoid(*primals) * tangents[0]


class LogisticRegression(AbstractLikelihood):
    r"""The Bernoulli likelihood of weights x, U = -sum_i ln sigma(s_i a_i . x), s_i = 2 y_i - 1.

    Add a prior: `tj.Gaussian(jnp.zeros(dim)) + tj.LogisticRegression(features, labels)`.

    **Arguments:** `features`, `(rows, dim)`, with the bias column if there is one; `labels`,
    `(rows,)`, each 0 or 1.

    **Raises:** ValueError for shapes that do not fit, features that are not finite, or labels
    other than 0 and 1. **Cost:** one product with the features per energy, two per gradient;
    for a batch, matrix-matrix.
    """

    signed_features: Float[Array, "rows dim"]  # s_i a_i, all that the energy sees
    signs: Float[Array, " rows"]  # s_i, to take the labels out again

    def __init__(self, features: Numbers, labels: Numbers):
        features = finite_features(features)
        labels = one_each_row("labels", labels, features)
        require_labels(labels, 2)
        self.signs = 2 * labels - 1
        self.signed_features = self.signs[:, None] * features

    def energy(self, x, control):
        require_position(self, x, self.signed_features.shape[1:], "features")
        return jnp.sum(softplus(-product(self.signed_features, x)))

    def template(self, control):
        return jnp.zeros_like(self.signed_features[0])

    def log_likelihood(self, x):
        require_position(self, x, self.signed_features.shape[1:], "features")
        return -softplus(-product(self.signed_features, x))

    def draw_data(self, key, x):
        chance = sigmoid(self.signs * product(self.signed_features, x))
        return jax.random.bernoulli(key, chance).astype(self.signs.dtype)

    def with_data(self, data):
        signs = 2 * jnp.asarray(data, self.signs.dtype) - 1
        return self.with_leaves((signs * self.signs)[:, None] * self.signed_features, signs)

    def with_rows(self, rows):
        return self.with_leaves(self.signed_features[rows], self.signs[rows])

    def with_leaves(self, *leaves) -> Self:
        return eqx.tree_at(lambda x: (x.signed_features, x.signs), self, leaves)
