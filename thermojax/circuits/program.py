"""From a matrix to the elements of a circuit that samples its Gaussian law and inverts it."""

from __future__ import annotations

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import choice, real, require_untraced
from .._component import Numbers, Positive, finite
from .._keys import check_key
from .arguments import as_matrix, each_node, known_number
from .branches import Branch, branches, matrix_of
from .networks import RC, RLC
from .series import SERIES, preferred
from .units import BOLTZMANN


class Programmed(eqx.Module):
    r"""A circuit whose voltages carry a matrix A, and how to read them.

    With u = `readout` v and `gains` g the numbers x_k = `scale` g_k u_k have the covariance A^-1,
    and `decode` makes them of voltages.

    - `circuit`: a `tj.circuits.RC` or `tj.circuits.RLC` of positive elements.
    - `readout`: which voltages are read, or subtracted from each other, `(dim, nodes)`.
    - `gains`: the scale factor of every coordinate, `(dim,)`; `scale`: of all, 1 / V.
    - `matrix`: what the elements are exactly right for, `(dim, dim)`: A but for rounding to a
      series and tolerances. `error`: |matrix - A| / |A|.
    - `excess`: what Johnson noise adds to the covariance of x, `(dim,)`: zero for a matrix in
      capacitors. `decode_covariance` takes it off.
    - `elements`: the elements that hold the matrix, F or S: (node, node or -1 for ground, value).
    """

    circuit: RC | RLC
    readout: Float[Array, "dim nodes"]
    gains: Float[Array, " dim"]
    scale: float = eqx.field(static=True)
    matrix: Float[Array, "dim dim"]
    error: float = eqx.field(static=True)
    excess: Float[Array, " dim"]
    elements: tuple[Branch, ...] = eqx.field(static=True)

    def decode(self, voltages: Numbers) -> Float[Array, "... dim"]:
        """The numbers x that voltages stand for.

        **Arguments:** `voltages`, `(..., nodes)`, V, as `circuit.read` returns them.

        **Returns:** `(..., dim)`.
        """
        v = finite("voltages", voltages)
        if v.ndim == 0 or v.shape[-1] != self.readout.shape[1]:
            raise ValueError(
                f"voltages has shape {v.shape}: expected (..., {self.readout.shape[1]})"
            )
        return self.scale * self.gains * (v @ self.readout.T)

    def decode_covariance(self, covariance: Numbers) -> Float[Array, "dim dim"]:
        """The inverse of A that a covariance of voltages says.

        **Arguments:** `covariance`, `(nodes, nodes)`, V^2.

        **Returns:** `(dim, dim)`.
        """
        c = as_matrix("covariance", covariance, self.readout.shape[1], definite=False)
        gains = self.scale * self.gains
        return gains[:, None] * (self.readout @ c @ self.readout.T) * gains - jnp.diag(self.excess)


def program(
    matrix: Numbers,
    *,
    into: Literal["capacitance", "conductance"] = "capacitance",
    value_range: tuple[float, float] | None = None,
    series: str | None = None,
    tolerance: float = 0.0,
    key: PRNGKeyArray | None = None,
    capacitance: Positive = 1e-9,
    resistance: Positive = 1e3,
    inductance: Positive | None = None,
    noise: float = 0.0,
    b: Numbers | None = None,
    temperature: Positive = 300.0,
) -> Programmed:
    r"""Find the elements of a circuit whose voltages sample N(0, A^-1), and whose covariance is it.

    A in capacitors, C = s D A D: Johnson noise does it, k_B T C^-1, and noise currents with the
    density S at equal resistors R are as k_B T + S R / 2. A in resistors, G = s D A D beside equal
    capacitors C: noise currents do it, (S / 2C) G^-1, and Johnson noise only adds k_B T / C.

    Elements are positive, so that D, a scale factor for each coordinate, makes the matrix
    diagonally dominant. Where entries off the diagonal are positive each coordinate is a pair of
    nodes, read as their difference, and such a coupling is crosswise.

    **Arguments:**

    - `matrix`: A, `(dim, dim)`, symmetric and positive definite.
    - `into`: "capacitance" or "conductance", what carries A.
    - `value_range`: least and largest value of these elements, F or S; s makes the largest element
      the largest value. 1 pF to 10 nF, or 1 uS to 10 mS, where left out.
    - `series`: "E6" to "E192": the elements are preferred values (resistances, for conductances).
    - `tolerance`: every element is off by a factor between 1 - tolerance and 1 + tolerance, drawn
      with `key`.
    - `capacitance` C, F, of every node, for A in resistors; `resistance` R, ohm, from every node
      to ground, for A in capacitors. `inductance`, H, from every node to ground: an RLC circuit.
    - `noise`: S, two-sided, A^2 / Hz, of a noise current into every node; `temperature`, K.
    - `b`: `(dim,)`, for A in resistors: sources of current, by which the mean of x is A^-1 b.

    **Returns:** a `Programmed`.

    **Raises:** ValueError for a matrix that no scale factors make diagonally dominant, elements out
    of range, A in resistors without noise, and b with A in capacitors.

    **Source:** M. Aifer et al., Thermodynamic linear algebra, npj Unconventional Computing 1, 13
    (2024); eight cells with a matrix in capacitors: D. Melanson et al., arXiv:2312.04836 (2023).
    """
    require_untraced("tj.circuits.program", matrix=matrix, value_range=value_range, series=series,
                     tolerance=tolerance, key=key, capacitance=capacitance, resistance=resistance,
                     inductance=inductance, noise=noise, b=b, temperature=temperature)  # fmt: skip
    if key is not None:
        check_key(key)
    choice("into", into, ("capacitance", "conductance"))
    a = finite("matrix", matrix)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.size == 0:
        raise ValueError(f"matrix has shape {a.shape}: expected (dim, dim)")
    a = np.asarray(as_matrix("matrix", a, len(a)), np.float64)
    a = (a + a.T) / 2
    low, high = checked_range(value_range, (1e-12, 1e-8) if into == "capacitance" else (1e-6, 1e-2))
    ohm, farad, kelvin = (
        known_number("tj.circuits.program", name, value, f"a positive {name}")
        for name, value in (("resistance", resistance), ("capacitance", capacitance),
                            ("temperature", temperature))
    )  # fmt: skip
    density = checked_density(noise, into)

    if b is not None:
        b = np.asarray(each_node("b", b, len(a), signed=True), np.float64)
        if into == "capacitance" or inductance is not None:
            raise ValueError(
                "b: expected None unless A is in resistors and inductance is None: inductors pass "
                "all steady currents, and capacitors none, so that means would not depend on A"
            )
    scaling = dominant_scaling(a)
    scaled = scaling[:, None] * a * scaling
    crossed = bool(np.any(np.triu(scaled, 1) > 0))
    doubled = in_pairs(scaled) if crossed else scaled
    found = branches(doubled, "matrix", into)
    values = np.array([x.value for x in found])
    size = high / np.max(values)
    values = checked_values(values * size, low, high, into)
    realized = as_built(values, into, series, tolerance, key)
    elements = tuple(Branch(i, j, float(x)) for (i, j, _), x in zip(found, realized, strict=True))
    network = matrix_of(elements, len(doubled))

    readout = np.eye(len(a))
    if crossed:
        readout = np.hstack([readout, -readout])
    antisymmetric = readout @ network @ readout.T / (2 if crossed else 1)  # in the place of s D A D
    held = antisymmetric / size / scaling[:, None] / scaling
    how: dict[str, Any] = {"temperature": kelvin, "noise": density}
    if inductance is not None:
        expected = "a positive inductance"
        how["inductance"] = known_number("tj.circuits.program", "inductance", inductance, expected)
    kind = RC if inductance is None else RLC
    pair = 2 if crossed else 1
    excess = np.zeros(len(a))
    if into == "capacitance":
        energy = BOLTZMANN * kelvin + density * ohm / 2
        circuit = kind(network, ohm, **how)
    else:
        energy = density / (2 * farad)
        excess = BOLTZMANN * kelvin / farad * size / energy * scaling**2
        if b is not None:  # x = scale D u, and G u = pair readout i
            scale = math.sqrt(size / energy / pair)
            source = readout.T @ (size * scaling * b) / (scale * pair)
            if not np.all(np.isfinite(source)):
                raise ValueError(f"noise = {density:g} is out of range: its sources are not finite")
            how["source"] = source
        circuit = kind(farad, conductance=network, **how)
    return Programmed(
        circuit,
        jnp.asarray(readout),
        jnp.asarray(scaling),
        math.sqrt(size / energy / pair),
        jnp.asarray(held),
        float(np.linalg.norm(held - a) / np.linalg.norm(a)),
        jnp.asarray(excess),
        elements,
    )


def dominant_scaling(*matrices: np.ndarray) -> np.ndarray:
    """Scale factors D, the largest 1, for which D A D is diagonally dominant for every A given.

    **Raises:** ValueError where these, the row sums of the inverse of the comparison matrix (off
    the diagonal -|a_ij|, of correlations, the largest of all A), are not positive. For one matrix
    there are none, then.
    """
    comparison, scale = None, np.sqrt(np.diagonal(matrices[0]))
    for a in matrices:
        own = np.sqrt(np.diagonal(a)) / scale
        # Rows a_ii d_i - sum |a_ij| d_j of each, with the diagonal of all made 1.
        entries = np.abs(a) / scale / scale[:, None] / own[:, None] ** 2
        comparison = entries if comparison is None else np.maximum(comparison, entries)
    assert comparison is not None
    comparison = 2 * np.eye(len(comparison)) - comparison
    scaling = np.linalg.solve(comparison, np.ones(len(comparison)))
    if (
        np.any(scaling <= 0)
        or np.max(np.abs(np.linalg.eigvals(np.eye(len(scaling)) - comparison))) >= 1
    ):
        raise ValueError(
            "matrix cannot be scaled to be diagonally dominant, as positive elements have it (its "
            "comparison matrix, with -|a_ij| off the diagonal, is not positive definite): add to "
            "its diagonal, or take a device with transformers, which this package does not build"
        )
    scaling = scaling / scale
    return scaling / np.max(scaling)


def in_pairs(scaled: np.ndarray) -> np.ndarray:
    """Of pairs of nodes: P - N is the matrix, P with its negative entries, N with its positive."""
    diagonal = np.diag(np.diagonal(scaled))
    off = scaled - diagonal
    straight, across = diagonal + np.minimum(off, 0), -np.maximum(off, 0)
    return np.block([[straight, across], [across, straight]])


def checked_values(values, low: float, high: float, into: str):
    """**Raises:** ValueError for an element below the range, whose largest is at its upper end."""
    if np.min(values) < low:
        raise ValueError(
            f"elements from {np.min(values):.3g} to {high:.3g} would be needed, outside of the "
            f"range of {low:.3g} to {high:.3g} for {into}: widen value_range, or drop what is "
            "small in the matrix"
        )
    return values


def as_built(values, into: str, series: str | None, tolerance: float, key):
    """Preferred values, off by what the tolerance allows."""
    if series is not None:
        choice("series", series, SERIES)
        one = values if into == "capacitance" else 1 / values
        one = preferred(one, series)
        values = one if into == "capacitance" else 1 / one
    real("tolerance", tolerance, "a number from 0 to below 1", lambda x: (x >= 0) & (x < 1))
    if float(tolerance) == 0:
        return values
    if key is None:
        raise ValueError(
            "key is None: expected a key, with which deviations within tolerance are drawn"
        )
    off = np.asarray(jax.random.uniform(key, values.shape, minval=-1.0, maxval=1.0), np.float64)
    factor = 1 + float(tolerance) * off
    return values * factor if into == "capacitance" else values / factor


def checked_range(given, default: tuple[float, float]) -> tuple[float, float]:
    if given is None:
        return default
    numbers = np.asarray(finite("value_range", given), np.float64)
    if numbers.shape != (2,) or not 0 < float(numbers[0]) < float(numbers[1]):
        raise ValueError("value_range: expected two positive numbers, the smaller one first")
    return float(numbers[0]), float(numbers[1])


def checked_density(noise, into: str) -> float:
    real("noise", noise, "a density, positive or zero", lambda x: np.isfinite(x) & (x >= 0))
    if into == "conductance" and float(noise) == 0:
        raise ValueError(
            "noise = 0: expected a positive density for a matrix in resistors, whose Johnson noise "
            "alone gives k_B T / C whatever they are"
        )
    return float(noise)
