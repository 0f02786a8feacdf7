"""The free energy difference of a study: one for all columns, so that they add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...estimate import Estimate
from ...estimators.evaluation import Evaluation
from ...estimators.one_process import objection
from ...estimators.pooled import pooled
from ..results.store import Record
from .evaluate import paths_record

REVERSE = "reverse"  # the record of a column that holds its reverse run


def put_known_change(record: Record, change: float) -> None:
    """The free energy difference is known: what is dissipated follows without any average."""
    work = record["total_work"]
    record.put("free_energy_change", change, "kT")
    dissipated_work = Estimate(np.asarray(work.value - change), work.error, work.count)
    record.put("dissipated_work", dissipated_work, "kT")
    record.pop("effective_samples", None)


def put_measured_change(
    results: Record,
    forward: Mapping[str, Evaluation],
    reverse: Mapping[str, Evaluation],
) -> None:
    """One free energy difference from all runs in both directions, in every column.

    The mean work of a column and the free energy difference share paths: the errors of the
    dissipated works are those of the differences. The record `free_energy` says what the
    difference rests on, and what is doubtful about it.
    """
    pairs = {
        name: (log_weights_of(forward[name]), log_weights_of(reverse[name])) for name in forward
    }
    found = pooled(list(pairs.values()))
    ratio = found.log_ratio
    change = Estimate(-ratio.value, ratio.error, ratio.count)
    for i, name in enumerate(forward):
        record = results[name]
        work = forward[name].paths["total_work"][forward[name].alive > 0]
        record.put("free_energy_change", change, "kT")
        record.put("dissipated_work", found.plus_mean(i, work), "kT")
        record[REVERSE] = reverse_record(reverse[name])
        # Of an exponential average, which is not used here.
        record.pop("effective_samples", None)
        record.pop("log_ratio", None)
    results["free_energy"] = Record()
    results["free_energy"].put("change", change, "kT")
    results["free_energy"].put("information", found.information, "paths")
    doubts = [found.doubt] if found.doubt else []
    doubts += [text for name, pair in pairs.items() for text in unlike(name, *pair)]
    results["free_energy"].attributes["warnings"] = doubts


def unlike(name: str, forward: np.ndarray, reverse: np.ndarray) -> list[str]:
    """The reasons against two runs being one process in its two directions, as sentences."""
    why = objection(forward, reverse)
    return [f"{name}: {why}: one of their starts may not be at equilibrium."] if why else []


def log_weights_of(evaluation: Evaluation) -> np.ndarray:
    """The log weights of the paths that are alive."""
    return np.asarray(evaluation.log_weight, float)[evaluation.alive > 0]


def reverse_record(evaluation: Evaluation) -> Record:
    """The record of a reverse run: its mean total work, and the weight of every path."""
    record = Record()
    record.put("total_work", evaluation.average("total_work"), "kT")
    record.put("paths_total", len(evaluation.alive), "paths")
    record.put("diverged", evaluation.diverged, "paths")
    record["paths"] = paths_record(evaluation, ("total_work",))
    return record


def most_reliable(done: Mapping[str, Evaluation]) -> Evaluation:
    """The run whose exponential average is to be trusted most, where all run forward only.

    Neither that of the smallest error nor that of the most effective samples: a sample that has
    missed the rare paths says that it has many.
    """
    return max(done.values(), key=lambda evaluation: evaluation.reliability)
