"""Mixtures of Gaussians: several modes, and still an exact sampler."""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._component import Numbers, finite, floating, known, positive, require
from .._keys import Purpose, purpose_key
from .._tree import product
from .base import AbstractPotential, require_position
from .gaussian import inverse_root, require_definite


class GaussianMixture(AbstractPotential):
    r"""The normalized mixture as an energy, U = -ln sum_k w_k N(x; mean_k, covariance_k).

    **Arguments:** `means`, `(k, dim)`; `covariances`: a number, `(k,)`, or `(k, dim, dim)`;
    `weights`, `(k,)`, positive, normalized here; equal when left out.

    **Raises:** ValueError for shapes that do not fit, or weights that are not positive.
    """

    # The component is a discrete draw, which has no gradient along the path.
    reparametrized: ClassVar[bool] = False

    means: Float[Array, "k dim"]
    covariances: Float[Array, "..."]
    weights: Float[Array, " k"]

    def __init__(self, means: Numbers, covariances: Numbers = 1.0, weights: Numbers | None = None):
        self.means = finite("means", means)
        if self.means.ndim != 2 or self.means.size == 0:
            raise ValueError(f"means has shape {self.means.shape}: expected (components, dim)")
        k, dim = self.means.shape
        self.covariances = floating(covariances, "covariances")
        self.weights = floating(jnp.ones(k) if weights is None else weights, "weights")
        if self.covariances.shape not in ((), (k,), (k, dim, dim)):
            raise ValueError(
                f"covariances has shape {self.covariances.shape}: expected (), ({k},) or "
                f"({k}, {dim}, {dim})"
            )
        if self.weights.shape != (k,):
            raise ValueError(f"weights has shape {self.weights.shape}: expected ({k},)")
        require("weights", self.weights, positive, "positive numbers")
        if known(self.covariances) is not None and self.covariances.ndim == 3:
            for matrix in self.covariances:
                require_definite("covariances", matrix)
        else:
            require("covariances", self.covariances, positive, "positive and finite")

    def roots(self):
        """Cholesky factors of the covariances, (k, dim, dim)."""
        k, dim = self.means.shape
        if self.covariances.ndim == 3:
            return jnp.linalg.cholesky(self.covariances)
        scales = jnp.sqrt(jnp.broadcast_to(self.covariances, (k,)))
        return scales[:, None, None] * jnp.eye(dim, dtype=self.means.dtype)

    def energy(self, x, control):
        dim = self.means.shape[1]
        require_position(self, x, (dim,), "means")
        if self.covariances.ndim == 3:
            root = self.roots()
            white = jax.vmap(product)(jax.vmap(inverse_root)(root), x - self.means)
            logdet = 2 * jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), axis=1)
            square = jnp.sum(white**2, axis=1)
        else:
            square = jnp.sum((x - self.means) ** 2, axis=1) / self.covariances
            logdet = dim * jnp.log(self.covariances)
        log_weights = jnp.log(self.weights / jnp.sum(self.weights))
        exponent = log_weights - 0.5 * (square + logdet + dim * math.log(2 * math.pi))
        return -jax.nn.logsumexp(exponent)

    def template(self, control):
        return jnp.zeros_like(self.means[0])

    def sampled_by(self, control, temperature):
        # p^beta of a mixture is a mixture only at beta = 1
        value = known(temperature)
        return self if value is not None and np.all(value == 1) else None

    def sample(self, key, control, temperature, batch, template):
        which = purpose_key(key, Purpose.COMPONENT)
        position_key = purpose_key(key, Purpose.POSITION)
        component = jax.random.categorical(which, jnp.log(self.weights), shape=(batch,))
        z = jax.random.normal(position_key, (batch, self.means.shape[1]), template.dtype)
        return self.means[component] + jnp.einsum("bij,bj->bi", self.roots()[component], z)

    def free_energy(self, control, temperature, template):
        return (
            jnp.zeros((), self.means.dtype) if self.sampled_by(None, temperature) is self else None
        )
