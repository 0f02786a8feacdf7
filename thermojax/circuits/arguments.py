"""Checks of what a circuit is made of."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._arguments import real, require_untraced
from .._component import Numbers, finite, floating, known, positive, positive_number, require


def size_of(**values) -> int:
    """The number of nodes that arrays agree on; 1 for numbers alone. None is no array.

    **Raises:** ValueError for shapes that disagree.
    """
    shapes = {n: floating(x, n).shape for n, x in values.items() if x is not None}
    sizes = {size for shape in shapes.values() for size in shape}
    if len(sizes) > 1 or 0 in sizes or any(len(shape) > 2 for shape in shapes.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the shapes are {listed}: expected numbers, (dim,) or (dim, dim)")
    return sizes.pop() if sizes else 1


def as_matrix(name: str, value: Numbers, dim: int, definite: bool = True):
    """A number, a diagonal or a symmetric matrix as `(dim, dim)`, positive definite if asked."""
    array = finite(name, value)
    if array.ndim < 2 and definite:
        require(name, array, positive, "positive numbers")
    if array.ndim > 2 or set(array.shape) - {dim}:
        raise ValueError(f"{name} has shape {array.shape}: expected a number, ({dim},) or "
                         f"({dim}, {dim})")  # fmt: skip
    if array.ndim < 2:
        return jnp.diag(jnp.broadcast_to(array, (dim,)))
    numbers = known(array)
    if numbers is None:
        return array
    asymmetry = np.max(np.abs(numbers - numbers.T))
    if asymmetry > 1e-5 * np.max(np.abs(numbers)):
        raise ValueError(f"{name} is not symmetric (by {asymmetry:.3g}): pass (A + A.T) / 2")
    diagonal = np.diagonal(numbers)
    if definite and not (np.all(diagonal > 0) and lowest_correlation(numbers) > 0):
        raise ValueError(f"{name} is not positive definite: there is a direction without any")
    return array


def lowest_correlation(matrix: np.ndarray) -> float:
    """The lowest eigenvalue of a matrix with a positive diagonal that is scaled to 1."""
    scale = np.sqrt(np.diagonal(matrix).astype(np.float64))
    return float(np.linalg.eigvalsh(matrix / scale / scale[:, None])[0])


def each_node(name: str, value: Numbers, dim: int, signed: bool = False):
    """A number for all or one for each node, `(dim,)`, not negative unless `signed`."""
    array = finite(name, value)
    if array.ndim > 1 or set(array.shape) - {dim}:
        raise ValueError(f"{name} has shape {array.shape}: expected a number or ({dim},)")
    if not signed:
        require(name, array, lambda x: x >= 0, "densities, positive or zero")
    return jnp.broadcast_to(array, (dim,))


def known_number(caller: str, name: str, value: Any, expected: str, test=positive) -> float:
    """One real number, as a float. **Raises:** ValueError for what is traced or fails the test."""
    require_untraced(caller, **{name: value})
    return float(real(name, value, expected, test))


def in_kelvin(temperature: Numbers):
    """A temperature, which may be traced."""
    return positive_number("temperature", temperature, "temperature in kelvin")


def one_of(first: str, one, second: str, other) -> None:
    """**Raises:** ValueError unless one of two is given."""
    if (one is None) == (other is None):
        raise ValueError(f"{first} and {second}: expected one of the two")
