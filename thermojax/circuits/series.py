"""Preferred values of elements: the E series."""

from __future__ import annotations

import numpy as np

from .._arguments import choice

E24 = (1.0, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2.0, 2.2, 2.4, 2.7, 3.0,
       3.3, 3.6, 3.9, 4.3, 4.7, 5.1, 5.6, 6.2, 6.8, 7.5, 8.2, 9.1)  # fmt: skip
SERIES = ("E6", "E12", "E24", "E48", "E96", "E192")


def mantissas(series: str) -> np.ndarray:
    """The values of a series between 1 and 10."""
    count = int(choice("series", series, SERIES)[1:])
    if count <= 24:
        return np.array(E24[:: 24 // count])
    values = np.round(10 ** (np.arange(count) / count), 2)
    values[np.isclose(values, 9.19)] = 9.2  # the one exception of E192
    return values


def preferred(values: np.ndarray, series: str) -> np.ndarray:
    """The nearest value of the series, by ratio, to each positive value."""
    steps = np.log10(np.append(mantissas(series), 10.0))
    exponent = np.floor(np.log10(values))
    nearest = np.argmin(np.abs((np.log10(values) - exponent)[..., None] - steps), axis=-1)
    return np.round(10 ** steps[nearest], 2) * 10.0**exponent
