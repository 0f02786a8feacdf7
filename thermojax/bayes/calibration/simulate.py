"""Simulated data with a known truth, and the place of the truth in the posterior of its data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..._arguments import instance
from ...potential import AbstractLikelihood, AbstractPotential
from ...protocol import Constant
from ...sampling import Equilibrium, equilibrium_positions
from ...system import Bath, Overdamped
from ..model import Model
from ..posterior import Posterior
from .pit import pit

Sampler = Callable[[Model, PRNGKeyArray], Posterior]

AT_ONCE = 32  # simulations that a traceable sampler makes side by side
DENSE = 512  # coordinates up to which the distance of the truth is measured by a matrix
# The two scalars beside the parameters whose places are taken.
DISTANCE, LOG_LIKELIHOOD = "distance", "log_likelihood"


class Simulated(NamedTuple):
    """Simulated data sets, and what became of them.

    - `places` of the truth by name, `(simulations, ...)`; `effective_samples` of each posterior,
      `(simulations,)`.
    - `warned`, `refused`: the words of the sampler, a data set that it refused being left out of
      the others. Whether it refuses depends on the data, not on the truth, which therefore stays a
      draw of the posterior.
    - `compiled`: whether the sampler could be traced.
    """

    places: dict[str, Array]
    effective_samples: Float[Array, " simulations"]
    warned: list[str]
    refused: list[str]
    compiled: bool


def simulated(
    model: Model,
    key: PRNGKeyArray,
    sampler: Sampler,
    simulations: int,
    prior: AbstractPotential,
    likelihood: AbstractLikelihood,
    may_trace: bool = True,
) -> Simulated:
    """Truths from the prior, data of each, a posterior of these data, and the truth's place there.

    A sampler that can be traced is compiled once and runs on many data sets side by side; any other
    is called for one after the other.
    """
    prior_key, data_key, sampler_key, place_key = jax.random.split(key, 4)
    system = Overdamped(prior, Constant(), Bath())
    start = Equilibrium(model.template)
    truth = equilibrium_positions(system, prior_key, simulations, start)
    data = drawn(likelihood, jax.random.split(data_key, simulations), truth)
    keys = (jax.random.split(k, simulations) for k in (sampler_key, place_key))
    runs = (truth, data, *keys)
    warned: list[str] = []

    def sampled(y, draw_key):
        taught = eqx.tree_at(lambda m: m.likelihood, model, likelihood.with_data(y))
        posterior = sampler(taught, draw_key)
        instance("sampler(model, key)", posterior, Posterior, "a tj.bayes.Posterior")
        warned.extend(posterior.warnings)
        return taught, posterior.position, posterior.log_weight

    def one(run):
        x, y, draw_key, rank_key = run
        return places(*sampled(y, draw_key), x, rank_key)

    the = lambda i: jax.tree.map(lambda a: a[i], runs)
    if may_trace and traceable(one, the(0)):
        program = jax.jit(lambda runs: jax.lax.map(one, runs, batch_size=AT_ONCE))
        found, effective = program(runs)
        return Simulated(found, effective, list(dict.fromkeys(warned)), [], True)
    warned.clear()
    rank, rows, refused = eqx.filter_jit(places), [], []
    for i in range(simulations):
        x, y, draw_key, rank_key = the(i)
        try:
            with warnings.catch_warnings(record=True):  # they are in the posterior as well
                warnings.simplefilter("always")
                drawn_from = sampled(y, draw_key)
        except ValueError as error:
            refused.append(str(error))
            if len(refused) == simulations:
                raise
            continue
        rows.append(rank(*drawn_from, x, rank_key))
    found, effective = jax.tree.map(lambda *a: jnp.stack(a), *rows)
    return Simulated(found, effective, warned, refused, False)


@eqx.filter_jit
def drawn(likelihood: AbstractLikelihood, keys: PRNGKeyArray, truth: PyTree[Array]):
    """Data of every truth."""
    return jax.vmap(likelihood.draw_data)(keys, truth)


def traceable(function, argument) -> bool:
    """Whether a function runs on values that it cannot see.

    Where it does not, it is called on values that it can see, and says itself what is wrong.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            jax.eval_shape(function, argument)
    except (TypeError, ValueError, IndexError, jax.errors.UnexpectedTracerError):
        return False
    return True


def places(
    model: Model,
    draws: PyTree[Array],
    log_weight: Float[Array, " n"],
    truth: PyTree[Array],
    key: PRNGKeyArray,
) -> tuple[dict[str, Array], Float[Array, ""]]:
    """The places of the truth among the draws, of every parameter and of two scalars of all.

    - the log likelihood, in which a sampler that ignores the data is seen;
    - the distance from the middle, in the units of the posterior: one number that a posterior too
      narrow or too wide shifts, as much as it would shift all coordinates together.
    """
    first = jax.tree.map(lambda x: x[None], truth)
    shown, values = model.shown(first), model.shown(draws)
    log_likelihood = jax.vmap(lambda x: -model.likelihood.energy(x, None))
    shown[LOG_LIKELIHOOD], values[LOG_LIKELIHOOD] = log_likelihood(first), log_likelihood(draws)
    keys = jax.random.split(key, len(shown) + 1)
    found = {
        name: pit(shown[name][0], values[name], k, log_weight)
        for name, k in zip(shown, keys[1:], strict=True)
    }
    x, y = (jax.vmap(lambda z: ravel_pytree(z)[0])(z) for z in (draws, first))
    weights = jax.nn.softmax(log_weight)
    near, far = distances(x, weights, y[0])
    found[DISTANCE] = pit(far, near, keys[0], log_weight)
    return found, 1 / jnp.sum(weights**2)


def distances(x: Float[Array, "n dim"], w: Float[Array, " n"], truth: Float[Array, " dim"]):
    """The squared distances of weighted draws, `(n,)`, and of the truth, from the middle of all.

    Middle and units are the mean and the covariance of the draws and the truth together, which
    counts as one more draw of the weight 1 / m, m their effective size: all are alike before this
    measure, and the place of the truth is uniform where it is one of them. Few draws do not know a
    covariance: it is mixed with its diagonal, dim to m.
    """
    dim, share = x.shape[1], jnp.sum(w**2)
    x = jnp.concatenate([jnp.where(w[:, None] > 0, x, 0), truth[None]])
    w = jnp.append(w, share) / (1 + share)
    centered = x - w @ x
    unit = jnp.sqrt(w @ centered**2)
    y = centered / jnp.where(unit > 0, unit, 1)
    if dim > DENSE:
        square = jnp.sum(y**2, axis=1)
    else:
        kept = 1 / (1 + dim * share)
        matrix = kept * (w[:, None] * y).T @ y + (1 - kept) * jnp.eye(dim, dtype=x.dtype)
        root = jnp.linalg.cholesky(matrix)
        square = jnp.sum(jax.scipy.linalg.solve_triangular(root, y.T, lower=True) ** 2, axis=0)
    return square[:-1], square[-1]
