"""Ising models of thrml."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._component import shown
from .spins import Ising

PARTS = ("nodes", "edges", "biases", "weights", "beta")


def from_thrml(model: Any) -> Ising:
    r"""The law of a `thrml.models.IsingEBM` as a `tj.ebm.Ising`, spins in the order of its nodes.

    Its energy is -beta (sum_i b_i s_i + sum_ij J_ij s_i s_j), each edge once; an edge that is there
    twice counts twice. A spin that is True there is 1 here, False is -1: `2 x - 1`.

    **Raises:** ValueError for anything else, or an edge to a node without a bias.
    """
    missing = [name for name in PARTS if not hasattr(model, name)]
    if missing:
        raise ValueError(f"model = {shown(model)}: expected a thrml.models.IsingEBM")
    place = {node: i for i, node in enumerate(model.nodes)}
    n = len(place)
    coupling = np.zeros((n, n))
    for (first, second), weight in zip(model.edges, np.asarray(model.weights), strict=True):
        if first not in place or second not in place or first is second:
            raise ValueError(
                "an edge joins a node to itself or to one that is not among model.nodes: give each "
                "node a bias, 0 if need be"
            )
        i, j = place[first], place[second]
        coupling[i, j] += weight
        coupling[j, i] += weight
    return Ising(jnp.asarray(coupling), jnp.asarray(model.biases), jnp.asarray(model.beta))
