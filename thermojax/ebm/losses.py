"""Losses whose gradients train a model: contrasts of data and samples, and scores."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._arguments import instance, whole
from .._component import finite, floating, positive, require
from .._keys import check_key
from .._tree import batch_of
from ..estimate import Estimate, weighted_mean
from ..potential import AbstractPotential
from ..sampling import Chain
from .model import (
    Model,
    as_data,
    as_positions,
    check_model,
    data_energies,
    expected_energies,
    log_z_offset,
    potential_of,
)

CHAIN = "a chain, as tj.start, tj.advance and tj.switch return it"


def contrast(
    model: Model, data: PyTree[Array], positions: PyTree[Array], weights: Array | None = None
) -> Float[Array, ""]:
    r"""<U>_data - <U>_samples, whose gradient is that of the negative log likelihood per datum.

        d/dtheta (-ln p(data)) = <dU/dtheta>_data - <dU/dtheta>_model,

    at kT = 1. Samples are held fixed in the derivative; their law is the model's only where they
    have come to equilibrium, or carry weights.

    **Arguments:** `data`, with a leading axis; `positions`, samples of the model's potential,
    likewise; `weights`, `(batch,)`, None for equal ones.
    **Raises:** ValueError for arrays that are none, or weights of another number.
    **Source:** G. E. Hinton, Neural Comput. 14, 1771 (2002).
    """
    check_model(model)
    data = as_data(model, data)
    positions = as_positions(potential_of(model), positions, "positions")
    count = batch_of(positions)
    negative = expected_energies(model, positions)
    if weights is None:
        weights = jnp.ones_like(negative)
    weights = floating(weights, "weights")
    if weights.shape != (count,):
        raise ValueError(
            f"weights has shape {weights.shape}: expected ({count},), one for each of positions"
        )
    share = jax.lax.stop_gradient(weights / jnp.sum(weights))
    # A sample of no weight may be anywhere, infinity included.
    negative = jnp.where(share > 0, negative, 0)
    return jnp.mean(data_energies(model, data)) - jnp.sum(share * negative)


def likelihood_loss(model: Model, data: PyTree[Array], chain: Chain) -> Float[Array, ""]:
    r"""The contrast of data and the walkers of a chain, each by its weight exp(log_weight).

    With walkers that began in equilibrium and have been under `tj.switch` in every change of the
    parameters, weights make up for what the walkers lag behind, and the mean gradient has no bias
    however fast the parameters move: nonequilibrium training.

    **Arguments:** `data`, with a leading axis; `chain`, under `model` now.
    **Raises:** ValueError for what is no chain.
    **Source:** D. Carbone, M. Hua, S. Coste, E. Vanden-Eijnden, NeurIPS 2023.
    """
    instance("chain", chain, Chain, CHAIN)
    log_weight = chain.log_weight
    weights = jnp.exp(log_weight - jax.lax.stop_gradient(jnp.max(log_weight)))
    return contrast(model, data, chain.position, weights)


def log_likelihood(
    model: Model,
    data: PyTree[Array],
    chain: Chain,
    log_z_start: Float[Array, ""] | float = 0.0,
    groups: int = 1,
) -> Estimate:
    r"""The mean of ln p(x) over data, with its error, from the weights of a chain.

        ln p(x) = -U(x) - ln Z,   ln Z = ln Z_start + ln <exp(log_weight)>,

    at kT = 1; the error is that of ln Z, and the data are taken as they are. For parameters that
    have learned from the walkers of this chain it is too high (by four to five errors where this
    was measured, see `tj.Chain.log_weight`): use a chain of walkers beside those that train.

    **Arguments:** `data`, with a leading axis; `log_z_start`, a scalar, ln Z of the potential in
    whose equilibrium the chain began, 0 for a normalized one; `groups`, those of `tj.resample`,
    where it was used.
    **Raises:** ValueError for what is no chain, or groups that do not divide it.
    """
    instance("chain", chain, Chain, CHAIN)
    check_model(model)
    if len(chain.ledger.work) % whole("groups", groups):
        raise ValueError(f"groups = {groups}: expected a divisor of {len(chain.ledger.work)} paths")
    log_z_start = finite("log_z_start", log_z_start)
    if log_z_start.shape != ():
        raise ValueError(f"log_z_start has shape {log_z_start.shape}: expected one number")
    data = as_data(model, data)
    log_z = log_z_of(chain, groups)
    mean = jnp.mean(data_energies(model, data))
    value = -mean - (log_z_start + log_z.value - log_z_offset(model))
    return Estimate(value, log_z.error, log_z.count)


def log_z_of(chain: Chain, groups: int = 1) -> Estimate:
    """ln <exp(log_weight)> over all paths; its error from the spread over independent groups.

    Of one group it is that of independent paths, which resampling makes too small.
    """
    weight = chain.log_weight
    rows = weight.reshape(groups, -1) if groups > 1 else weight[:, None]
    means = logsumexp(rows, axis=1) - jnp.log(rows.shape[1])
    most = jax.lax.stop_gradient(jnp.max(means))
    found = weighted_mean(jnp.exp(means - most), jnp.ones_like(means))
    return Estimate(jnp.log(found.value) + most, found.error / found.value, weight.size)


def score_matching(
    model: AbstractPotential, data: PyTree[Array], key: PRNGKeyArray, scale: float | Array
) -> Float[Array, ""]:
    r"""Denoising score matching: <|scale dU/dx(x + scale e) - e|^2> / 2 per coordinate, e normal.

    Its minimum is the model of the data with this much Gaussian noise added; it needs no samples of
    the model, and says nothing of how much weight far modes have.

    **Arguments:** `model`, a potential, at kT = 1; `data`, with a leading axis; `scale`, positive,
    of the noise, a number or one for each datum.
    **Raises:** ValueError for a model whose data are no positions, or a scale out of range.
    **Source:** P. Vincent, Neural Comput. 23, 1661 (2011).
    """
    require_positions(model)
    check_key(key)
    data = as_data(model, data)
    count = batch_of(data)
    scale = floating(scale, "scale")
    require("scale", scale, positive, "positive numbers")
    if scale.shape not in ((), (count,)):
        raise ValueError(f"scale has shape {scale.shape}: expected one number, or ({count},)")
    scales = jnp.broadcast_to(scale, (count,))

    def one(x, key, scale):
        flat, restore = ravel_pytree(x)
        noise = jax.random.normal(key, flat.shape, flat.dtype)
        moved = lambda flat: model.energy(restore(flat), jnp.zeros((), flat.dtype))
        slope = jax.grad(moved)(flat + scale.astype(flat.dtype) * noise)
        return 0.5 * jnp.mean((scale * slope - noise) ** 2)

    return jnp.mean(jax.vmap(one)(data, jax.random.split(key, count), scales))


def require_positions(model: Model) -> AbstractPotential:
    """**Raises:** ValueError for a model whose data are not the positions of a potential."""
    return instance("model", model, AbstractPotential, "a potential, whose positions are the data")
