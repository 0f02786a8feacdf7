"""Regressions of a table: which likelihood its target has, and how its weights are drawn before."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from annotated_types import Gt

import thermojax as tj


class AbstractRegression(abc.ABC):
    """A likelihood whose features and targets come from a table.

    One of your own is a class with `kind`, what a target must be, and `potential`.
    """

    kind: ClassVar[Literal["binary", "counts", "numbers"]]

    @abc.abstractmethod
    def potential(self, features: np.ndarray, targets: np.ndarray) -> tj.AbstractLikelihood:
        """The likelihood of `features` `(rows, dim)`, the bias column first, and its targets."""


@dataclass(frozen=True)
class Logistic(AbstractRegression):
    """A target that is 0 or 1: p(1) = 1 / (1 + exp(-a . x))."""

    kind = "binary"

    def potential(self, features, targets):
        return tj.LogisticRegression(features, targets)


@dataclass(frozen=True)
class Poisson(AbstractRegression):
    """A target that counts, with the mean exp(a . x)."""

    kind = "counts"

    def potential(self, features, targets):
        return tj.PoissonRegression(features, targets)


@dataclass(frozen=True)
class Linear(AbstractRegression):
    """A target that was measured, a . x with Gaussian `noise`, its standard deviation."""

    kind = "numbers"
    noise: Annotated[float, Gt(0)]

    def potential(self, features, targets):
        return tj.LinearRegression(features, targets, self.noise)


@dataclass(frozen=True)
class IndependentWeights:
    """The prior of a regression: independent Gaussians of one `variance`, one for each column."""

    variance: Annotated[float, Gt(0)] = 1.0
    mean: float = 0.0

    def potential(self, dim: int) -> tj.Gaussian:
        return tj.Gaussian(jnp.full(dim, self.mean), self.variance)
