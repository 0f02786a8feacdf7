"""Whether a density falls fast enough to be normalized, seen along rays."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from ...potential import AbstractPotential

SEED = 0  # of the rays: a doubt that changes from call to call helps nobody
RAYS = 16
MOST_AXES = 256
DECADES = np.arange(0, 17)
STEADY = 3  # decades in a row, the last that are finite, on which a density must fall too slowly
SHARE = 0.25  # of the rays on which it does


class Tails(NamedTuple):
    """Rays along which a density falls too slowly: their share in random directions, and the
    numbers of the coordinates along which it does."""

    rays: float
    axes: list[int]

    @property
    def improper(self) -> bool:
        return self.rays >= SHARE or bool(self.axes)


def tails(potential: AbstractPotential, template: PyTree[Array]) -> Tails:
    """Look at exp(-U) from the template outward, over sixteen decades of distance.

    A density on d coordinates can be normalized only if along almost all rays it falls faster than
    r^-d, and along almost all lines of one coordinate faster than 1/r. What falls so slowly that no
    decade shows it, or has a mass between the rays, is not noticed.
    """
    flat, unravel = ravel_pytree(template)
    dim = flat.size
    draw = np.random.default_rng(SEED)
    axes = np.sort(draw.permutation(dim)[:MOST_AXES])
    rays = draw.normal(size=(RAYS, dim))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    lines = np.eye(dim)[axes]
    directions = np.concatenate([rays, lines, -lines])
    start = np.concatenate([np.zeros((RAYS, dim)), *[draw.normal(size=(len(axes), dim))] * 2])
    energy = jax.jit(jax.vmap(lambda v: potential.energy(unravel(v), None)))
    at = lambda decade: energy(
        flat + jnp.asarray(start + 10.0 ** float(decade) * directions, flat.dtype)
    )
    energies = np.stack([np.asarray(at(decade), np.float64) for decade in DECADES])
    eps = float(jnp.finfo(flat.dtype).eps)
    slow = [
        falls_too_slowly(energies[:, i], dim if i < RAYS else 1, eps)
        for i in range(len(directions))
    ]
    both = np.reshape(slow[RAYS:], (2, -1)).any(axis=0)
    return Tails(float(np.mean(slow[:RAYS])), [int(axis) for axis in axes[both]])


def falls_too_slowly(energies: np.ndarray, power: int, eps: float) -> bool:
    """Whether U grows by no more than `power` ln r on the last decades on which it is finite."""
    if np.any(np.isposinf(energies)):
        return False  # the density is zero out there
    fine = np.isfinite(energies)
    last = len(energies) if fine.all() else int(np.argmin(fine))
    if last <= STEADY:
        return False
    far = energies[last - STEADY - 1 : last]
    growth = np.diff(far) / np.log(10.0)
    rounding = 8 * eps * np.max(np.abs(far))
    # Where rounding hides a growth of the size of `power`, only a clear fall counts.
    return bool(np.all(growth <= power + (rounding if rounding <= power else -rounding)))
