"""The result of an inference: weighted samples, the evidence, and the account."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..estimate import Estimate, weighted_mean
from .account import Account
from .model import Model


class Posterior(eqx.Module):
    """Samples of a posterior with weights, its evidence, and what both cost.

    - `position`, a pytree of `(n, ...)`; `log_weight`, `(n,)`: samples weigh exp(log_weight).
    - `prior_position`, `(n, ...)`: where the same paths began, draws from the prior; None where
      the prior is flat.
    - `log_evidence`: ln p(y), a `tj.Estimate`; value and error nan where the prior is flat.
    - `account`: a `tj.bayes.Account`; None where the prior is flat.
    - `time`: the duration of one ramp of the device, in units of the model's dynamics.
    - `gradients`: evaluations of the gradient of one path, all paths and pilots together.
    - `warnings`: what is to be doubted, in sentences; empty where nothing is.
    - `model`: what was inferred. `paths`: how many ramps there were, `stages` of each.
    """

    model: Model
    position: PyTree[Array]
    log_weight: Float[Array, " n"]
    prior_position: PyTree[Array] | None
    log_evidence: Estimate
    account: Account | None
    time: float = eqx.field(static=True)
    gradients: int = eqx.field(static=True)
    warnings: tuple[str, ...] = eqx.field(static=True)

    @property
    def weights(self) -> Float[Array, " n"]:
        """exp(log_weight), normalized to a sum of 1; `(n,)`."""
        return jax.nn.softmax(self.log_weight)

    @property
    def effective_samples(self) -> Float[Array, ""]:
        """(sum w)^2 / sum w^2, a scalar."""
        return 1 / jnp.sum(self.weights**2)

    @property
    def samples(self) -> dict[str, Array]:
        """The positions by name, each `(n, ...)`: as `tj.bayes.Model.shown` says."""
        return self.model.shown(self.position)

    def mean(self, values) -> Estimate:
        """The posterior mean of `(n, ...)` values, or of a function of one position."""
        if callable(values):
            values = jax.vmap(values)(self.position)
        return weighted_mean(jnp.asarray(values), self.weights)

    def draw(self, key: PRNGKeyArray, n: int) -> PyTree[Array]:
        """`n` positions of equal weight, drawn with replacement by their weights: `(n, ...)`."""
        place = jax.random.choice(key, self.log_weight.shape[0], (n,), p=self.weights)
        return jax.tree.map(lambda x: x[place], self.position)
