"""Poisson regression: counts, with a log link."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._component import Numbers
from ..._tree import product
from ..base import require_position
from .base import AbstractLikelihood
from .factorials import log_factorial_remainder
from .rows import finite_features, one_each_row, positive_each_row, require_counts

MANY = 1e9  # counts, from which on a Poisson law is drawn as the Gaussian that it then is


class PoissonRegression(AbstractLikelihood):
    r"""The Poisson likelihood of weights x, U = -sum_i ln Poisson(y_i; e_i exp(a_i . x)).

    In float32 as well, large counts keep their digits: the energy is summed from

        -ln p(y) = m (exp(z) - 1) - y z + c(y),   z = a . x + ln(e / m),   m = max(y, 1),

    where c(y) = ln y! - y ln m + m is of the size of ln y, although ln y! is of that of y ln y.
    Where exp(z) would exceed the root of the largest number, at probabilities that are zero in any
    dtype, it goes on as its tangent, so that 0 times the energy is 0.

    **Arguments:** `features`, `(rows, dim)`, with the bias column if there is one; `counts` y,
    `(rows,)`, each 0, 1, 2, ...; `exposure` e, positive: the time, area or population in which the
    counts were made, one number or `(rows,)`.

    **Raises:** ValueError for shapes that do not fit, features that are not finite, counts that are
    negative or not whole, and exposures that are not positive. **Cost:** one product with the
    features per energy, two per gradient; for a batch, matrix-matrix.
    """

    features: Float[Array, "rows dim"]
    counts: Float[Array, " rows"]
    exposure: Float[Array, "..."]

    def __init__(self, features: Numbers, counts: Numbers, exposure: Numbers = 1.0):
        self.features = finite_features(features)
        self.counts = one_each_row("counts", counts, self.features)
        require_counts("counts", self.counts)
        self.exposure = positive_each_row("exposure", exposure, self.features)

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def log_likelihood(self, x):
        require_position(self, x, self.features.shape[1:], "features")
        y, size = self.counts, jnp.maximum(self.counts, 1)
        z = product(self.features, x) + (jnp.log(self.exposure) - jnp.log(size))
        return y * z - size * expm1_with_tangent(z) - log_factorial_remainder(y)

    def template(self, control):
        return jnp.zeros_like(self.features[0])

    def draw_data(self, key, x):
        rate = self.exposure * jnp.exp(product(self.features, x))
        # Beyond what an integer of the sampler holds, its Gaussian; inf stays inf.
        few = jax.random.poisson(key, jnp.minimum(rate, MANY)).astype(rate.dtype)
        noise = jax.random.normal(key, rate.shape, rate.dtype)
        many = jnp.round(rate * (1 + noise / jnp.sqrt(rate)))
        return jnp.where(rate < MANY, few, many).astype(self.counts.dtype)

    def with_data(self, data):
        return eqx.tree_at(lambda u: u.counts, self, jnp.asarray(data, self.counts.dtype))

    def with_rows(self, rows):
        exposure = self.exposure[rows] if self.exposure.ndim else self.exposure
        fields = lambda u: (u.features, u.counts, u.exposure)
        return eqx.tree_at(fields, self, (self.features[rows], self.counts[rows], exposure))


def expm1_with_tangent(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """exp(z) - 1, from half of the largest exponent on by its tangent there."""
    reach = 0.5 * float(np.log(jnp.finfo(z.dtype).max))
    near = jnp.minimum(z, reach)
    return jnp.expm1(near) + jnp.exp(near) * (z - near)
