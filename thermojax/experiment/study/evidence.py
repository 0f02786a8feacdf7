"""The log evidence of a ramp from prior to posterior: when it is one, and what is said of it."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...estimate import Estimate
from ...estimators.exponential import paths_that_carry
from ...potential import Interpolation, Sum
from ...protocol import AbstractProtocol
from ...system import AbstractSystem
from ..results.store import Record, is_estimate
from .doubts import doubts

EVIDENCE = "log_evidence"


def is_bayesian(system: AbstractSystem) -> bool:
    """Whether a run at kT = 1 goes from a normalized prior to a posterior: exp(-Delta F) = p(y)."""
    potential, protocol, bath = system.potential, system.protocol, system.bath
    if not isinstance(potential, Interpolation) or not isinstance(potential.target, Sum):
        return False
    if any(isinstance(x, AbstractProtocol) for x in (bath.temperature, bath.mass)):
        return False
    ends = [np.asarray(x).tolist() for x in (protocol.initial, protocol.final)]
    if ends != [0.0, 1.0] or np.any(np.asarray(bath.temperature) != 1):
        return False
    if not any(eqx.tree_equal(term, potential.prior) for term in potential.target.terms):
        return False  # no prior times a likelihood
    template = potential.template(protocol.initial)
    start = potential.free_energy(protocol.initial, jnp.asarray(1.0), template)
    return start is not None and abs(float(start)) < 1e-4


def put_evidence(results: Record, columns: tuple[str, ...]) -> None:
    """The log evidence of each column, ln p(y) = -Delta F at kT = 1."""
    for name in columns:
        change = results[name]["free_energy_change"]
        known = not isinstance(change, Estimate)
        evidence = -change if known else Estimate(-change.value, change.error, change.count)
        results[name].put(EVIDENCE, evidence)


def evidence(results: Record) -> str:
    """The log evidence of the column where it is most reliable, as a sentence; empty without."""
    best = best_column(results)
    return "" if best is None else f"log evidence {results[best][EVIDENCE]}"


def doubts_of_evidence(results: Record) -> list[str]:
    """As `doubts`, of averages that are an evidence where the results hold one."""
    held = any(EVIDENCE in results.get(name, {}) for name in results.attributes["columns"])
    return doubts(results, "log evidence") if held else doubts(results)


def best_column(results: Record) -> str | None:
    """The most reliable column among those that hold an evidence with its error.

    Not that of the smallest error: a sample that has missed the rare paths states a small one.
    """
    columns = results.attributes["columns"]
    names = [n for n in columns if is_estimate(results.get(n, {}).get(EVIDENCE))]
    return max(names, key=lambda n: counting(results[n]), default=None)


def counting(column: Record) -> float:
    """The number of paths that carry the exponential average of a column, if that is known."""
    effective, dissipated = column.get("effective_samples"), column.get("dissipated_work")
    if effective is None or dissipated is None:
        return math.inf  # it does not rest on one
    return min(float(effective), paths_that_carry(column["paths_total"], float(dissipated.value)))
