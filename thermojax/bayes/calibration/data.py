"""Doubts about the posterior of the data that a model holds, where no truth is known."""

from __future__ import annotations

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from ..._arguments import instance
from ..._tree import batch_of
from ...distances import stein_p_value
from ...estimate import Estimate
from ..descent import FlatEnergy
from ..evidence import Goal
from ..infer import Inference
from ..model import Model
from ..modes import modes
from ..posterior import Posterior
from ..schedule import SCHEDULES
from .simulate import Sampler

MOST_SAMPLES = 1000  # in the kernel Stein discrepancy
UNLIKELY = 0.001  # p-value below which something is said


def doubts_about(
    model: Model, key: PRNGKeyArray, sampler: Sampler, finer: dict[str, Sampler]
) -> tuple[list[str], list[str]]:
    """All that speaks against the posterior of a sampler for the data of the model itself, and what
    else is to be said: by the sampler itself, and on the `finer` ones, by name."""
    sampler_key, mode_key, stein_key, finer_key = jax.random.split(key, 4)
    posterior = quietly(sampler, model, sampler_key)
    instance("sampler(model, key)", posterior, Posterior, "a tj.bayes.Posterior")
    weighed = np.asarray(posterior.log_weight)
    usable = np.isfinite(np.max(weighed)) and all(
        np.all(np.isfinite(np.asarray(x)[weighed > -np.inf]))
        for x in jax.tree.leaves(posterior.position)
    )
    own = [f"of the data of the model the sampler says: {x}" for x in posterior.warnings]
    if not usable:
        return ["the posterior of the data holds no numbers"], own
    found = list(modes(model, mode_key, starts=posterior).missed(posterior))
    p = float(stein_p_value_of(posterior, stein_key))
    if not p > UNLIKELY:
        found.append(
            "the samples do not follow the density of the posterior (kernel Stein discrepancy, "
            f"p = {p:.1g})"
        )
    gradients = 0
    for i, (name, other) in enumerate(finer.items()):
        again = quietly(other, model, jax.random.fold_in(finer_key, i))
        found += moved(posterior, again, name)
        gradients += again.gradients
    if gradients:
        own.append(
            f"{' and '.join(finer)} {'was' if len(finer) == 1 else 'were'} tried for "
            f"{gradients:,} gradients more"
        )
    return found, own


def halvings() -> dict[str, Sampler]:
    """`tj.bayes.infer` with steps and with ramps that are finer by two, by name."""
    found = {}
    for name, goal in (
        ("half of the step", Goal(step=0.5)),
        ("twice the ramp time", Goal(time=2.0)),
    ):
        found[name] = lambda model, key, goal=goal: Inference(
            model, goal, SCHEDULES[0], None, key
        ).run()
    return found


def quietly(sampler: Sampler, model: Model, key: PRNGKeyArray):
    """The posterior of a sampler, whose warnings are in it and are not given a second time."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        return sampler(model, key)


def stein_p_value_of(posterior: Posterior, key: PRNGKeyArray):
    """The p-value of the kernel Stein discrepancy of the first samples of a posterior."""
    model, n = posterior.model, min(batch_of(posterior.position), MOST_SAMPLES)
    x = jax.vmap(lambda z: ravel_pytree(z)[0])(posterior.position)[:n]
    weights = jax.nn.softmax(posterior.log_weight[:n])
    # The samples of weight zero may hold anything.
    x = jnp.where(weights[:, None] > 0, x, x[jnp.argmax(weights)])
    energy = FlatEnergy(model, jnp.ones(x.shape[1], x.dtype))
    score = -jax.lax.map(jax.grad(energy), x, batch_size=64)
    return stein_p_value(x, score, key, weights)


def moved(first: Posterior, second: Posterior, name: str) -> list[str]:
    """Sentences on what differs between two posteriors of a model by more than its errors."""
    instance("finer(model, key)", second, Posterior, "a tj.bayes.Posterior")
    ours, theirs = first.samples, second.samples
    pairs = {f"the mean of {k}": (first.mean(x), second.mean(theirs[k])) for k, x in ours.items()}
    evidence = first.log_evidence, second.log_evidence
    if not any(np.isnan(e.value) for e in evidence):  # nan where the prior is flat, or none is told
        pairs = {"ln p(y)": evidence, **pairs}
    tests = sum(np.size(a.value) for a, _ in pairs.values())
    found = []
    for what, (a, b) in pairs.items():
        away = np.abs(np.subtract(a.value, b.value)) / np.hypot(a.error, b.error)
        away = np.where(np.equal(a.value, b.value), 0.0, away)
        away = np.where(np.isnan(away), np.inf, away).ravel()  # a sampler that has failed
        worst = int(np.argmax(away))
        if math.erfc(away[worst] / math.sqrt(2)) * tests < UNLIKELY:
            one, other = (
                Estimate(
                    np.ravel(e.value)[worst],
                    np.broadcast_to(e.error, np.shape(e.value)).ravel()[worst],
                    0,
                )
                for e in (a, b)
            )
            found.append(f"{what} moves from {one} to {other} with {name}")
    return found
