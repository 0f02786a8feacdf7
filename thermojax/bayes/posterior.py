"""The result of an inference: weighted samples, the evidence, and the account."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._arguments import flag
from ..estimate import Estimate
from ..interop.arviz import weighted_draws
from ..potential import AbstractLikelihood
from ..protocol import PiecewiseLinear
from .account import Account
from .groups import effective_samples, grouped_mean
from .model import Model
from .snapshots import RampSnapshots


class Posterior(eqx.Module):
    """Samples of a posterior with weights, its evidence, and what both cost.

    - `position`, a pytree of `(n, ...)`; `log_weight`, `(n,)`: samples weigh exp(log_weight).
    - `prior_position`, `(m, ...)`: draws from the prior, where the ramps of the account began; None
      where it is flat.
    - `log_evidence`: ln p(y), a `tj.Estimate`; value and error nan where the prior is flat.
    - `account`: a `tj.bayes.Account`; None where the prior is flat.
    - `time`: the duration of one ramp of the device, in units of the model's dynamics.
    - `schedule`: the coupling of the likelihood through that time, from 0 to 1, which `infer` takes
      again as `schedule=`; None where the prior is flat, or nobody kept it.
    - `gradients`: evaluations of the gradient of one path, all paths and pilots together.
    - `warnings`: what is to be doubted, in sentences; empty where nothing is.
    - `model`: what was inferred.
    - `energies`: work, heat and shadow_work of the ramp of each sample, `(n,)` by name, for
      `to_arviz`; None where nobody kept them. With resampling they are those of the device in which
      the sample ended, whichever states it has held.
    - `group_size`: samples that follow each other and have been resampled among themselves; groups
      are independent, and errors are those of their spread. 1 without resampling.
    - `reverse_log_weight`, `(m,)`: of ramps back along the way of the samples. By Crooks its
      negative and `log_weight` are distributed alike where both are the log of the ratio of the
      normalizers, and nowhere else. None where there were none.
    - `snapshots`: the `tj.bayes.RampSnapshots` of the ramps from the prior; None where it is flat.
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
    energies: dict[str, Array] | None = None
    schedule: PiecewiseLinear | None = None
    group_size: int = eqx.field(static=True, default=1)
    reverse_log_weight: Float[Array, " m"] | None = None
    snapshots: RampSnapshots | None = None

    @property
    def weights(self) -> Float[Array, " n"]:
        """exp(log_weight), normalized to a sum of 1; `(n,)`."""
        return jax.nn.softmax(self.log_weight)

    @property
    def effective_samples(self) -> Float[Array, ""]:
        """(sum w)^2 / sum w^2, a scalar; with resampling at most that, and as many independent
        draws as have the errors of the means of the coordinates and their squares."""
        rows = jax.vmap(lambda x: ravel_pytree(x)[0])(self.position)
        return effective_samples(rows, self.weights, self.group_size)

    @property
    def samples(self) -> dict[str, Array]:
        """The positions by name, each `(n, ...)`: as `tj.bayes.Model.shown` says."""
        return self.model.shown(self.position)

    def mean(self, values) -> Estimate:
        """The posterior mean of `(n, ...)` values, or of a function of one position."""
        if callable(values):
            values = jax.vmap(values)(self.position)
        return grouped_mean(jnp.asarray(values), self.weights, self.group_size)

    def draw(self, key: PRNGKeyArray, n: int) -> PyTree[Array]:
        """`n` positions of equal weight, drawn with replacement by their weights: `(n, ...)`."""
        place = jax.random.choice(key, self.log_weight.shape[0], (n,), p=self.weights)
        return jax.tree.map(lambda x: x[place], self.position)

    def to_arviz(self, *, resampled: bool = True, log_likelihood: bool = True):
        """The posterior as ArviZ plots and summarizes it: `arviz.plot_trace(...to_arviz())`.

        ArviZ knows no weights: one chain of draws is taken by weight, each sample about as often as
        its weight says (systematic resampling, in which nothing is random), as many as there are
        effective samples. Errors that ArviZ finds from the draws are then those of `mean`.

        **Arguments:** `resampled=False`: all samples as they are, with their weights in
        `sample_stats`. `log_likelihood=False` leaves ln p(y_i|x) out, `(draws, rows)` numbers.

        **Returns:** an `InferenceData` before version 1 of ArviZ, a `DataTree` from there on:
        `posterior` and `prior`, the names of `samples`, `(1, draw, ...)`; `sample_stats`, `(1,
        draw)`: log_weight, path, and `energies`; `log_likelihood`, `(1, draw, ...)`, where the
        likelihood is a `tj.AbstractLikelihood`.

        **Raises:** ImportError that names the extra, where ArviZ is missing.
        """
        flag("resampled", resampled)
        flag("log_likelihood", log_likelihood)
        likelihood, begun = self.model.likelihood, self.prior_position

        by_row = None
        if log_likelihood and isinstance(likelihood, AbstractLikelihood):
            rows = jax.vmap(likelihood.by_name)
            by_row = lambda chosen: rows(jax.tree.map(lambda x: x[chosen], self.position))
        return weighted_draws(
            self.samples,
            self.log_weight,
            self.energies or {},
            resampled=resampled,
            count=None if self.group_size == 1 else max(1, int(self.effective_samples)),
            prior=None if begun is None else self.model.shown(begun),
            log_likelihood=by_row,
        )
