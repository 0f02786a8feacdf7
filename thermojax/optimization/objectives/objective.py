"""Costs of a protocol, each a number with its standard error, and their algebra."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._component import AbstractComponent, Numbers, finite, floating
from ...distribution import Densities, Moments
from ...estimate import Estimate
from ...sampling import Result
from ...system import AbstractSystem


class AbstractObjective(AbstractComponent):
    """A cost of running a system. A new one is a subclass with `__call__`.

    Objectives add, subtract, and take scalar weights: `tj.MeanWork() + 0.5 * tj.ControlCost()`.
    """

    @abc.abstractmethod
    def __call__(self, system: AbstractSystem, result: Any) -> Estimate:
        """The cost and its standard error, differentiable through the result.

        `result` is what the picture returns: a `tj.Result` of paths, `tj.Moments`, or a
        `tj.Densities`. Means over paths go through `result.mean`, which covers the paths that
        survived and carries the dependence of the initial law on parameters.
        """

    def of(self, runs) -> Estimate:
        """The cost of the runs that it asks for: `runs.forward`, `runs.reverse`."""
        return self(runs.system, runs.forward)

    def counts(self) -> bool:
        """Whether it counts paths, so that it has no derivative along them."""
        return False

    def runs_reverse(self) -> bool:
        """Whether it asks for reverse runs. What `of` asks for is made in any case: this says
        whether their start is worth preparing.
        """
        return False

    def smoothed(self, width) -> AbstractObjective:
        """This cost with its steps smoothed over a length; itself where it has none."""
        return self

    def __add__(self, other: AbstractObjective) -> AbstractObjective:
        if not isinstance(other, AbstractObjective):
            return NotImplemented
        return CostSum((*cost_terms(self), *cost_terms(other)))

    def __radd__(self, other) -> AbstractObjective:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # for `sum`

    def __neg__(self) -> AbstractObjective:
        return ScaledCost(self, -1.0)

    def __sub__(self, other: AbstractObjective) -> AbstractObjective:
        return self + (-other) if isinstance(other, AbstractObjective) else NotImplemented

    def __truediv__(self, number) -> AbstractObjective:
        return ScaledCost(self, 1 / floating(number, "number"))

    def __mul__(self, factor) -> AbstractObjective:
        if isinstance(factor, AbstractObjective):
            raise TypeError("objectives add; only a number can multiply an objective")
        return ScaledCost(self, factor)

    __rmul__ = __mul__


class CostSum(AbstractObjective):
    """The sum of several costs of the same runs.

    Their errors add, too: the terms share their paths, so that this is the upper bound.
    """

    terms: tuple[AbstractObjective, ...]

    def __call__(self, system, result):
        return added([term(system, result) for term in self.terms])

    def of(self, runs):
        return added([term.of(runs) for term in self.terms])

    def counts(self):
        return any(term.counts() for term in self.terms)

    def runs_reverse(self):
        return any(term.runs_reverse() for term in self.terms)

    def smoothed(self, width):
        return CostSum(tuple(term.smoothed(width) for term in self.terms))


class ScaledCost(AbstractObjective):
    """A number times a cost."""

    objective: AbstractObjective
    factor: Float[Array, ""]

    def __init__(self, objective: AbstractObjective, factor: Numbers):
        self.objective, self.factor = objective, finite("factor", factor)
        if self.factor.shape != ():
            raise ValueError(f"factor has shape {self.factor.shape}: expected one number")

    def __call__(self, system, result):
        return scaled(self.objective(system, result), self.factor)

    def of(self, runs):
        return scaled(self.objective.of(runs), self.factor)

    def counts(self):
        return self.objective.counts()

    def runs_reverse(self):
        return self.objective.runs_reverse()

    def smoothed(self, width):
        return ScaledCost(self.objective.smoothed(width), self.factor)


def cost_terms(objective: AbstractObjective) -> tuple[AbstractObjective, ...]:
    return objective.terms if isinstance(objective, CostSum) else (objective,)


def added(costs: list[Estimate]) -> Estimate:
    count = jnp.stack([jnp.asarray(cost.count, float) for cost in costs])
    return Estimate(
        sum(cost.value for cost in costs), sum(cost.error for cost in costs), jnp.min(count)
    )


def scaled(cost: Estimate, factor) -> Estimate:
    return Estimate(factor * cost.value, jnp.abs(factor) * cost.error, cost.count)


def exact(value) -> Estimate:
    """A number that is no average over paths: no error, as if from infinitely many."""
    value = jnp.asarray(value)
    return Estimate(value, jnp.zeros_like(value), jnp.asarray(jnp.inf, value.dtype))


def mean_work(result: Result | Moments | Densities) -> Estimate:
    """The mean total work, in any picture."""
    if isinstance(result, Result):
        return result.mean(result.ledger.total_work)
    return exact(result.ledger.work[-1])


def function_of_means(result: Result, values: Float[Array, "batch k"], function) -> Estimate:
    """The value function(<values>), with the error of the delta method.

    The error is that of the mean along the gradient of the function. The value is biased by the
    curvature of the function, in proportion to 1/batch.
    """
    means = result.mean(values).value
    slope = jax.lax.stop_gradient(jax.grad(function)(means))
    spread = result.mean(values @ slope)
    return Estimate(function(means), spread.error, spread.count)
