"""Points of a grid that differ in the values of arrays alone, as one batched program."""

from __future__ import annotations

import inspect
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...execution.together import signature, together
from ..errors import UserError, one_line, own_traceback
from ..run.folder import CONFIG, check_free, noted_run, unfinished
from ..run.interrupt import stoppable
from ..run.progress import Progress
from ..run.runner import Run, computing
from .grid import Ended, Point, Todo, Work

MOST_TOGETHER = 32  # points in one program: what a chunk of each needs must fit into memory


def in_programs(progress: Progress, otherwise: Work) -> Work:
    """Run points together that can be; the rest, and what is doubtful, `otherwise`."""

    def work(todo: Todo) -> Ended:
        todo = list(todo)
        # Of a GPU, take no more than is needed: processes may want their share of it.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        taken: set[Point] = set()
        for precision, group in grouped([point for point, _ in todo]):
            taken.update(group)
            yield from run_together(group, precision, progress)
        yield from otherwise([pair for pair in todo if pair[0] not in taken])

    return work


def grouped(points: list[Point]) -> list[tuple[str, list[Point]]]:
    """Groups of two or more points that can go together, each with its precision."""
    if len(points) < 2:
        return []
    groups: dict[Any, list[Point]] = {}
    for point in points:
        precision = point.experiment.settings.precision
        try:
            if not free(point.folder):
                continue
            with computing(precision):
                study = point.experiment.study
        except (UserError, TypeError, ValueError):  # as with THERMOJAX_TRACEBACK
            continue  # its own process says what is wrong with it
        if inspect.isgeneratorfunction(study.run):
            what = (precision, type(study), signature(vars(study)))
            groups.setdefault(what, []).append(point)
    return [
        (key[0], group[first : first + MOST_TOGETHER])
        for key, group in groups.items()
        for first in range(0, len(group), MOST_TOGETHER)
        if len(group) - first > 1
    ]


def free(folder: Path) -> bool:
    """Whether a run can begin or go on here, in this process."""
    if unfinished(folder):
        begun_here = noted_run(folder)["origin"]["cwd"] == str(Path.cwd())
        return begun_here and (folder / CONFIG).exists()  # else killed before it was written
    check_free(folder)
    return True


def run_together(group: list[Point], precision: str, progress: Progress) -> Ended:
    """Run a group, each point into its own folder, what it says into its own log.

    **Raises:** KeyboardInterrupt after Ctrl-C, when all have saved what they have.
    """
    progress.line(f"{len(group)} points as one program: they differ in numbers alone")
    with ExitStack() as stack:
        stack.enter_context(computing(precision))
        stop = stack.enter_context(stoppable(progress.line))
        runs = []
        for i, point in enumerate(group):
            log = stack.enter_context(open(point.log, "w", encoding="utf-8"))
            own = Progress(log, None if i else progress, f"{len(group)} points, ")
            run = Run(point.folder, point.experiment, own, stop, len(group))
            runs.append(run.go_on() if unfinished(point.folder) else run.begin())
        outcomes = together(runs)
        for point, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                with open(point.log, "a", encoding="utf-8") as log:
                    log.write(f"thermojax: {error_text(outcome)}\n")
    if any(isinstance(outcome, KeyboardInterrupt) for outcome in outcomes):
        raise KeyboardInterrupt
    for point, outcome in zip(group, outcomes, strict=True):
        yield point, 2 if isinstance(outcome, BaseException) else 0


def error_text(error: BaseException) -> str:
    """An error as the last line of a log."""
    if isinstance(error, UserError | KeyboardInterrupt):
        return str(error)
    trace = own_traceback(error)
    return f"{trace}\n{type(error).__name__}: {one_line(error)}".strip()
