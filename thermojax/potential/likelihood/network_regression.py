"""Bayesian neural networks for measured numbers."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..._component import Numbers, finite
from ..base import require_tree
from ..gaussian import LOG_2PI, half_square
from .base import AbstractLikelihood
from .network import Network, finite_inputs, network_of, outputs_of
from .rows import positive_each_row


class NetworkRegression(AbstractLikelihood):
    r"""The Gaussian likelihood of the parameters x of a network.

        U = -sum_i ln N(y_i; f(x, a_i), s_i^2).

    A Bayesian neural network, together with a prior: a position is the pytree of its parameters.

        likelihood = tj.NetworkRegression(eqx.nn.MLP(2, "scalar", 8, 1, key=key), a, y, noise=0.1)
        prior = tj.DiagonalGaussian(likelihood.template(None))

    Hidden units can change places and signs, so that a posterior has as many equal modes; one of
    them predicts like all.

    **Arguments:**

    - `network`: an Equinox module that takes one row of features, whose arrays of floats are the
      position; or a function `apply(parameters, row)`.
    - `features`, `(rows, ...)`; `targets`, `(rows, *output)` of the output of the network.
    - `noise`: the standard deviation of a target: one number, or `(rows,)`.
    - `parameters`, of a function: one pytree of arrays.

    **Raises:** ValueError for shapes that do not fit, what is not finite, and noise that is not
    positive.
    """

    network: Network
    features: Float[Array, "rows ..."]
    targets: Float[Array, "rows ..."]
    noise: Float[Array, "..."]

    def __init__(
        self,
        network: Callable,
        features: Numbers,
        targets: Numbers,
        noise: Numbers,
        *,
        parameters: PyTree[Array] | None = None,
    ):
        self.network = network_of(network, parameters)
        self.features = finite_inputs(features)
        targets = finite("targets", targets).astype(self.features.dtype)
        shape = self.features.shape[:1] + outputs_of(self.network, self.features)
        if targets.shape != shape:
            raise ValueError(
                f"targets has shape {targets.shape} and the output of network for all rows of "
                f"features {shape}: expected one shape"
            )
        self.targets = targets
        self.noise = positive_each_row("noise", noise, self.features)

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def log_likelihood(self, x):
        require_tree(self, x, self.network.parameters, "network")
        rows = self.targets.shape[0]
        residual = (self.targets - self.network(x, self.features)).reshape(rows, -1)
        noise = self.noise[:, None] if self.noise.ndim else self.noise
        each = half_square(residual / noise) + jnp.log(noise) + 0.5 * LOG_2PI
        return -jnp.sum(each, axis=1)

    def template(self, control):
        return jax.tree.map(jnp.zeros_like, self.network.parameters)

    def draw_data(self, key, x):
        z = jax.random.normal(key, self.targets.shape, self.targets.dtype)
        noise = self.noise.reshape(-1, *(1,) * (z.ndim - 1)) if self.noise.ndim else self.noise
        return self.network(x, self.features) + noise * z

    def with_data(self, data):
        return eqx.tree_at(lambda u: u.targets, self, jnp.asarray(data, self.targets.dtype))

    def with_rows(self, rows):
        noise = self.noise[rows] if self.noise.ndim else self.noise
        fields = lambda u: (u.features, u.targets, u.noise)
        return eqx.tree_at(fields, self, (self.features[rows], self.targets[rows], noise))
