"""Linear regression: measured numbers with Gaussian noise."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._component import Numbers
from ..._tree import product
from ..base import require_position
from ..gaussian import LOG_2PI, half_square
from .base import AbstractLikelihood
from .rows import finite_features, one_each_row, positive_each_row


class LinearRegression(AbstractLikelihood):
    r"""The Gaussian likelihood of weights x, U = -sum_i ln N(y_i; a_i . x, s_i^2).

    **Arguments:** `features`, `(rows, dim)`, with the bias column if there is one; `targets` y,
    `(rows,)`; `noise` s, the standard deviation of a target (not the variance), in its unit: one
    number, or `(rows,)`.

    **Raises:** ValueError for shapes that do not fit, what is not finite, or noise that is not
    positive. **Cost:** one product with the features per energy, two per gradient; for a batch,
    matrix-matrix.
    """

    features: Float[Array, "rows dim"]
    targets: Float[Array, " rows"]
    noise: Float[Array, "..."]

    def __init__(self, features: Numbers, targets: Numbers, noise: Numbers):
        self.features = finite_features(features)
        self.targets = one_each_row("targets", targets, self.features)
        self.noise = positive_each_row("noise", noise, self.features)

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def log_likelihood(self, x):
        require_position(self, x, self.features.shape[1:], "features")
        residual = (self.targets - product(self.features, x)) / self.noise
        return -half_square(residual) - jnp.log(self.noise) - 0.5 * LOG_2PI

    def template(self, control):
        return jnp.zeros_like(self.features[0])

    def draw_data(self, key, x):
        z = jax.random.normal(key, self.targets.shape, self.targets.dtype)
        return product(self.features, x) + self.noise * z

    def with_data(self, data):
        return eqx.tree_at(lambda u: u.targets, self, jnp.asarray(data, self.targets.dtype))

    def with_rows(self, rows):
        noise = self.noise[rows] if self.noise.ndim else self.noise
        fields = lambda u: (u.features, u.targets, u.noise)
        return eqx.tree_at(fields, self, (self.features[rows], self.targets[rows], noise))
