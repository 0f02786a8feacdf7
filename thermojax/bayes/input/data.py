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
    if len(targets) - table.shape[1] < ENOUGH:
        return
    size = np.linalg.norm(weighted, axis=0)
    unit = weighted / np.where(size > 0, size, 1)
    seen, sizes, _ = np.linalg.svd(unit, full_matrices=False)
    seen = seen[:, sizes > 1e-12 * sizes[0]]
    residual = targets - seen @ (seen.T @ targets)
    worst, robust = int(np.argmax(np.abs(residual))), robust_width(residual, len(size))
    # How the fit of all others moves where the worst row is left out
    leverage = seen @ seen[worst]
    off = residual[worst] / max(1 - leverage[worst], 1e-12)
    rest = robust_width(np.delete(residual + leverage * off, worst), len(size))
    if abs(off) > OUTLIER * max(rest, 1.0):
        robust = rest
        yield (
            f"targets[{worst}] = {float(term.targets[worst]):.4g} lies {abs(off):.3g} times the "
            "noise off the best fit of the others: an outlier, which Gaussian noise lets pull the "
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


def robust_width(residual: np.ndarray, dim: int) -> float:
    """The standard deviation of noise from the median of residuals that fitted `dim` weights."""
    size = len(residual)
    return float(np.median(np.abs(residual)) / 0.6745 * np.sqrt(size / (size - dim)))
