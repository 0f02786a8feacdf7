"""A likelihood that holds the prior: what is handed in as a likelihood and is the posterior."""

from __future__ import annotations

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from ...potential import AbstractPotential
from .terms import potentials_in, terms_in

SEED = 0  # of the places that are looked at
PLACES = 3
OUT = 1e6  # how many times farther out the curvature of many a likelihood has vanished
MOST_COORDINATES = 256  # of which a whole Hessian is taken
SAME = {np.dtype("float64"): 1e-7, np.dtype("float32"): 1e-3}  # of curvatures and of slopes


def refuse_prior_among_terms(prior: AbstractPotential, likelihood: AbstractPotential) -> None:
    """Refuse a likelihood that holds the prior, or a term of it, anywhere in its fields."""
    for term in terms_in(prior):
        for held in potentials_in(likelihood):
            if type(held) is type(term) and bool(eqx.tree_equal(held, term)):
                raise ValueError(
                    f"likelihood holds the {type(term).__name__} that is the prior: it would count "
                    "twice; pass the likelihood alone, -ln p(y|x), or of an observation that has "
                    "this density the tj.GaussianLikelihood"
                )


def prior_in_curvature(
    prior: AbstractPotential, likelihood: AbstractPotential, template: PyTree[Array]
) -> Iterator[str]:
    """A doubt where the likelihood has the curvature and the slope of the prior in a direction of
    which the data say nothing, or all of its curvature far out, where that of the data is gone."""
    flat, unravel = ravel_pytree(template)
    dim = flat.size
    if dim > MOST_COORDINATES:
        return
    centre = np.asarray(flat, float)
    off = np.random.default_rng(SEED).normal(size=(PLACES, dim))

    @jax.jit
    @jax.vmap
    def derivatives(v):
        both = (lambda v, u=u: u.energy(unravel(v), None) for u in (prior, likelihood))
        return [(jax.grad(u)(v), jax.hessian(u)(v)) for u in both]

    def seen(reach):
        """For each place, the directions in which the curvatures agree, and in which the slopes do
        as well; None for a place where there is nothing to compare."""
        places = jnp.asarray(centre + reach * off, flat.dtype)
        (slope, bend), (other_slope, other_bend) = jax.tree.map(
            lambda a: np.asarray(a, np.float64), derivatives(places)
        )
        tolerance = SAME.get(np.dtype(flat.dtype), 1e-2)
        return [
            agreement(slope[i], bend[i], other_slope[i], other_bend[i], tolerance)
            for i in range(PLACES)
        ]

    near = [found for found in seen(1.0) if found is not None]
    if len(near) < PLACES:
        return
    silent = min(both for _, both in near)
    if silent == 0 and max(curved for curved, _ in near) < dim:
        far = seen(OUT)
        if all(found is not None and found[0] == dim for found in far):
            yield said("far out, where that of data has vanished,", dim, dim)
    elif silent:
        yield said("", silent, dim)


def said(where: str, found: int, dim: int) -> str:
    place = f" {where}" if where else ""
    return (
        f"likelihood has{place} the very curvature of the prior in {found} of {dim} directions: it "
        "looks like a posterior, in which the prior is counted already and would count twice; pass "
        "-ln p(y|x) alone, or if this is the posterior, None as the prior."
    )


def agreement(slope, bend, other_slope, other_bend, tolerance) -> tuple[int, int] | None:
    """In how many directions two curvatures are one, and in how many of those both slopes are.

    The directions are those of both curvatures together, v with B_2 v = ratio B_1 v.
    """
    if not all(np.all(np.isfinite(x)) for x in (slope, bend, other_slope, other_bend)):
        return None
    values, vectors = np.linalg.eigh(bend)
    if values[0] <= 1e-12 * values[-1]:
        return None  # the prior is not convex here
    white = vectors / np.sqrt(values)
    ratios, rotation = np.linalg.eigh(white.T @ other_bend @ white)
    curved = np.abs(ratios - 1) < tolerance
    along = (white @ rotation).T
    difference = np.abs(along @ (other_slope - slope))
    size = np.linalg.norm(along @ slope) + np.linalg.norm(along @ other_slope)
    return int(np.sum(curved)), int(np.sum(curved & (difference < tolerance * max(size, 1e-300))))
