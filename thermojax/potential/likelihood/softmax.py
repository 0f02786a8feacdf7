"""Softmax regression: labels of several classes."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._arguments import whole
from ..._component import Numbers, known
from ..._tree import product
from ..base import require_position
from .base import AbstractLikelihood
from .rows import finite_features, one_each_row, require_labels


class SoftmaxRegression(AbstractLikelihood):
    r"""The categorical likelihood of weights x `(dim, classes)`.

        U = -sum_i ln softmax(a_i x)_{y_i}.

    One vector added to the weights of all classes changes no probability. All classes keep weights
    nevertheless, so that a prior that treats them alike makes a posterior that does: along this
    direction the posterior is the prior, and the evidence is right. A flat prior has no posterior.

    A prior of this shape: `tj.DiagonalGaussian(jnp.zeros((dim, classes)))`.

    **Arguments:** `features`, `(rows, dim)`, with the bias column if there is one; `labels`,
    `(rows,)`, each 0, 1, ..., classes - 1; `classes`, their number: one more than the largest
    label when left out.

    **Raises:** ValueError for shapes that do not fit, features that are not finite, and labels
    that are no such numbers. **Cost:** one product with the features per energy, two per gradient;
    for a batch, matrix-matrix.
    """

    features: Float[Array, "rows dim"]
    one_hot: Float[Array, "rows classes"]

    def __init__(self, features: Numbers, labels: Numbers, *, classes: int | None = None):
        self.features = finite_features(features)
        labels = one_each_row("labels", labels, self.features)
        if classes is not None:
            classes = whole("classes", classes, least=2)
        elif (values := known(labels)) is not None:
            classes = max(2, int(np.max(values)) + 1)
        else:
            raise ValueError("classes = None and labels are traced: state the number of classes")
        require_labels(labels, classes)
        self.one_hot = jax.nn.one_hot(labels.astype(int), classes, dtype=self.features.dtype)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of a position: (dim, classes)."""
        return self.features.shape[1], self.one_hot.shape[1]

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def log_likelihood(self, x):
        require_position(self, x, self.shape, "features and classes")
        z = product(self.features, x)
        own = jnp.sum(self.one_hot * z, axis=-1, keepdims=True)
        return -jax.nn.logsumexp(z - own, axis=-1)  # of differences: nothing cancels in its tails

    def template(self, control):
        return jnp.zeros(self.shape, self.features.dtype)

    def draw_data(self, key, x):
        return jax.random.categorical(key, product(self.features, x))

    def with_data(self, data):
        labels = jnp.asarray(data).astype(int)
        one_hot = jax.nn.one_hot(labels, self.shape[1], dtype=self.one_hot.dtype)
        return eqx.tree_at(lambda u: u.one_hot, self, one_hot)

    def with_rows(self, rows):
        fields = lambda u: (u.features, u.one_hot)
        return eqx.tree_at(fields, self, (self.features[rows], self.one_hot[rows]))
