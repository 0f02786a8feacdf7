"""Results in words: the table on the console, and what a reader must be warned of."""

from __future__ import annotations

import math

import numpy as np

from ..._arguments import exceeds
from ...estimate import Estimate
from .store import Record, is_estimate

SHADOW_SHARE = 0.25  # of the dissipated work, above which the step counts as coarse
EFFECTIVE_COUNT = 100  # effective samples below which exponential averages are doubtful
BOUNDS = "bounds"  # the record of lower bounds: one entry for each entry that has one
PATHS_PER_RARE = 30  # paths wanted for each exp(W_diss); at 1 the error is off by a factor of 2


def cell(column: Record, entry: str) -> str:
    """One entry of a column as text."""
    value = column.get(entry)
    if value is None:
        return ""
    if is_estimate(value):
        return str(value)
    if entry == "effective_samples":
        return f"{value:,.0f} of {column['paths_total']:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def headline(results: Record) -> list[list[str]]:
    """The table of headline numbers: a header, then one row per quantity."""
    facts = results.attributes
    columns = [name for name in facts["columns"] if name in results]
    bounds = results.get(BOUNDS, Record())
    rows = [["", *columns, *(["bound"] if bounds else [])]]
    for label, entry in zip(facts["labels"], facts["entries"], strict=True):
        if any(entry in results[name] for name in columns):
            row = [label, *(cell(results[name], entry) for name in columns)]
            rows.append([*row, bound(bounds, entry)] if bounds else row)
    return rows


def bound(bounds: Record, entry: str) -> str:
    """What an entry cannot fall below, as text."""
    return f"at least {cell(bounds, entry)}" if entry in bounds else ""


def posterior(results: Record) -> list[list[str]]:
    """The table of posterior means and standard deviations; empty where there is none."""
    columns = [name for name in results.attributes["columns"] if "posterior" in results[name]]
    if not columns:
        return []
    header = ["weight", *(f"{what}, {name}" for name in columns for what in ("mean", "sd"))]
    rows = [header]
    for i, weight in enumerate(results[columns[0]]["posterior"]["weight"]):
        row = [weight]
        for name in columns:
            row += [str(item(results[name]["posterior"][what], i)) for what in ("mean", "sd")]
        rows.append(row)
    return rows


def item(estimate: Estimate, index: int) -> Estimate:
    value, error = np.asarray(estimate.value)[index], np.asarray(estimate.error)[index]
    return Estimate(value, error, estimate.count)


def aligned(rows: list[list[str]]) -> str:
    """Rows as text, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def best_column(results: Record, entry: str = "log_evidence") -> str | None:
    """The most reliable column among those that hold an entry.

    Not that of the smallest error: a sample that has missed the rare paths states a small one.
    """
    columns = results.attributes["columns"]
    names = [n for n in columns if is_estimate(results.get(n, {}).get(entry))]
    return max(names, key=lambda n: counting(results[n]), default=None)


def counting(column: Record) -> float:
    """How many paths count in the exponential average of a column, as far as can be told."""
    effective, dissipated = column.get("effective_samples"), column.get("dissipated_work")
    if effective is None or dissipated is None:
        return math.inf  # it does not rest on one
    rare = column["paths_total"] * math.exp(-max(float(dissipated.value), 0.0))
    return min(float(effective), rare)


def saved(results: Record) -> str:
    """What training has saved, in one sentence; empty where nothing was trained or compared."""
    columns = [name for name in results.attributes["columns"] if name in results]
    if len(columns) < 2 or "work_saved" not in results[columns[-1]]:
        return ""
    first, last = results[columns[0]], results[columns[-1]]
    gain, before = last["work_saved"], first["total_work"]
    less = float(gain.value) >= 0
    shown = gain if less else Estimate(-gain.value, gain.error, gain.count)
    verb = "saves" if less else "costs"
    text = (
        f"The {columns[-1]} schedule {verb} {shown} kT of total work, "
        f"{last['total_work']} kT instead of {before} kT ({columns[0]})"
    )
    dissipated = first.get("dissipated_work")
    if dissipated is not None and np.isfinite(dissipated.error):
        lost = float(dissipated.value)
        # A share of what is lost, where there is that much to tell of.
        if lost > 5 * float(dissipated.error) and less and float(gain.value) < 1.05 * lost:
            text += (
                f": {min(float(gain.value) / lost, 1) * 100:.0f} % of what the latter dissipates"
            )
    return f"{text}."


def warnings_of(results: Record) -> list[str]:
    """What is doubtful about these results, one sentence each."""
    found = []
    for name in results.attributes["columns"]:
        found += column_warnings(name, results.get(name, Record()))
    found += list(results.get("free_energy", Record()).attributes.get("warnings", []))
    if "training" in results:
        trained = results.get(results.attributes["columns"][-1], Record())
        found += training_warnings(results["training"], trained)
    return found


def column_warnings(name: str, column: Record) -> list[str]:
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
    if effective is not None and total and few(effective, total, dissipated):
        what = "log evidence" if "log_evidence" in column else "free energy difference"
        found.append(
            f"{name}: low effective sample size: {effective:,.0f} of {total:,} paths carry the "
            f"exponential average, so the stated error of its {what} may be too small; take a "
            "longer duration or more paths."
        )
    return found


def few(effective: float, total: int, dissipated: Estimate | None) -> bool:
    """Whether too few paths count in an exponential average for its error to be trusted.

    The effective number that a sample states is too high where it has missed the rare paths, so
    the dissipation is asked too: one path in about exp(W_diss) is one that counts (C. Jarzynski,
    Phys. Rev. E 73, 046105 (2006), for work distributions near Gaussian).
    """
    rarity = np.exp(min(float(dissipated.value), 500.0)) if dissipated is not None else 1.0
    return exceeds(EFFECTIVE_COUNT, effective) or exceeds(PATHS_PER_RARE * rarity, total)


def training_warnings(training: Record, column: Record) -> list[str]:
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
