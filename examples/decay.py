"""A likelihood of one's own: counts of a source that decays.

Named by `configs/own_model.yaml` as `kind: examples.decay:Decay`. `energy` alone is enough for an
inference; with the other four methods `tj.bayes.calibrate` can draw data and test it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

import thermojax as tj


class Decay(tj.AbstractLikelihood):
    """Poisson counts with means exp(x_0 - exp(x_1) t): x, `(2,)`, ln amplitude and ln rate."""

    times: jax.Array
    counts: jax.Array

    def __init__(self, times, counts):
        self.times, self.counts = jnp.asarray(times, float), jnp.asarray(counts, float)
        if self.times.shape != self.counts.shape:
            raise ValueError(f"counts has shape {self.counts.shape}: expected one for each time")

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def template(self, control):
        return jnp.zeros(2)

    def log_likelihood(self, x):
        log_mean = x[0] - jnp.exp(x[1]) * self.times
        return jax.scipy.stats.poisson.logpmf(self.counts, jnp.exp(log_mean))

    def draw_data(self, key, x):
        mean = jnp.exp(x[0] - jnp.exp(x[1]) * self.times)
        return jax.random.poisson(key, mean).astype(float)

    def with_data(self, data):
        return eqx.tree_at(lambda u: u.counts, self, data)

    def with_rows(self, rows):
        return eqx.tree_at(
            lambda u: (u.times, u.counts), self, (self.times[rows], self.counts[rows])
        )
