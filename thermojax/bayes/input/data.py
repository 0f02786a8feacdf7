"""Observations: labels of one class, counts of nothing, targets that their noise does not fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ...potential import (
    AbstractLikelihood,
    LinearRegression,
    LogisticRegression,
    NetworkClassification,
    PoissonRegression,
    RandomEffects,
    SoftmaxRegression,
)
from .terms import double, listed

OFF = 3.0  # ratio of the scatter of residuals and the noise, beyond which one of them is wrong
ENOUGH = 10  # residuals that are free, from which their scatter says something
OUTLIER = 20.0  # robust standard deviations of a residual


def data_doubts(term: AbstractLikelihood, table: np.ndarray | None) -> Iterator[str]:
    """Doubts about what was observed, a sentence each."""
    if isinstance(term, LogisticRegression):
        yield from class_doubts(np.stack([term.signs < 0, term.signs > 0], axis=1))
    elif isinstance(term, SoftmaxRegression | NetworkClassification):
        yield from class_doubts(double(term.one_hot))
    elif isinstance(term, PoissonRegression) and not np.any(double(term.counts)):
        yield "counts are all 0: how small the rates are is the prior's to say."
    elif isinstance(term, RandomEffects):
        y, n = double(term.successes), double(term.trials)
        if np.all(y == 0) or np.all(y == n):
            yield (
                f"successes are {'none' if np.all(y == 0) else 'all'} of the trials: how far the "
                "coefficients go is the prior's to say."
            )
    elif isinstance(term, LinearRegression) and table is not None:
        yield from residual_doubts(term, table)


def class_doubts(one_hot: np.ndarray) -> Iterator[str]:
    seen = np.any(one_hot, axis=0)
    if np.sum(seen) == 1:
        yield (
            f"labels are all {np.flatnonzero(seen)[0]}: one class alone; how far the weights go is "
            "the prior's to say."
        )
    elif not np.all(seen):
        missing = np.flatnonzero(~seen)
        yield (
            f"labels never are {listed(missing)}: how improbable such a class is, is the prior's "
            "to say."
        )


def residual_doubts(term: LinearRegression, table: Float[np.ndarray, "rows dim"]) -> Iterator[str]:
    """The best fit of a linear regression, against the noise that is stated."""
    noise = np.broadcast_to(double(term.noise), term.targets.shape)
    weighted, targets = table / noise[:, None], double(term.targets) / noise
    residual, robust = best_fit(weighted, targets)
    if robust is None:
        return
    worst = int(np.argmax(np.abs(residual)))
    others = np.arange(len(targets)) != worst
    rest = best_fit(weighted[others], targets[others])[1]
    if rest is not None and abs(residual[worst]) > OUTLIER * max(rest, 1.0):
        robust = rest
        yield (
            f"targets[{worst}] = {float(term.targets[worst]):.4g} lies {abs(residual[worst]):.3g} "
            "times the noise off the best fit: an outlier, which Gaussian noise lets pull the "
            "weights; check this number."
        )
    if robust > OFF:
        yield (
            f"noise is stated too small: the best fit leaves residuals {robust:.3g} times as wide, "
            "so that the posterior is too narrow and the evidence too low."
        )
    elif robust < 1 / OFF:
        yield (
            f"noise is stated too large: the best fit leaves residuals of {robust:.2g} of it, so "
            "that the posterior is too wide and the evidence too low."
        )


def best_fit(table: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float | None]:
    """Residuals of least squares, and their robust standard deviation; None for it of too few."""
    fit, _, rank, _ = np.linalg.lstsq(table, targets, rcond=None)
    residual = targets - table @ fit
    free = len(residual) - rank
    if free < ENOUGH:
        return residual, None
    return residual, np.median(np.abs(residual)) / 0.6745 * np.sqrt(len(residual) / free)
