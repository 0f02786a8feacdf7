"""Columns of features: constant, repeated, dependent, of very different widths, or of one row."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Float

from ...potential import AbstractPotential, DiagonalGaussian, Gaussian
from .terms import double, listed

DEPENDENT = 1e-12  # of the largest eigenvalue of the products of unit columns: six digits of a sum
WIDE = 100.0  # ratio of widths, beyond which columns count as not standardized
FAR = 30.0  # widths of a column between its values and zero
ALONE = 0.99  # leverage of a row that decides on a direction by itself


def column_doubts(features: Float[np.ndarray, "rows dim"]) -> Iterator[str]:
    """Doubts about a table of features, a sentence each."""
    rows, dim = features.shape
    largest = np.max(np.abs(features), axis=0)
    zero = largest == 0
    constant = ~zero & (np.ptp(features, axis=0) <= 1e-12 * largest)
    if np.any(zero):
        yield (
            f"features are 0 in every row of {columns(np.flatnonzero(zero))}: of these weights the "
            "data say nothing, and they keep their prior."
        )
    if np.sum(constant) > 1:
        yield (
            f"features are constant in {columns(np.flatnonzero(constant))}: the data know one sum "
            "of these weights, and the prior divides it; keep one of them as the bias."
        )
    varying = np.flatnonzero(~zero & ~constant)
    kept = np.concatenate([np.flatnonzero(constant)[:1], varying])
    if not kept.size:
        return
    unit = features[:, kept] / largest[kept]
    level = np.zeros(kept.size)  # the part of the constant in each column
    if biased := bool(np.any(constant)):
        # Beside a constant, columns span the same without their means, which would hide a width.
        level[1:] = unit[:, 1:].mean(axis=0)
        unit[:, 1:] -= level[1:]
    width = np.linalg.norm(unit, axis=0)
    unit, level = unit / width, level / width
    cosine = unit.T @ unit
    pairs = np.argwhere(np.triu(1 - np.abs(cosine) < DEPENDENT, 1))
    own = np.setdiff1d(np.arange(kept.size), pairs[:, 1])
    values, vectors = np.linalg.eigh(cosine[np.ix_(own, own)])
    seen = values > DEPENDENT * values[-1]
    if len(pairs):
        said = [f"{kept[j]} (of {kept[i]})" for i, j in pairs]
        yield (
            f"features repeat a column, up to a factor{' and a constant' * biased}, in "
            f"column{'s' * (len(said) > 1)} {listed(said)}: the data know one sum of the weights "
            "of both, and the prior divides it; keep one."
        )
    if not np.all(seen) and own.size <= rows:
        directions = vectors[:, ~seen]
        directions[0] += level[own] @ directions  # what was taken out of the others
        yield dependence(kept[own], directions)
    if rows < dim:
        yield (
            f"features has {rows} rows for {dim} columns: in {dim - rows} directions or more the "
            "data say nothing, and the posterior is the prior there."
        )
    alone, leverage = np.zeros(0, int), np.zeros(rows)
    if rows > 2 * own.size:  # leverage, the diagonal of A (A^T A)^+ A^T
        white = unit[:, own] @ (vectors[:, seen] / np.sqrt(values[seen]))
        leverage = np.sum(white**2, axis=1)
        alone = np.flatnonzero(leverage > ALONE)
    if varying.size:
        yield from width_doubts(np.delete(features, alone, axis=0), varying)
    if alone.size:
        row = alone[np.argmax(leverage[alone])]
        yield (
            f"features have {'an outlier' if alone.size == 1 else 'outliers'} in "
            f"row{'s' * (alone.size > 1)} {listed(alone)}, which alone decide"
            f"{'s' * (alone.size == 1)} on a direction of the weights (leverage above {ALONE}): "
            f"{farthest(features, row, kept)}; check this number."
        )


def columns(found) -> str:
    return f"column{'s' * (len(found) > 1)} {listed(found)}"


def dependence(which, directions) -> str:
    """The columns that take part in directions that the data do not see, in a sentence."""
    lost = directions.shape[1]
    part = which[np.max(np.abs(directions), axis=1) > 1e-6]
    return (
        f"features have linearly dependent columns ({columns(part)}): in {lost} "
        f"direction{'s' * (lost > 1)} of their weights the data say nothing, and the posterior "
        "is the prior there; leave columns out."
    )


def width_doubts(features, which) -> Iterator[str]:
    """Doubts about the standard deviations of columns, and how far off zero they lie."""
    width, mean = features.std(axis=0), features.mean(axis=0)
    which = which[width[which] > 0]
    if not which.size:
        return
    narrow, wide = which[np.argmin(width[which])], which[np.argmax(width[which])]
    if width[wide] > WIDE * width[narrow]:
        yield (
            f"features are not standardized: column {wide} has the standard deviation "
            f"{width[wide]:.3g} and column {narrow} {width[narrow]:.3g}, so that one prior means "
            "very different things and the slowest direction takes long; divide each column by its "
            "own, and keep the bias."
        )
    offset = np.abs(mean[which]) / width[which]
    if np.max(offset) > FAR:
        worst = which[np.argmax(offset)]
        yield (
            f"features are not centered: column {worst} has the mean {mean[worst]:.4g} and the "
            f"standard deviation {width[worst]:.3g}, and can hardly be told from a bias; subtract "
            "the mean of each column."
        )


def farthest(features, row: int, which) -> str:
    """The number of a row that lies farthest from those of the other rows, in words."""
    rest = np.delete(features[:, which], row, axis=0)
    off, spread = np.abs(features[row, which] - rest.mean(axis=0)), rest.std(axis=0)
    distance = np.divide(off, spread, out=np.where(off > 0, np.inf, 0.0), where=spread > 0)
    column, most = which[np.argmax(distance)], np.max(distance)
    name = f"features[{row}, {column}] = {features[row, column]:.4g}"
    if np.isinf(most):
        return f"{name} is the only number that differs from the others in its column"
    return f"{name} is {most:.3g} standard deviations of the other rows from their mean"


def prior_predictive_width(
    features: Float[np.ndarray, "rows dim"], prior: AbstractPotential
) -> float | None:
    """The standard deviation of a_i . x under a Gaussian prior, its median over the rows."""
    if isinstance(prior, Gaussian) and prior.covariance.ndim == 2:
        spread = double(prior.covariance)
        return float(np.sqrt(np.median(np.sum((features @ spread) * features, axis=1))))
    if isinstance(prior, Gaussian):
        spread = np.broadcast_to(double(prior.covariance), features.shape[1:])
    elif isinstance(prior, DiagonalGaussian) and isinstance(prior.mean, jax.Array):
        spread = double(prior.variances()).reshape(features.shape[1], -1).max(axis=1)
    else:
        return None
    return float(np.sqrt(np.median(features**2 @ spread)))
