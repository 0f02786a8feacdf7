"""Targets of many modes: whether a trained annealer has found them, and whether it says so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

import thermojax as tj
from experiments.annealing_targets import TARGETS, Target

from .annealing_training import Plan

MANY = ("forty_modes", "many_wells", "five_wells")


def modes_plans(steps: int) -> list[Plan]:
    """Of each target a base fitted by its own bound, which falls into one mode, and wide ones."""
    found = [Plan(target, steps, "linear", "diagonal") for target in MANY]
    wide = [Plan(target, steps, "network", "wide") for target in MANY]
    return found + wide + [replace(plan, objective="log_variance") for plan in wide]


def occupied(target: Target, x):
    """Which modes each position is in, `(batch, modes)` of 0 and 1: the nearest mean, or wells."""
    energy: Any = target.energy
    if isinstance(energy, tj.GaussianMixture):
        means = jnp.asarray(energy.means)
        nearest = jnp.argmin(jnp.sum((x[:, None] - means) ** 2, axis=2), axis=1)
        return jax.nn.one_hot(nearest, len(means))
    wells = x[:, :5] if x.shape[1] == 50 else x[:, ::2]
    return jnp.concatenate([wells > 0, wells < 0], axis=1).astype(x.dtype)


def judged(annealer: tj.anneal.Annealer, target: Target, paths: int) -> dict:
    """Both directions of a trained annealer.

    A mode counts as covered where its share of weighted samples is half of its share in exact draws
    or more.
    """
    assert target.sample is not None
    there = annealer.run(jax.random.key(101), paths)
    draws = target.sample(jax.random.key(102), paths)
    back = annealer.reverse(jax.random.key(103), draws)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is in `doubt`
        sides = tj.anneal.two_sided(there, back)
    weights = jax.nn.softmax(jnp.where(there.alive > 0, there.log_weights, -jnp.inf))
    exact = jnp.mean(occupied(target, draws), axis=0)
    found = weights @ occupied(target, jnp.asarray(there.samples))
    pair = lambda estimate: [float(estimate.value), float(estimate.error)]
    return {
        "eubo": pair(sides.eubo),
        "both": pair(sides.log_z),
        "share": float(sides.forward_share),
        "share seen": float(sides.share_seen),
        "modes": [int(jnp.sum(found >= 0.5 * exact)), int(exact.size)],
        "told": sides.doubt is not None,
    }


def modes_rows(found: dict[str, dict], of_others: Callable[..., str]) -> list[dict]:
    """The lines of (d)."""
    lines = []
    for row in sorted(found.values(), key=lambda row: MANY.index(row["target"])):
        true = TARGETS[row["target"]]().log_z
        line = {
            "target": row["target"],
            "K": row["steps"],
            "drive": row["drive"],
            "base": row["base"],
            "objective": row["objective"],
            "log Z": f"{true:.3f}",
            "ELBO": "{:.3f} ± {:.3f}".format(*row["elbo"]),
            "EUBO": "{:.3f} ± {:.3f}".format(*row["eubo"]),
            "forward": "{:.3f} ± {:.3f}".format(*row["log_z"]),
            "Bennett": "{:.3f} ± {:.3f}".format(*row["both"]),
            "modes": "{} of {}".format(*row["modes"]),
            "own share": row["share"],
            "share seen": row["share seen"],
            "told": "lost" if row["told"] else "-",
            "seconds": f"{row['seconds']:.0f}",
            "training steps": row["training"],
            "cores": row["cores"],
            "other work": of_others(row["other work"]),
        }
        lines.append(line)
    return lines
