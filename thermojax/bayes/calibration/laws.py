"""Tests of normal scores whose laws are known exactly, and how many of them a power needs."""

from __future__ import annotations

import numpy as np

from ..._arguments import real
from ..._component import known, shown

SMALLEST = 1e-12  # a score of a number that is rounded to 0 or 1 stays finite


def known_number(name: str, value, expected: str, test) -> float:
    """One number that is known. **Raises:** ValueError for any other, a traced one included."""
    number = known(real(name, value, expected, test))
    if number is None:
        raise ValueError(f"{name} = {shown(value)}: expected {expected}, known and not traced")
    return float(number)


def probability(name: str, value) -> float:
    """One number in (0, 1). **Raises:** ValueError for any other."""
    return known_number(name, value, "a probability in (0, 1)", lambda x: (x > 0) & (x < 1))


def inner(u: np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(u, float), SMALLEST, 1 - SMALLEST)


def shift_p_value(u: np.ndarray) -> float:
    """The two-sided probability of the mean normal score of uniform numbers, which is normal."""
    from scipy import special

    return float(2 * special.ndtr(-abs(np.sum(special.ndtri(inner(u)))) / np.sqrt(u.size)))


def square_sum(u: np.ndarray, dim: int) -> float:
    """The sum of the squares whose places in a chi-squared law of `dim` are uniform numbers u.

    It is a sample of the chi-squared law of u.size * dim.
    """
    from scipy import special

    return float(np.sum(2 * special.gammaincinv(dim / 2, inner(u))))


def width_p_value(square: float, scalars: int) -> float:
    """The two-sided probability of a sum of squares of so many normal scores."""
    from scipy import special

    tails = special.chdtr(scalars, square), special.chdtrc(scalars, square)
    return float(min(1, 2 * min(tails)))


def spread_p_value(u: np.ndarray) -> float:
    """The two-sided probability of the sum of the squared normal scores of uniform numbers."""
    from scipy import special

    return width_p_value(float(np.sum(special.ndtri(inner(u)) ** 2)), u.size)


def power_of_width(scalars: int, narrow: float, level: float) -> float:
    """The probability that the sum of squares convicts a posterior that is too narrow."""
    from scipy import special

    low, high = (chi_squared_quantile(p, scalars) for p in (level / 2, 1 - level / 2))
    ratio = (1 - narrow) ** 2
    return float(special.chdtr(scalars, low * ratio) + special.chdtrc(scalars, high * ratio))


def chi_squared_quantile(p: float, scalars: int) -> float:
    from scipy import special

    return float(2 * special.gammaincinv(scalars / 2, p))


def scalars_needed(narrow: float = 0.1, power: float = 0.95, level: float = 0.05) -> int:
    r"""The number of independent scalars that convict a posterior which is too narrow.

    The squared normal scores of M scalars sum to chi^2_M where the posterior is right, and to
    chi^2_M / (1 - narrow)^2 where its standard deviations are (1 - narrow) times the right ones.
    The least M is returned with which the two-sided test of that sum, at `level`, has `power`.
    An inference of `dim` weights has `dim` scalars for each simulated data set. That is the law of
    exact places; among few draws they are coarse, and at 0.95 the power of posteriors of 200 draws
    was measured as 0.92.

    **Arguments:** `narrow`, below 1; negative for a posterior that is too wide; `power` and
    `level`, in (0, 1), level < power. **Returns:** an int.

    **Raises:** ValueError for numbers out of range, and where more than 10^9 scalars are needed.
    """
    fine = lambda x: np.isfinite(x) & (x < 1) & (x != 0)
    narrow = known_number("narrow", narrow, "a number below 1, and not 0", fine)
    power, level = probability("power", power), probability("level", level)
    if power <= level:
        raise ValueError(f"power = {power} and level = {level}: expected a power above the level")
    high = 1
    while power_of_width(high, narrow, level) < power:
        high *= 2
        if high > 10**9:
            raise ValueError(
                f"narrow = {narrow}, power = {power} and level = {level} ask for more than 10^9 "
                "scalars: make narrow larger"
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_of_width(middle, narrow, level) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def narrowest_seen(scalars: int, power: float, level: float) -> float:
    """The part by which a posterior must be too narrow to be convicted with `power`."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        seen = power_of_width(scalars, middle, level) >= power
        low, high = (low, middle) if seen else (middle, high)
    return high
