"""Between a matrix of a network and its elements: two nodes and a positive value each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

GROUND = -1
ROUNDING = 1e-9  # of the diagonal: what a row may lack, or have too much, by rounding


class Branch(NamedTuple):
    """An element between two nodes, the second of them perhaps GROUND: its capacitance,
    conductance, or inverse inductance."""

    first: int
    second: int
    value: float


def branches(matrix: np.ndarray, name: str, element: str) -> list[Branch]:
    """The positive elements whose matrix this is: off the diagonal -c_ij, row sums to ground.

    **Raises:** ValueError for a matrix that would need negative ones.
    """
    matrix = np.asarray(matrix, np.float64)
    scale = np.sqrt(np.diagonal(matrix))
    small = ROUNDING * scale[:, None] * scale
    if np.any(np.triu(matrix > small, 1)):
        i, j = np.argwhere(np.triu(matrix > small, 1))[0]
        raise ValueError(
            f"{name}[{i}, {j}] = {matrix[i, j]:.3g} is positive: between two nodes it is minus a "
            f"{element}, which is no negative number; tj.circuits.program couples pairs of nodes "
            "crosswise instead"
        )
    rest = matrix.sum(1)
    if np.any(rest < -np.sum(small, 1)):
        i = int(np.argmin(rest / np.diagonal(matrix)))
        raise ValueError(
            f"row {i} of {name} sums to {rest[i]:.3g}: expected 0 or more, the {element} from node "
            f"{i} to ground; tj.circuits.program scales the coordinates of a matrix so that it is"
        )
    dim = len(matrix)
    found = [Branch(i, GROUND, float(rest[i])) for i in range(dim) if rest[i] > small[i, i]]
    for i in range(dim):
        for j in range(i + 1, dim):
            if matrix[i, j] < -small[i, j]:
                found.append(Branch(i, j, float(-matrix[i, j])))
    return found


def matrix_of(elements: Sequence[Branch], dim: int) -> np.ndarray:
    """The matrix of a network: sums of elements on the diagonal, minus them between two nodes."""
    matrix = np.zeros((dim, dim))
    for i, j, value in elements:
        matrix[i, i] += value
        if j != GROUND:
            matrix[j, j] += value
            matrix[i, j] -= value
            matrix[j, i] -= value
    return matrix
