"""One schedule of a study measured on a large batch, and the record of what was found."""

from __future__ import annotations

from typing import Any

from ..._calls import Computation, alone
from ...estimators.evaluation import PATHS, THROUGH_TIME, Evaluation, dissipated, evaluation
from ...execution import count_steps
from ...system import AbstractSystem
from ..results.store import Record
from ..run.progress import Progress
from .curves import put_schedules


def require_chunks(chunk: int, **batches: int) -> None:
    """**Raises:** ValueError for a batch, named as in `evaluation`, that no chunks make up."""
    for name, batch in batches.items():
        if batch % chunk:
            raise ValueError(
                f"evaluation.{name} = {batch}: expected a multiple of evaluation.chunk = {chunk}"
            )


def counted_steps(duration, dt: float, key: str = "dt") -> int:
    """The number of time steps. **Raises:** ValueError as `count_steps`, by the config's key."""
    try:
        return count_steps(duration, dt, None)
    except ValueError as error:
        raise ValueError(str(error).replace("dt", key, 1)) from None


def evaluate(system: AbstractSystem, key, **options) -> Evaluation:
    """`measurement`, done."""
    return alone(measurement(system, key, **options))


def measurement(
    system: AbstractSystem,
    key,
    *,
    dt: float,
    batch: int,
    progress: Progress,
    name: str,
    **options: Any,
) -> Computation[Evaluation]:
    """The `evaluation` of a schedule as a phase of a run: shown, and kept chunk by chunk.

    **Arguments:** `name`, of the schedule; `options`, those of `evaluation`.

    **Raises:** ValueError where fewer than two paths survive.
    """
    with progress.phase(f"{name} schedule", batch, "paths") as phase:
        watched = {"callback": phase.reach, "checkpoint": phase.checkpoint}
        found = yield from evaluation(system, key, dt=dt, batch=batch, **watched, **options)
    if batch - found.diverged < 2:
        raise ValueError(
            f"dt = {dt:g}: {found.diverged:,} of {batch:,} paths of the {name} schedule diverged, "
            "so there is nothing to average: take a smaller dt"
        )
    return found


def evaluation_record(
    system: AbstractSystem, evaluation: Evaluation, reference: Evaluation
) -> Record:
    """Everything about one schedule that goes into the results, but for its application's own.

    The free energy difference is the exponential average of the `reference`, one for all schedules.
    """
    record = Record()
    for name in PATHS:
        record.put(name, evaluation.average(name), "kT")
    record.put("free_energy_change", reference.free_energy.difference(1.0), "kT")
    record.put("dissipated_work", dissipated(evaluation, reference), "kT")
    free = evaluation.free_energy
    record.put("log_ratio", free.log_ratio)
    record.put("effective_samples", float(free.effective_samples), "paths")
    record.put("paths_total", len(evaluation.alive), "paths")
    record.put("diverged", evaluation.diverged, "paths")
    put_schedules(record, system)
    through = Record()
    through.put("time", evaluation.times, "time", ("time",))
    for name in THROUGH_TIME:
        through.put(name, evaluation.mean[name], "kT", ("time",))
        through.put(f"{name}_spread", evaluation.spread[name], "kT", ("time",))
    record["ledger"] = through
    record["paths"] = paths_record(evaluation, PATHS)
    axes = ("path", "coordinate") if evaluation.position.ndim == 2 else ("path",)
    record["paths"].put("position", evaluation.position, "length", axes)
    return record


def paths_record(evaluation: Evaluation, entries: tuple[str, ...]) -> Record:
    """The record of every path: entries of its ledger, its weight, and whether it is alive."""
    record = Record()
    for name in entries:
        record.put(name, evaluation.paths[name], "kT", ("path",))
    record.put("log_weight", evaluation.log_weight, "1", ("path",))
    record.put("alive", evaluation.alive, "1", ("path",))
    return record
