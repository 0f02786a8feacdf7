"""Targets of annealed sampling whose normalization is known: regressions, processes, many modes.

Each is a `Target`; `TARGETS` holds them by name. The published lower bounds that others reach on
the first five are in arXiv:2307.01050, whose notebook they come from.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import thermojax as tj

DATA = Path(__file__).parents[1] / "data"
LOG_2PI = math.log(2 * math.pi)


class Target(NamedTuple):
    """An unnormalized law of positions `(dim,)`.

    - `energy`: a potential, -ln of its density. `template`: one position.
    - `log_z`: ln of its integral, to `error`. `sample(key, n)`: exact draws, or None.
    """

    energy: tj.AbstractPotential
    template: Any
    log_z: float
    error: float
    sample: Callable | None = None


def regression(name: str, log_z: float) -> Target:
    """Logistic regression of a table in `data/`: standardized, a bias first, weights N(0, 1).

    A test compares `log_z` with annealing from a dense Gaussian.
    """
    table = np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1)
    features, labels = table[:, :-1], table[:, -1]
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    features = np.column_stack([np.ones(len(features)), features])
    dim = features.shape[1]
    prior = tj.Gaussian(jnp.zeros(dim), jnp.ones(dim))
    return Target(prior + tj.LogisticRegression(features, labels), jnp.zeros(dim), log_z, 0.01)


# Germinated of so many seeds on 21 plates: two kinds of seed, two root extracts.
GERMINATED = [10, 23, 23, 26, 17, 5, 53, 55, 32, 46, 10, 8, 10, 8, 23, 0, 3, 22, 15, 32, 3]
SEEDS = [39, 62, 81, 51, 39, 6, 74, 72, 51, 79, 13, 16, 30, 28, 45, 4, 12, 41, 30, 51, 7]
KIND = [0] * 11 + [1] * 10
EXTRACT = [0] * 5 + [1] * 6 + [0] * 5 + [1] * 5


class Seeds(tj.AbstractPotential):
    r"""Random effects of 21 plates: r_i ~ Binomial(n_i, p_i), logit p_i = a . z_i + b_i.

    Positions are ln tau, the four coefficients a ~ N(0, 10^2) of 1, kind, extract and both, and the
    effects b_i ~ N(0, 1 / tau), with tau ~ Gamma(0.01, rate 0.01).

    **Source:** M. J. Crowder, Appl. Stat. 27, 34 (1978); the model as in D. Spiegelhalter et al.,
    BUGS 0.5 examples, volume 1, "Seeds".
    """

    def energy(self, x, control):
        log_tau, a, b = x[0], x[1:5], x[5:]
        kind, extract = jnp.asarray(KIND, x.dtype), jnp.asarray(EXTRACT, x.dtype)
        logit = a[0] + a[1] * kind + a[2] * extract + a[3] * kind * extract + b
        n, r = jnp.asarray(SEEDS, x.dtype), jnp.asarray(GERMINATED, x.dtype)
        ways = jax.scipy.special.gammaln(n + 1) - jax.scipy.special.gammaln(r + 1)
        ways = ways - jax.scipy.special.gammaln(n - r + 1)
        likelihood = jnp.sum(ways + r * logit - n * jax.nn.softplus(logit))
        shape = 0.01
        gamma = shape * (math.log(shape) + log_tau) - math.lgamma(shape)
        gamma = gamma - shape * jnp.exp(log_tau)
        effects = jnp.sum(-0.5 * b**2 * jnp.exp(log_tau) + 0.5 * log_tau - 0.5 * LOG_2PI)
        return -(likelihood + gamma + effects + jnp.sum(norm.logpdf(a, scale=10.0)))


# A Brownian motion of 30 steps, the middle ten of them not seen.
SEEN_BEFORE = [
    0.21592641, 0.118771404, -0.07945447, 0.037677474, -0.27885845,
    -0.1484156, -0.3250906, -0.22957903, -0.44110894, -0.09830782,
]  # fmt: skip
SEEN_AFTER = [
    -0.8786016, -0.83736074, -0.7384849, -0.8939254, -0.7774566,
    -0.70238715, -0.87771565, -0.51853573, -0.6948214, -0.6202789,
]  # fmt: skip


class Brownian(tj.AbstractPotential):
    r"""A Brownian motion with noisy readings, both noises unknown, LogNormal(0, 2).

    Positions are ln of exp(noise) - 1 for innovations and readings, and the 30 places.

    **Source:** P. Sountsov, A. Radul et al., Inference Gym (2020), data of
    "brownian_motion_missing_middle_observations" (Apache 2.0).
    """

    def energy(self, x, control):
        noises, place = jax.nn.softplus(x[:2]), x[2:]
        prior = jnp.sum(norm.logpdf(jnp.log(noises), scale=2.0) - jnp.log(noises))
        prior = prior + jnp.sum(jax.nn.log_sigmoid(x[:2]))
        steps = jnp.diff(place, prepend=jnp.zeros(1, x.dtype))
        prior = prior + jnp.sum(norm.logpdf(steps, scale=noises[0]))
        before, after = jnp.asarray(SEEN_BEFORE, x.dtype), jnp.asarray(SEEN_AFTER, x.dtype)
        seen = jnp.concatenate([before - place[:10], after - place[20:]])
        return -(prior + jnp.sum(norm.logpdf(seen, scale=noises[1])))


class Funnel(tj.AbstractPotential):
    """x_0 ~ N(0, 3^2), and x_i ~ N(0, exp(x_0)) for nine more (R. M. Neal, 2003)."""

    def energy(self, x, control):
        neck = norm.logpdf(x[0], scale=3.0)
        body = -0.5 * x[1:] ** 2 * jnp.exp(-x[0]) - 0.5 * x[0] - 0.5 * LOG_2PI
        return -(neck + jnp.sum(body))


def funnel_draws(key, n: int):
    """Exact draws of the funnel, `(n, 10)`."""
    z = jax.random.normal(key, (n, 10))
    neck = 3 * z[:, :1]
    return jnp.concatenate([neck, jnp.exp(0.5 * neck) * z[:, 1:]], axis=1)


def forty_modes() -> Target:
    """Forty standard normals of equal weight in the plane, their means in `data/`."""
    means = np.loadtxt(DATA / "forty_modes.csv", delimiter=",", skiprows=1)
    mixture = tj.GaussianMixture(jnp.asarray(means), 1.0, jnp.full(40, 1 / 40))
    draws = lambda key, n: mixture.sample(key, None, 1.0, n, jnp.zeros(2))
    return Target(mixture, jnp.zeros(2), 0.0, 0.0, draws)


class ManyWells(tj.AbstractPotential):
    """Copies of -x^4 + 6 x^2 + x / 2 - y^2 / 2 as a log density, each with two wells.

    **Source:** F. Noe et al., Science 365, eaaw1147 (2019); many copies as in arXiv:2208.01893.
    """

    def energy(self, x, control):
        x, y = x[::2], x[1::2]
        return jnp.sum(x**4 - 6 * x**2 - 0.5 * x + 0.5 * y**2)


class FiveWells(tj.AbstractPotential):
    """Five coordinates with the log density -(x^2 - 2)^2, and 45 with -x^2 / 2."""

    def energy(self, x, control):
        return jnp.sum((x[:5] ** 2 - 2) ** 2) + 0.5 * jnp.sum(x[5:] ** 2)


def line_draws(log_density: Callable, key, shape: tuple[int, ...]):
    """Draws of a density on the line between -4 and 4, by its distribution function."""
    grid = jnp.linspace(-4, 4, 8001)
    weight = jnp.exp(log_density(grid) - jnp.max(log_density(grid)))
    cumulated = jnp.cumsum(weight)
    uniform = jax.random.uniform(key, shape) * cumulated[-1]
    return jnp.interp(uniform, cumulated, grid)


def many_wells_draws(key, n: int):
    first, second = jax.random.split(key)
    x = line_draws(lambda x: -(x**4) + 6 * x**2 + 0.5 * x, first, (n, 16))
    return jnp.stack([x, jax.random.normal(second, (n, 16))], axis=2).reshape(n, 32)


def five_wells_draws(key, n: int):
    first, second = jax.random.split(key)
    x = line_draws(lambda x: -((x**2 - 2) ** 2), first, (n, 5))
    return jnp.concatenate([x, jax.random.normal(second, (n, 45))], axis=1)


TARGETS: dict[str, Callable[[], Target]] = {
    "ionosphere": functools.partial(regression, "ionosphere", -111.609),
    "sonar": functools.partial(regression, "sonar", -108.382),
    "seeds": lambda: Target(Seeds(), jnp.zeros(26), -73.407, 0.01),
    "brownian": lambda: Target(Brownian(), jnp.zeros(32), 1.1877, 0.01),
    "funnel": lambda: Target(Funnel(), jnp.zeros(10), 0.0, 0.0, funnel_draws),
    "forty_modes": forty_modes,
    "many_wells": lambda: Target(ManyWells(), jnp.zeros(32), 164.69567531, 0, many_wells_draws),
    "five_wells": lambda: Target(FiveWells(), jnp.zeros(50), 42.81724268, 0, five_wells_draws),
}
