"""Independent Gaussians over any pytree: a prior for positions that are not one vector."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._component import Numbers, finite, floating, positive, pytree_of_floats, require, shown
from .._tree import broadcasts, dtype_of, like_position
from .base import AbstractPotential, require_tree
from .gaussian import LOG_2PI, half_square


class DiagonalGaussian(AbstractPotential):
    r"""The normalized Gaussian of independent coordinates, over any pytree of arrays.

        U = sum_i (x_i - mean_i)^2 / (2 variance_i) + ln(2 pi variance_i) / 2.

    A prior of positions that are not one vector, such as the parameters of a network:

        tj.DiagonalGaussian(likelihood.template(None), 1.0)

    For a vector with correlations there is `tj.Gaussian`.

    **Arguments:** `mean`, one position: an array of any shape, or a pytree of arrays; `variance`,
    positive: a number, or a pytree like `mean` of numbers or arrays that broadcast against its
    leaves, for example one over the inputs for each layer of a network.

    **Raises:** ValueError for what is not finite, a variance that is not positive, and shapes that
    do not fit.
    """

    mean: PyTree[Array]
    variance: PyTree[Array]

    def __init__(self, mean: PyTree[Array], variance: PyTree[Numbers] = 1.0):
        self.mean = pytree_of_floats(mean, "mean")
        dtype = dtype_of(self.mean, "mean")
        leaves, structure = jax.tree.flatten(self.mean)
        for leaf in leaves:
            finite("mean", leaf)
        if jax.tree.structure(variance) != structure:
            if not is_number_or_array(variance):
                raise ValueError(
                    f"variance is {shown(variance)}: expected one number, or a pytree with the "
                    "structure of mean"
                )
            variance = floating(variance, "variance")
        variance = jax.tree.map(lambda v: floating(v, "variance").astype(dtype), variance)
        for place, spread in zip(
            leaves, jax.tree.leaves(like_position(variance, self.mean)), strict=True
        ):
            require("variance", spread, positive, "positive and finite")
            if not broadcasts(spread.shape, place.shape):
                raise ValueError(
                    f"variance has shape {spread.shape} for a mean of shape {place.shape}: "
                    "expected one number, or an array that broadcasts to it"
                )
        self.variance = variance

    def variances(self) -> PyTree[Array]:
        """The variance of every coordinate, of the shape of `mean`."""
        spread = like_position(self.variance, self.mean)
        return jax.tree.map(lambda v, m: jnp.broadcast_to(v, m.shape), spread, self.mean)

    def energy(self, x, control):
        require_tree(self, x, self.mean, "mean")
        spread = like_position(self.variance, self.mean)
        parts = jax.tree.map(
            lambda x, m, v: (
                jnp.sum(half_square(x - m) / v)
                + 0.5 * x.size * LOG_2PI
                + 0.5 * jnp.sum(jnp.log(jnp.broadcast_to(v, m.shape)))
            ),
            x,
            self.mean,
            spread,
        )
        return sum(jax.tree.leaves(parts))

    def template(self, control):
        return jax.tree.map(jnp.zeros_like, self.mean)

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        means, structure = jax.tree.flatten(self.mean)
        scale = jnp.sqrt(jnp.asarray(temperature))
        drawn = [
            m + scale * jnp.sqrt(v) * jax.random.normal(one, (batch, *m.shape), like.dtype)
            for one, m, v, like in zip(
                jax.random.split(key, len(means)),
                means,
                jax.tree.leaves(self.variances()),
                jax.tree.leaves(template),
                strict=True,
            )
        ]
        return structure.unflatten(drawn)

    def opposite(self, x, control):
        return jax.tree.map(lambda x, m: 2 * m - x, x, self.mean)

    def free_energy(self, control, temperature, template):
        # int N(x)^beta dx = prod over coordinates of (2 pi s^2)^((1 - beta)/2) beta^(-1/2)
        beta = 1 / temperature
        variances = jax.tree.leaves(self.variances())
        dim = sum(v.size for v in variances)
        logdet = sum(jnp.sum(jnp.log(v)) for v in variances)
        log_z = 0.5 * (1 - beta) * (logdet + dim * LOG_2PI) - 0.5 * dim * jnp.log(beta)
        return -temperature * log_z


def is_number_or_array(value) -> bool:
    return isinstance(value, int | float | np.ndarray | np.generic | jax.Array) and not isinstance(
        value, bool
    )
