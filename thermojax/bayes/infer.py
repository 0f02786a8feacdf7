"""`tj.bayes.infer`: from a prior and a likelihood to a posterior, its evidence, and their price."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any, overload

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real, whole
from .._keys import check_key
from .._tree import dimension_of, product, total
from ..estimators import FreeEnergy, free_energy
from ..potential import AbstractPotential, Interpolation
from ..protocol import Constant
from ..sampling import Equilibrium, start
from ..system import Bath, Underdamped
from .account import Account
from .coordinates import DENSE, Coordinates
from .leg import Leg, Ramped
from .model import Model
from .pilot import WALKERS, pilot
from .posterior import Posterior

GOOD = 0.35  # dissipation, in kT, at which half of the samples are effective
DOUBTFUL = 4.0  # standard errors between two answers that should be one


@overload
def infer(prior: Model, likelihood: PRNGKeyArray, /, **settings: Any) -> Posterior: ...
@overload
def infer(
    prior: AbstractPotential | None,
    likelihood: AbstractPotential,
    key: PRNGKeyArray,
    /,
    **settings: Any,
) -> Posterior: ...
def infer(
    prior,
    likelihood,
    key=None,
    /,
    *,
    error: float = 0.02,
    effective: float = 0.5,
    samples: int = 1024,
    budget: float = 2e7,
):
    """The posterior of `prior` and `likelihood`: weighted samples, evidence, and account."""
    model, key = (prior, likelihood) if isinstance(prior, Model) else (None, key)
    check_key(key)
    if model is None:
        model = Model(prior, likelihood)
    real("error", error, "a positive standard error of ln p(y)", lambda e: e > 0)
    real("effective", effective, "a share between 0 and 1", lambda e: (e > 0) & (e < 1))
    samples = whole("samples", samples, 64)
    real("budget", budget, "a positive number of gradients", lambda b: b > 0)
    goal = Goal(error, effective, samples, float(budget))
    return Inference(model, goal, key).run()


@dataclasses.dataclass(frozen=True)
class Goal:
    """What is wanted, and what may be spent on it."""

    error: float
    effective: float
    samples: int
    budget: float


class Inference:
    """The steps of one inference, and what they have spent and found."""

    def __init__(self, model: Model, goal: Goal, key: PRNGKeyArray):
        self.model, self.goal = model, goal
        self.like = model.template
        self.dim = dimension_of(jax.tree.map(lambda x: x[None], self.like))
        self.dense = self.dim <= DENSE
        self.key, self.count = key, 0
        self.spent, self.found = 0, []

    def next_key(self) -> PRNGKeyArray:
        self.count += 1
        return jax.random.fold_in(self.key, self.count)

    def run(self) -> Posterior:
        legs = [self.prior_leg()]
        first, runs, stages = self.ramps(legs[0], until=1.0)
        reference = self.reference_leg(first)
        results = [(legs[0], first, stages)]
        second, _, stages = self.ramps(reference, until=GOOD)
        results.append((reference, second, stages))
        leg, best, stages = max(results, key=lambda r: self.worth(*r))
        best = self.more(leg, best, stages)
        forward = free_energy_of(best)
        back, accepted = leg.reverse(self.next_key(), stages, best)
        self.spent += leg.cost(stages, len(best.last))
        both = bennett_of(best, back)
        return self.posterior(first, leg, best, forward, both)

    def prior_leg(self) -> Leg:
        prior, like = self.model.prior, self.like
        target = prior + self.model.likelihood
        potential = Interpolation(prior, target)
        system = Underdamped(prior, Constant(), Bath())

        def draw(key, n):
            position = start(system, key, batch=n, initial=Equilibrium(like)).position
            return flat(position)

        return self.leg(potential, draw)

    def reference_leg(self, ramped: Ramped) -> Leg:
        """From the Gaussian with the mean and the covariance that the ramps have found."""
        weights = ramped.books.weights
        at = Coordinates.of(ramped.last, weights, self.dense)
        reference = Fitted(at)
        potential = Interpolation(reference, self.model.prior + self.model.likelihood)
        draw = lambda key, n: at.outward(jax.random.normal(key, (n, self.dim), at.center.dtype))
        return self.leg(potential, draw)

    def leg(self, potential, draw) -> Leg:
        x = draw(self.next_key(), WALKERS)
        way, _, gradients = pilot(potential, self.like, self.next_key(), x, self.dense)
        self.spent += gradients
        return Leg(potential, self.like, way, draw, self.dense, shorter=0.7)

    def ramps(self, leg: Leg, until: float) -> tuple[Ramped, list, int]:
        """Ramps that dissipate no more than `until`, or as little as the budget allows."""
        stages, runs = leg.guess(until), []
        while True:
            run = leg.forward(self.next_key(), stages, self.goal.samples)
            self.spent += leg.cost(stages, self.goal.samples)
            runs.append((stages, float(run.books.dissipated)))
            more = math.ceil(stages * min(max(float(run.books.dissipated) / until, 1.5), 8))
            if float(run.books.dissipated) <= 1.3 * until or not self.affords(leg, more):
                return run, runs, stages
            stages = more

    def affords(self, leg: Leg, stages: int) -> bool:
        return self.spent + leg.cost(stages, self.goal.samples) <= self.goal.budget / 2

    def worth(self, leg: Leg, ramped: Ramped, stages: int) -> float:
        """Effective samples per gradient."""
        w = ramped.books.weights
        return float(1 / jnp.sum(w**2)) / leg.cost(stages, len(w))

    def more(self, leg: Leg, ramped: Ramped, stages: int) -> Ramped:
        """As many ramps as the error asks for, of those that are worth their gradients."""
        have = free_energy_of(ramped).log_ratio
        count, n = float(have.count), self.goal.samples
        wanted = math.ceil(count * (float(have.error) / self.goal.error) ** 2 - count)
        afford = (self.goal.budget - self.spent) / leg.cost(stages, n) / 2
        for _ in range(min(math.ceil(wanted / n), int(afford))):
            ramped = ramped.pooled(leg.forward(self.next_key(), stages, n))
            self.spent += leg.cost(stages, n)
        return ramped

    def posterior(self, first, leg, best, forward: FreeEnergy, both: FreeEnergy) -> Posterior:
        evidence = both.log_ratio
        roll = jax.vmap(ravel_pytree(self.like)[1])
        weights = best.books.weights
        position = roll(best.last)
        prior = jax.vmap(lambda x: self.model.prior.energy(x, None))
        likelihood = jax.vmap(lambda x: self.model.likelihood.energy(x, None))
        account = Account.of(
            first.books.work,
            first.books.heat,
            first.books.alive,
            prior(roll(first.first)),
            (prior(position), likelihood(position)),
            weights,
            evidence,
        )
        return Posterior(
            self.model,
            position,
            jnp.where(best.books.alive > 0, best.books.log_weight, -jnp.inf),
            roll(first.first),
            evidence,
            account,
            0.0,
            self.spent,
            tuple(self.found),
        )


class Fitted(AbstractPotential):
    """The normalized Gaussian N(center, factor factor^T) of a flat position, as an energy."""

    center: Float[Array, " dim"]
    root: Float[Array, "..."]  # the inverse of the factor: a product is faster than to solve
    log_scale: Float[Array, ""]

    def __init__(self, coordinates: Coordinates):
        self.center, factor = coordinates.center, coordinates.factor
        scale = factor if factor.ndim == 1 else jnp.diagonal(factor)
        self.log_scale = jnp.sum(jnp.log(scale)) + 0.5 * len(scale) * jnp.log(2 * jnp.pi)
        if factor.ndim == 1:
            self.root = 1 / factor
        else:
            identity = jnp.eye(len(scale), dtype=factor.dtype)
            self.root = jax.scipy.linalg.solve_triangular(factor, identity, lower=True)

    def energy(self, x, control):
        away = ravel_pytree(x)[0] - self.center
        z = self.root * away if self.root.ndim == 1 else product(self.root, away)
        return 0.5 * total(z**2) + self.log_scale


def flat(position) -> Float[Array, "n dim"]:
    """A batch of positions as rows."""
    return jax.vmap(lambda x: ravel_pytree(x)[0])(position)


def free_energy_of(ramped: Ramped) -> FreeEnergy:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return free_energy.jarzynski(ramped.books.log_weight, ramped.books.alive)


def bennett_of(forward: Ramped, reverse: Ramped) -> FreeEnergy:
    a, b = (x.books.log_weight[x.books.alive > 0] for x in (forward, reverse))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return free_energy.bar(a, b)
