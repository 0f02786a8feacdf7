"""Whether numbers are uniform: simultaneous bands of their distribution function."""

from __future__ import annotations

import math

import numpy as np
from jax.typing import ArrayLike

from ..._arguments import whole
from ..._component import floating, known, shown
from .laws import probability

MOST_POINTS = 100


def ecdf_band(n: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""The band that holds the whole distribution function of `n` uniform numbers with probability
    `level`, at k / m, k = 1 ... m - 1, m = min(n, 100).

    At the point z the number of values up to z is binomial, Bin(n, z). The band holds those counts
    whose two-sided probability there is above a threshold, the same at all points, chosen such that
    all counts together stay inside with the probability `level`, or the next one above that whole
    counts allow. This probability is computed exactly, point by point.

    **Returns:** the points z, and the lower and upper ends of the distribution function there, each
    `(points,)`. **Raises:** ValueError for a level outside of (0, 1).

    **Source:** T. Sailynoja, P.-C. Buerkner, A. Vehtari, Stat. Comput. 32, 32 (2022), section 2.2.
    """
    n = whole("n", n)
    level = probability("level", level)
    points, surprise = points_and_surprise(n)
    low, high = -80.0, 0.0  # ln of the threshold
    for _ in range(40):
        middle = 0.5 * (low + high)
        inside = probability_inside(points, surprise > math.exp(middle))
        low, high = (middle, high) if inside >= level else (low, middle)
    allowed = surprise > math.exp(low)
    lower = np.argmax(allowed, axis=1)
    upper = n - np.argmax(allowed[:, ::-1], axis=1)
    return points, lower / n, upper / n


def ecdf_p_value(values: ArrayLike) -> float:
    r"""The probability that uniform numbers stray as far from uniformity as these at some point.

    The statistic is the least two-sided binomial probability of the counts of values up to each of
    min(n, 100) points. Its law under uniformity is computed exactly: the p-value is 0.05 or less
    in at most 5 % of all cases.

    **Arguments:** `values`, `(n,)`, in [0, 1]. **Returns:** a number in [0, 1].

    **Raises:** ValueError for anything else. **Source:** as `ecdf_band`.
    """
    values = unit_numbers("values", values)
    points, surprise = points_and_surprise(values.size)
    counts = np.searchsorted(np.sort(values), points, side="right")
    least = surprise[np.arange(points.size), counts].min()
    # Probabilities that are equal differ by their rounding.
    return 1 - probability_inside(points, surprise > least * (1 + 1e-9))


def unit_numbers(name: str, values: ArrayLike) -> np.ndarray:
    """Numbers in [0, 1], `(n,)`, in doubles. **Raises:** ValueError for anything else."""
    numbers = known(floating(values, name))
    line = numbers is not None and numbers.ndim == 1 and numbers.size > 0
    if numbers is None or not line or not np.all((numbers >= 0) & (numbers <= 1)):
        raise ValueError(f"{name} = {shown(values)}: expected numbers in [0, 1], of shape (n,)")
    return numbers.astype(float)


def points_and_surprise(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The points, and the two-sided binomial probability of each count there, `(points, n + 1)`."""
    from scipy import special

    k = min(n, MOST_POINTS)
    points = np.arange(1, k) / k if k > 1 else np.array([0.5])
    counts = np.arange(n + 1)
    below = special.bdtr(counts, n, points[:, None])
    above = np.ones_like(below)
    above[:, 1:] = special.bdtrc(counts[:-1], n, points[:, None])
    return points, np.minimum(1, 2 * np.minimum(below, above))


def probability_inside(points: np.ndarray, allowed: np.ndarray) -> float:
    """The probability that the counts of n uniform numbers are among the allowed ones everywhere.

    The numbers beyond z_i fall below z_{i+1} independently, each with the probability
    (z_{i+1} - z_i) / (1 - z_i): the counts are a Markov chain.
    """
    from scipy import special

    n = allowed.shape[1] - 1
    log_factorial = special.gammaln(np.arange(n + 1) + 1.0)
    states, weight, before = np.array([0]), np.array([1.0]), 0.0
    for point, ok in zip(points, allowed, strict=True):
        after = np.flatnonzero(ok)
        if not after.size:
            return 0.0
        p = (point - before) / (1 - before)
        more, left = np.maximum(after - states[:, None], 0), n - after
        log_pmf = log_factorial[n - states][:, None] - log_factorial[more] - log_factorial[left]
        log_pmf += more * math.log(p) + left * math.log1p(-p)
        weight = weight @ np.where(after >= states[:, None], np.exp(log_pmf), 0)
        states, before = after, point
    return float(min(1.0, weight.sum()))
