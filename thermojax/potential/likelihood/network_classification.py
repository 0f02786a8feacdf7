"""Bayesian neural networks for labels."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..._component import Numbers
from ..base import require_tree
from .base import AbstractLikelihood
from .network import Network, finite_inputs, network_of, outputs_of
from .rows import one_each_row, require_labels


class NetworkClassification(AbstractLikelihood):
    r"""The categorical likelihood of the parameters x of a network.

        U = -sum_i ln softmax(f(x, a_i))_{y_i}.

    One output, `()` or `(1,)`, is the logit of label 1 against 0; several are the logits of the
    classes. Otherwise as `tj.NetworkRegression`.

    **Arguments:**

    - `network`: an Equinox module that takes one row of features, whose arrays of floats are the
      position; or a function `apply(parameters, row)`.
    - `features`, `(rows, ...)`; `labels`, `(rows,)`, each 0, 1, ..., classes - 1.
    - `parameters`, of a function: one pytree of arrays.

    **Raises:** ValueError for shapes that do not fit, what is not finite, and other labels.
    """

    network: Network
    features: Float[Array, "rows ..."]
    one_hot: Float[Array, "rows classes"]

    def __init__(
        self,
        network: Callable,
        features: Numbers,
        labels: Numbers,
        *,
        parameters: PyTree[Array] | None = None,
    ):
        self.network = network_of(network, parameters)
        self.features = finite_inputs(features)
        output = outputs_of(self.network, self.features)
        if output != () and len(output) != 1:
            raise ValueError(
                f"network returns an array of shape {output} for one row of features, "
                f"{self.features.shape[1:]}: expected one logit, () or (1,), or those of all "
                "classes, (classes,)"
            )
        labels = one_each_row("labels", labels, self.features)
        classes = max(2, *output, 2)
        require_labels(labels, classes)
        self.one_hot = jax.nn.one_hot(labels.astype(int), classes, dtype=self.features.dtype)

    def logits(self, x: PyTree[Array]) -> Float[Array, "rows classes"]:
        """The logits of all classes in every row; with one output, 0 and that output."""
        require_tree(self, x, self.network.parameters, "network")
        z = self.network(x, self.features).reshape(self.one_hot.shape[0], -1)
        return z if z.shape[1] > 1 else jnp.concatenate([jnp.zeros_like(z), z], axis=1)

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def log_likelihood(self, x):
        z = self.logits(x)
        own = jnp.sum(self.one_hot * z, axis=1, keepdims=True)
        return -jax.nn.logsumexp(z - own, axis=1)

    def template(self, control):
        return jax.tree.map(jnp.zeros_like, self.network.parameters)

    def draw_data(self, key, x):
        return jax.random.categorical(key, self.logits(x))

    def with_data(self, data):
        labels = jnp.asarray(data).astype(int)
        one_hot = jax.nn.one_hot(labels, self.one_hot.shape[1], dtype=self.one_hot.dtype)
        return eqx.tree_at(lambda u: u.one_hot, self, one_hot)

    def with_rows(self, rows):
        fields = lambda u: (u.features, u.one_hot)
        return eqx.tree_at(fields, self, (self.features[rows], self.one_hot[rows]))
