"""Doubts about the results of a study, one sentence each."""

from __future__ import annotations

import numpy as np

from ..._arguments import exceeds
from ...estimators.exponential import paths_that_carry
from ..results.store import Record

SHADOW_SHARE = 0.25  # of the dissipated work, above which the step counts as coarse
EFFECTIVE_COUNT = 100  # effective samples below which exponential averages are doubtful
RARE_COUNT = 30  # and paths that carry one; with a single one the error is off by a factor of 2


def doubts(results: Record, average: str = "free energy difference") -> list[str]:
    """Doubts about the records that the library makes: columns, training, free energy.

    **Arguments:** `average`, what the exponential average of a column is called.
    """
    found = []
    for name in results.attributes["columns"]:
        found += column_doubts(name, results.get(name, Record()), average)
    found += list(results.get("free_energy", Record()).attributes.get("warnings", []))
    if "training" in results:
        trained = results.get(results.attributes["columns"][-1], Record())
        found += training_doubts(results["training"], trained)
    return found


def column_doubts(name: str, column: Record, average: str = "free energy difference") -> list[str]:
    """Doubts about a column that `evaluation_record` has made."""
    found = []
    if column.get("diverged"):
        found.append(
            f"{name}: {column['diverged']:,} of {column['paths_total']:,} paths diverged and were "
            "left out of every mean; take a smaller dt."
        )
    back = column.get("reverse", Record())
    if back.get("diverged"):
        found.append(
            f"{name}, reversed: {back['diverged']:,} of {back['paths_total']:,} paths diverged and "
            "were left out of the free energy difference; take a smaller dt."
        )
    shadow, dissipated = column.get("shadow_work"), column.get("dissipated_work")
    if shadow is not None and dissipated is not None:
        size = abs(float(shadow.value))
        small = np.maximum(5 * float(shadow.error), SHADOW_SHARE * abs(float(dissipated.value)))
        if exceeds(size, small):
            found.append(
                f"{name}: dt too coarse: the mean shadow work {shadow} is large compared with the "
                f"dissipated work {dissipated}; take a smaller dt."
            )
    effective, total = column.get("effective_samples"), column.get("paths_total")
    if effective is None or not total:
        return found
    carrying = paths_that_carry(total, 0.0 if dissipated is None else float(dissipated.value))
    if exceeds(EFFECTIVE_COUNT, effective) or exceeds(RARE_COUNT, carrying):
        found.append(
            f"{name}: low effective sample size: {effective:,.0f} of {total:,} paths carry the "
            f"exponential average, so the stated error of its {average} may be too small; take a "
            "longer duration or more paths."
        )
    return found


def training_doubts(training: Record, column: Record) -> list[str]:
    """Paths that diverged in training, and a training step that saw another physics."""
    found = []
    if diverged := int(np.sum(training["diverged"])):
        found.append(f"training: {diverged:,} paths diverged and were left out; take a smaller dt.")
    stopped = str(training.attributes.get("stopped", ""))
    if "diverged" in stopped or "not finite" in stopped:
        found.append(f"training ended early: {stopped}.")
    learned, measured = training.get("value"), column.get("total_work")
    if learned is None or measured is None or "dissipated_work" not in column:
        return found
    difference = abs(float(learned.value) - float(measured.value))
    error = np.hypot(float(learned.error), float(measured.error))
    if exceeds(difference, np.maximum(5 * error, abs(float(column["dissipated_work"].value)))):
        found.append(
            f"training: its step is too coarse: the schedule cost {learned} kT there, and "
            f"{measured} kT when measured; take a smaller training.dt."
        )
    return found
