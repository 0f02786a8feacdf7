"""The checkpoints of a run: a file for each phase, in the order in which the phases come."""

from __future__ import annotations

import math
import os
import re
import time
from pathlib import Path
from typing import Any

from ...checkpoint import AbstractCheckpoint, Checkpoint, CheckpointError
from ..errors import UserError, shortened
from .interrupt import Stop

INTERVAL = "THERMOJAX_CHECKPOINT_SECONDS"  # seconds between two saves, 5 where it is not set


def interval() -> float:
    """Seconds between two saves. **Raises:** UserError that names the variable."""
    said = os.environ.get(INTERVAL) or "5"
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(
            f"the environment variable {INTERVAL} = {shortened(said)}: expected a number of "
            "seconds, 0 or more"
        )
    return seconds


class Checkpoints:
    """The checkpoints of the phases of a run, for `Progress`.

    A run that goes on does all its phases again in the same order: each finds its own file, and
    those that were done find themselves at their end. `elapsed` is the time that was worked, over
    all sittings.
    """

    def __init__(self, folder: Path, stop: Stop):
        self.folder, self.stop = folder, stop
        self.interval = interval()
        self.count = 0
        self.began = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @elapsed.setter
    def elapsed(self, seconds: float) -> None:
        self.began = min(self.began, time.monotonic() - seconds)

    def next(self, name: str) -> PhaseCheckpoint:
        """The checkpoint of the phase that begins now."""
        self.count += 1
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        return PhaseCheckpoint(self, self.folder / f"{self.count:02d}-{slug}.ckpt")


class PhaseCheckpoint(AbstractCheckpoint):
    """The checkpoint of one phase; a run that was asked to stop ends after a save."""

    def __init__(self, run: Checkpoints, file: Path):
        self.run = run
        # What must not change for a run to go on was looked at when it was taken up.
        self.file = Checkpoint(file, interval=run.interval, anyway=True)

    def load(self, like: Any = None) -> Any:
        try:
            found = self.file.load(None if like is None else {"elapsed": 0.0, "state": like})
        except CheckpointError as error:
            raise UserError(str(error)) from None
        if found is None:
            return None
        self.run.elapsed = float(found.pop("elapsed"))
        if like is None:
            return {name.removeprefix("state."): leaf for name, leaf in found.items()}
        return found["state"]

    def save(self, state: Any, *, last: bool = False) -> None:
        asked = self.run.stop.requested
        if last or asked or self.file.due:
            self.file.save({"elapsed": self.run.elapsed, "state": state}, last=last or asked)
        self.run.stop.check()
