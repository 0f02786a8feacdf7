"""Random effects: binomial counts in groups that differ more than chance makes them."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..._component import Numbers, Positive, finite, floating, known, shown
from ..._tree import product
from ..base import require_tree
from ..diagonal_gaussian import DiagonalGaussian
from .base import AbstractLikelihood
from .factorials import log_factorial_remainder
from .logistic import sigmoid, softplus
from .rows import finite_features, one_each_row, require_counts


class RandomEffects(AbstractLikelihood):
    r"""The binomial likelihood of coefficients, effects of groups and their spread.

    Each row counts successes among trials, with an effect that all rows of its group share:

        y_i ~ Binomial(n_i, sigma(a_i . b + s u_g(i))),    s = exp(log_scale).

    A position is a dict: `coefficients` b, `(dim,)`; `effects` u, `(groups,)`, in units of their
    spread; `log_scale`, a scalar. In these units the prior of the effects, N(0, 1) each, knows
    nothing of the spread: all of it is one Gaussian, which `prior` writes, without a funnel. The
    evidence is that of effects s u ~ N(0, s^2), which `constrain` returns. The "seeds" model of the
    BUGS examples (Crowder 1978; Breslow & Clayton 1993) has one row to a group.

        likelihood = tj.RandomEffects(features, germinated, sown)
        model = tj.bayes.Model(likelihood.prior(), likelihood, constrain=likelihood.constrain)

    **Arguments:** `features`, `(rows, dim)`, with the bias column if there is one; `successes`,
    `(rows,)`, and `trials`, one number or `(rows,)`; `groups`, `(rows,)`, whole numbers from 0:
    every row its own group when left out.

    **Raises:** ValueError for shapes that do not fit, features that are not finite, and counts that
    are negative, not whole, or more than the trials. **Cost:** one product with the features per
    energy, two per gradient; for a batch, matrix-matrix.
    """

    features: Float[Array, "rows dim"]
    successes: Float[Array, " rows"]
    trials: Float[Array, " rows"]
    groups: Int[Array, " rows"] | None  # None where every row is its own
    group_count: int = eqx.field(static=True)

    def __init__(
        self,
        features: Numbers,
        successes: Numbers,
        trials: Numbers = 1,
        groups: Numbers | None = None,
    ):
        self.features = finite_features(features)
        self.successes = one_each_row("successes", successes, self.features)
        trials = floating(trials, "trials")
        if trials.shape == ():
            trials = jnp.broadcast_to(trials, self.successes.shape)
        self.trials = one_each_row("trials", trials, self.features)
        require_counts("successes", self.successes)
        require_counts("trials", self.trials)
        most, found = known(self.trials), known(self.successes)
        if most is not None and found is not None and np.any(found > most):
            row = np.flatnonzero(found > most)[0]
            raise ValueError(
                f"successes[{row}] = {found[row]:g} of trials[{row}] = {most[row]:g}: expected no "
                "more successes than trials"
            )
        self.groups, self.group_count = numbered_groups(groups, self.features)

    def logits(self, x: Mapping[str, Array]) -> Float[Array, " rows"]:
        """The logit of a success in every row, `(rows,)`."""
        require_tree(self, x, self.template(None), "features and groups")
        effects = x["effects"] if self.groups is None else x["effects"][self.groups]
        return product(self.features, x["coefficients"]) + jnp.exp(x["log_scale"]) * effects

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def log_likelihood(self, x):
        z, remainder = self.logits(x), log_factorial_remainder
        n, y, failures = self.trials, self.successes, self.trials - self.successes
        # ln C(n, y), its large terms beside those of the chances, from which they differ by little
        most, some, rest = (jnp.maximum(count, 1) for count in (n, y, failures))
        ways = remainder(n) - remainder(y) - remainder(failures) + (some + rest - most)
        hits = y * (jnp.log(most / some) - softplus(-z))
        misses = failures * (jnp.log(most / rest) - softplus(z))
        return ways + hits + misses

    def template(self, control):
        zeros = lambda *shape: jnp.zeros(shape, self.features.dtype)
        coefficients = zeros(self.features.shape[1])
        return {
            "coefficients": coefficients,
            "effects": zeros(self.group_count),
            "log_scale": zeros(),
        }

    def prior(
        self,
        coefficient_variance: Positive = 1.0,
        log_scale_mean: Numbers = 0.0,
        log_scale_variance: Positive = 1.0,
    ) -> DiagonalGaussian:
        """The Gaussian prior: of coefficients, standardized effects, and the log of their spread.

        **Arguments:** `coefficient_variance`, a number or `(dim,)`; mean and variance of
        `log_scale`, two numbers.
        """
        mean = self.template(None)
        mean["log_scale"] = mean["log_scale"] + finite("log_scale_mean", log_scale_mean)
        variance = {
            "coefficients": floating(coefficient_variance, "coefficient_variance"),
            "effects": jnp.ones((), self.features.dtype),
            "log_scale": floating(log_scale_variance, "log_scale_variance"),
        }
        return DiagonalGaussian(mean, variance)

    def constrain(self, x: Mapping[str, Array]) -> dict[str, Array]:
        """One position as people write it: `coefficients`, `effects` of the groups, `scale`."""
        scale = jnp.exp(x["log_scale"])
        return {
            "coefficients": x["coefficients"],
            "effects": scale * x["effects"],
            "scale": scale,
        }

    def draw_data(self, key, x):
        chance = sigmoid(self.logits(x))
        return jax.random.binomial(key, self.trials, chance).astype(self.successes.dtype)

    def with_data(self, data):
        data = jnp.asarray(data, self.successes.dtype)
        return eqx.tree_at(lambda u: u.successes, self, data)

    def with_rows(self, rows):
        groups = jnp.arange(self.group_count) if self.groups is None else self.groups
        fields = lambda u: (u.features, u.successes, u.trials, u.groups)
        old = self.features, self.successes, self.trials, groups
        new = tuple(values[rows] for values in old)
        return eqx.tree_at(fields, self, new, is_leaf=lambda leaf: leaf is None)


def numbered_groups(groups: Numbers | None, features: Array) -> tuple[Array | None, int]:
    """The group of every row and the number of groups; (None, rows) where each row is its own.

    **Raises:** ValueError for numbers that do not count from 0 without a gap.
    """
    if groups is None:
        return None, features.shape[0]
    found = known(one_each_row("groups", groups, features))
    if found is None:
        raise ValueError("groups are traced: expected numbers that are known, for they are counted")
    names = np.unique(found)
    if not np.array_equal(names, np.arange(names.size)):
        raise ValueError(
            f"groups hold {shown(names)}: expected whole numbers from 0 without a gap; "
            "np.unique(groups, return_inverse=True)[1] makes them of any"
        )
    return jnp.asarray(found.astype(int)), names.size
