"""One schedule of a study trained, and the record of how that went."""

from __future__ import annotations

from typing import Any

import optax

from ..._calls import Computation
from ...optimization import AbstractObjective, Fit
from ...optimization.fit import optimization
from ...system import AbstractSystem
from ..results.store import Record
from ..run.progress import Progress


def trained(
    system: AbstractSystem,
    objective: AbstractObjective,
    optimizer: optax.GradientTransformation,
    key,
    *,
    steps: int,
    progress: Progress,
    name: str = "training",
    cost: str = "work",
    **options: Any,
) -> Computation[Fit]:
    """The `optimization` of a schedule as a phase of a run: shown, and kept as it goes on.

    **Arguments:** `name`, of the phase; `cost`, what the loss is called there; all others as
    `tj.optimize`.
    """
    with progress.phase(name, steps, "steps") as phase:
        return (
            yield from optimization(
                system,
                objective,
                optimizer,
                key,
                steps=steps,
                callback=lambda seen: phase.reach(seen.step, f"{cost} {seen.loss}"),
                compared=phase.compared,
                checkpoint=phase.checkpoint,
                **options,
            )
        )


def training_record(fit: Fit) -> Record:
    """The loss through training, and why it ended."""
    record = Record()
    for name, units in (("loss", "kT"), ("error", "kT"), ("diverged", "paths")):
        record.put(name, fit.history[name], units, ("step",))
    record.put("value", fit.value, "kT")
    record.attributes = {"stopped": fit.stopped, "chosen": fit.chosen}
    return record
