"""Bases fitted to a target before anything is annealed: by its curvature, or by their own bound."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._arguments import instance, real, whole
from .._component import positive
from .._keys import Purpose, check_key, part_key
from .._tree import dtype_of
from ..bayes.laplace import around_the_mode
from ..bayes.model import Model
from ..potential import Sum
from .base import AbstractBase, AbstractGaussianBase, DenseBase, base_of
from .energy import RampEnergy, check_target, terms_and_template


def laplace(target: Any, template: PyTree[Array] | None = None) -> DenseBase:
    """The Gaussian at the target's mode, of the curvature there (Laplace's approximation).

    **Arguments:** `target`, as of `tj.anneal.Annealer`; `template`, ONE position, from which the
    mode is searched. **Returns:** a `DenseBase` of positions `(dim,)`.
    **Raises:** ValueError where there is no maximum.
    **Cost:** a descent, `dim` products with the Hessian, and dim^3.
    """
    terms, template = terms_and_template(target, template)
    found = around_the_mode(
        Model(None, Sum(terms), template=template),
        "pass a template nearer to a maximum, or take tj.anneal.variational",
    )
    factor = found.factor if found.factor.ndim == 2 else jnp.diag(found.factor)
    return DenseBase(found.center, factor @ factor.T)


def variational(
    base: AbstractGaussianBase | None,
    target: Any,
    key: PRNGKeyArray,
    *,
    template: PyTree[Array] | None = None,
    batch: int = 64,
    steps: int = 2000,
    learning_rate: float = 0.02,
) -> AbstractBase:
    """The base of the highest ELBO without any annealing: Gaussian variational inference.

    A good start for training, at the cost of `steps` batches of gradients in one compiled loop.

    **Arguments:** `base`, where it starts: a `DiagonalBase`, a `DenseBase`, or None for a standard
    normal of independent coordinates; `target` and `template` as of `tj.anneal.Annealer`;
    `learning_rate`, of Adam at first, from where it falls to zero.

    **Returns:** the base, its mean of shape `(dim,)`. **Raises:** ValueError for what does not fit.

    **Source:** A. Kucukelbir et al., JMLR 18, 14 (2017).
    """
    check_key(key)
    if base is not None:
        kinds = "a tj.anneal.DiagonalBase or DenseBase, or None"
        instance("base", base, AbstractGaussianBase, kinds)
    fallback = None if base is None else jnp.zeros(base.dim)
    terms, template = terms_and_template(target, template, fallback)
    started = base_of(base, sum(leaf.size for leaf in jax.tree.leaves(template)))
    check_target(RampEnergy(started, terms, template), dtype_of(template))
    real("learning_rate", learning_rate, "a positive number", positive)
    batch, steps = whole("batch", batch), whole("steps", steps)
    return fitted(started, terms, template, key, batch, steps, jnp.asarray(learning_rate))


@eqx.filter_jit
def fitted(base, terms, template, key, batch: int, steps: int, rate) -> AbstractBase:
    """The compiled part of `variational`; keeps the average of the last half."""
    optimizer = optax.adam(optax.cosine_decay_schedule(1.0, steps))
    params, rest = eqx.partition(base, eqx.is_inexact_array)

    def cost(params, i):
        now = eqx.combine(params, rest)
        ramp = RampEnergy(now, terms, template)
        z = now.draw(part_key(key, Purpose.TRAINING, i), batch)
        return jnp.mean(jax.vmap(ramp.target)(z) - jax.vmap(now.energy)(z))

    def step(carry, i):
        params, state, average = carry
        change, state = optimizer.update(jax.grad(cost)(params, i), state)
        params = jax.tree.map(lambda p, u: p + rate.astype(p.dtype) * u, params, change)
        late = jnp.maximum(i - steps // 2, 0) + 1
        average = jax.tree.map(lambda a, p: a + (p - a) / late.astype(p.dtype), average, params)
        return (params, state, average), None

    begin = params, optimizer.init(params), params
    (_, _, average), _ = jax.lax.scan(step, begin, jnp.arange(steps))
    return eqx.combine(average, rest)
