"""Resampling: walkers of little weight give way to copies of those of much."""

from __future__ import annotations

import dataclasses
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import PRNGKeyArray

from .._arguments import instance, whole
from .._component import known
from .._keys import Purpose, check_key, purpose_key
from ..ledger import Ledger
from .burn_in import systematic
from .state import Chain


def resample(chain: Chain, key: PRNGKeyArray, *, groups: int = 1) -> Chain:
    r"""The chain with walkers drawn by their weights exp(log_weight), which become equal.

    By systematic resampling: path i is there floor or ceil of n w_i / sum w times. Copies stand at
    one place, and part by their own noise. The ledger begins anew at the energies now, and the mean
    of the weights stays in `chain.log_weight`, so that

        logsumexp(chain.log_weight) - ln(batch) -> ln(Z(control now) / Z(control at the start))

    goes on unbiased in Z through any number of switches, pieces and resamplings. Worth it where
    `chain.effective_samples` has become small, half of the batch for example; one that is resampled
    in every step loses its diversity. Afterwards the spread of the weights no longer tells the
    error of the evidence: repeat the whole with other keys. As for `chain.log_weight`, evidence of
    parameters that were trained on these same walkers is biased; take fresh walkers through the
    stored parameters.

    With `groups` walkers are drawn anew only within each of so many groups of equal size, one
    behind the other in the batch, that carry the mean of their own weights. They stay independent
    of each other, and the spread of their means tells the error of the evidence.

    **Arguments:** `chain`; `key`, a typed key of its own; `groups`, a divisor of the batch, the
    same in every call. **Returns:** the chain; paths that had diverged carried no weight and are
    gone, and outside of jit it warns of them. **Raises:** ValueError for what is no chain or no
    key, or groups that do not divide the batch. **Cost:** one gather of the batch.

    **Source:** annealed importance sampling with resampling: P. Del Moral, A. Doucet, A. Jasra,
    JRSS B 68, 411 (2006); systematic: G. Kitagawa, J. Comput. Graph. Stat. 5, 1 (1996).
    """
    instance("chain", chain, Chain, "a chain, as tj.start, tj.advance and tj.switch return it")
    check_key(key)
    lost, paths = known(chain.diverged), len(chain.ledger.work)
    if paths % whole("groups", groups):
        raise ValueError(f"groups = {groups}: expected a divisor of the {paths} paths")
    if lost is not None and lost.ndim == 0 and lost == paths:
        raise ValueError(
            f"all {paths} paths of the chain have diverged: there is nothing to resample; start it "
            "anew with a smaller dt"
        )
    if lost is not None and lost.ndim == 0 and lost:
        warnings.warn(
            f"{lost} of {paths} paths had diverged and count as weight zero: where that is the "
            "integrator's doing, take a smaller dt",
            stacklevel=2,
        )
    return resampled(chain, key, groups)


@eqx.filter_jit
def resampled(chain: Chain, key: PRNGKeyArray, groups: int) -> Chain:
    """The compiled part of `resample`."""
    key, log_weight = purpose_key(key, Purpose.RESAMPLING), chain.log_weight
    rows = log_weight.reshape(groups, -1)
    size = rows.shape[1]
    # Of one group it is the stream that it has always been.
    keys = key[None] if groups == 1 else jax.random.split(key, groups)
    first = size * jnp.arange(groups)[:, None]
    place = (first + jax.vmap(systematic)(keys, rows)).ravel()
    mean = logsumexp(rows, axis=1) - jnp.log(jnp.asarray(size, log_weight.dtype))
    position, momentum, book = jax.tree.map(
        lambda x: x[place], (chain.position, chain.momentum, chain.ledger)
    )
    ledger = dataclasses.replace(Ledger.opened(book.energy, book.kinetic), alive=book.alive)
    return dataclasses.replace(
        chain,
        position=position,
        momentum=momentum,
        ledger=ledger,
        temperature_start=chain.temperature,
        log_mean_weight=jnp.repeat(mean, size),
    )
