"""Energies that are quadratic: their coefficients, and a basis in which several are diagonal."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..potential import AbstractPotential

REACHES = (1.0, 3.0, 9.0)  # how far from the center of the prior, in its widths, U is looked at
TOLERANCE = {"float64": 1e-8, "float32": 1e-4}  # what rounding may make of zero
MIXTURE = (1.0, 0.7548776662466927, 0.5698402909980532)  # of matrices: no ratio is a fraction


class Quadratic(NamedTuple):
    """The function constant + slope . y + y^T curvature y / 2 of y = x - place.

    `curvature`: `(dim,)` where it is diagonal, else `(dim, dim)`.
    """

    constant: Float[Array, ""]
    slope: Float[Array, " dim"]
    curvature: Float[Array, "..."]

    @property
    def widths(self) -> Float[Array, " dim"]:
        """1 / sqrt(curvature) of every coordinate alone; 1 where it has none."""
        diagonal = self.curvature if self.curvature.ndim == 1 else jnp.diagonal(self.curvature)
        return jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1)), 1)


def flattened(potential: AbstractPotential, template: PyTree[Array]):
    """The energy as a function of a flat position."""
    _, restore = ravel_pytree(template)
    return lambda q: potential.energy(restore(q), None)


@eqx.filter_jit
def along(potential, template, place, directions):
    """(energy, slope, curvature times each of the directions) at a place."""
    energy = flattened(potential, template)
    value, slope = jax.value_and_grad(energy)(place)
    bend = lambda v: jax.jvp(jax.grad(energy), (place,), (v,))[1]
    return value, slope, jax.vmap(bend)(directions)


@eqx.filter_jit
def slopes_at(potential, template, places):
    """(energy, slope) at each of the places."""
    return jax.vmap(jax.value_and_grad(flattened(potential, template)))(places)


def quadratic_of(
    name: str, potential: AbstractPotential, template, place: Float[Array, " dim"], widths=None
) -> Quadratic:
    """The coefficients of a quadratic energy about a place.

    A curvature that acts on random vectors as a diagonal does is one: no matrix is formed then.

    **Arguments:** `name`, for errors; `widths` `(dim,)`, the lengths that matter, those of the
    energy itself when left out.

    **Raises:** ValueError for an energy that is not finite there or not quadratic.
    """
    random = np.random.default_rng(0)
    dim, dtype = place.size, place.dtype
    drawn = jnp.asarray(random.normal(size=(2, dim)), dtype)
    directions = jnp.concatenate([jnp.ones((1, dim), dtype), drawn])
    value, slope, products = along(potential, template, place, directions)
    known = [np.asarray(x) for x in (value, slope, products)]
    if not all(np.all(np.isfinite(x)) for x in known):
        raise ValueError(
            f"{name} is not finite at {np.array2string(np.asarray(place), threshold=6)}: look for "
            "NaN and infinity in its data"
        )
    tolerance = TOLERANCE[dtype.name]
    diagonal, rest = products[0], products[1:]
    size = jnp.max(jnp.abs(products), axis=0) + jnp.abs(diagonal * drawn)
    if bool(jnp.all(jnp.abs(rest - diagonal * drawn) <= tolerance * 1e-3 * size)):
        curvature = diagonal
    else:
        _, _, matrix = along(potential, template, place, jnp.eye(dim, dtype=dtype))
        curvature = 0.5 * (matrix + matrix.T)
    found = Quadratic(value, slope, curvature)
    widths = found.widths if widths is None else widths
    away = jnp.asarray(random.normal(size=(len(REACHES), dim)), dtype) * widths
    require_same(name, potential, template, place, found, away * jnp.asarray(REACHES)[:, None])
    return found


def require_same(name, potential, template, place, found: Quadratic, away) -> None:
    """**Raises:** ValueError where the energy departs from its quadratic at some distances."""
    widths = found.widths
    values, slopes = slopes_at(potential, template, place + away)
    bent = away * found.curvature if found.curvature.ndim == 1 else away @ found.curvature
    expected = found.slope + bent
    off = jnp.abs(slopes - expected)
    sizes = jnp.abs(found.slope) + jnp.max(jnp.abs(bent), axis=0) + jnp.max(jnp.abs(slopes), axis=0)
    worst = jnp.max(jnp.where(sizes > 0, off / jnp.where(sizes > 0, sizes, 1), off * widths))
    level = found.constant + jnp.sum(away * (found.slope + 0.5 * bent), axis=1)
    reach = 1 + jnp.abs(values) + jnp.abs(level) + jnp.abs(found.constant)
    worst = jnp.maximum(worst, jnp.max(jnp.abs(values - level) / reach))
    if not float(worst) <= TOLERANCE[place.dtype.name]:
        raise ValueError(
            f"{name} is not quadratic ({type(potential).__name__} departs by a share of "
            f"{float(worst):.3g} from a quadratic energy where the prior lies): the exact picture "
            "is of Gaussian priors and likelihoods alone; sample, with a key, for any other"
        )


def common_basis(*matrices: Float[Array, "..."]):
    """(V, diagonals): an orthogonal V, `(dim, dim)`, in which all of the matrices are diagonal.

    V is None where they are diagonal as they stand. (None, None) where no basis serves all.
    **Cost:** one eigendecomposition, of a mixture of the matrices.
    """
    if all(m.ndim == 1 for m in matrices):
        return None, list(matrices)
    full = [jnp.diag(m) if m.ndim == 1 else m for m in matrices]
    basis, rotated, worst = rotation(full)
    if not float(worst) <= TOLERANCE[full[0].dtype.name] * 1e-2:
        return None, None
    return basis, list(rotated)


@jax.jit
def rotation(matrices):
    """The eigenvectors of a mixture, the diagonals seen from there, and the largest share of the
    rest."""
    size = lambda m: jnp.where(jnp.any(m != 0), jnp.max(jnp.abs(m)), 1)
    unit = lambda m: m / size(m)
    mixture = sum(c * unit(m) for c, m in zip(MIXTURE, matrices, strict=False))
    _, basis = jnp.linalg.eigh(mixture)
    dot = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    rotated = [dot(basis.T, dot(m, basis)) for m in matrices]
    diagonals = [jnp.diagonal(m) for m in rotated]
    rest = [
        jnp.max(jnp.abs(m - jnp.diag(d))) / size(d) for m, d in zip(rotated, diagonals, strict=True)
    ]
    return basis, diagonals, jnp.max(jnp.stack(rest))
