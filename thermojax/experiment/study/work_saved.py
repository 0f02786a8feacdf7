"""The work that a better schedule saves: the entry `work_saved`, and one sentence about it."""

from __future__ import annotations

import numpy as np

from ...estimate import Estimate
from ..results.store import Record
from ..results.tables import columns_of


def put_saved(results: Record, columns: tuple[str, ...]) -> None:
    """The work that the last column takes less than the first one, as its entry `work_saved`."""
    present = [name for name in columns if name in results]
    if len(present) < 2:
        return
    before, after = (results[name]["total_work"] for name in (present[0], present[-1]))
    error = np.hypot(before.error, after.error)  # fresh paths of their own for each
    saved = Estimate(np.asarray(before.value - after.value), np.asarray(error), after.count)
    results[present[-1]].put("work_saved", saved, "kT")


def saving_sentence(results: Record) -> str:
    """The work that training has saved, in one sentence; empty where nothing was compared."""
    columns = columns_of(results)
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
