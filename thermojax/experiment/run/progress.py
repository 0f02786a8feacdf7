"""The messages of a run while it works: a bar on a terminal, one line per phase elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:  # what is said before anything runs must not wait for JAX
    import numpy as np
    from tqdm import tqdm

    from .checkpoints import Checkpoints, PhaseCheckpoint


class Tolerant:
    """A stream that may be missing, closed, or whose reader has gone: no run ends for that."""

    def __init__(self, stream: TextIO | None):
        self.stream = stream

    def isatty(self) -> bool:
        return self.tried(lambda stream: stream.isatty()) or False

    def write(self, text: str) -> int:
        self.tried(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self.tried(lambda stream: stream.flush())

    def __getattr__(self, name: str) -> Any:  # what a bar asks, such as its encoding
        return getattr(self.stream, name)

    def tried(self, use: Callable[[TextIO], Any]) -> Any:
        """The result of a use of the stream; None, now and later, where there is none to use."""
        try:
            return None if self.stream is None else use(self.stream)
        except (OSError, ValueError):
            self.stream = None
            return None


class Phase:
    """One phase of known length, moved on from the host.

    `checkpoint` is where the phase can keep its state, for `tj.optimize` and `evaluate`; None
    where nobody keeps it.
    """

    def __init__(
        self,
        name: str,
        bar: tqdm,
        checkpoint: PhaseCheckpoint | None = None,
        mirror: Phase | None = None,
    ):
        self.name, self.bar, self.checkpoint, self.mirror = name, bar, checkpoint, mirror
        self.done = 0
        self.summary = ""

    def kept(self, count: int, of: Callable[[int], Any]) -> list[np.ndarray]:
        """The arrays `of(0)`, ... `of(count - 1)`, kept as they come.

        A run that goes on begins behind the last one that is on disk.
        """
        import numpy as np

        name = lambda i: f"{i:06d}"
        there = (None if self.checkpoint is None else self.checkpoint.load()) or {}
        found = {name(i): np.asarray(there[name(i)]) for i in range(len(there))}
        if found:
            self.reach(len(found))
        for i in range(len(found), count):
            found[name(i)] = np.asarray(of(i))
            self.advance()
            if self.checkpoint is not None:
                self.checkpoint.save(found, last=i + 1 == count)
        return list(found.values())

    def reach(self, done: int, note: str = "") -> None:
        """Say that `done` of the total are done; `note` is shown behind the bar."""
        first = self.done == 0
        step, self.done = done - self.done, done
        self.summary = note
        if self.mirror is not None:
            self.mirror.reach(done, note)
        if note:
            self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(step)
        if first:
            # The first step compiles: counted, it would spoil the rate and the time left.
            self.bar.initial, self.bar.start_t = done, time.time()
            # Or tqdm takes a short phase for one that was never shown, and does not clear its bar.
            self.bar.last_print_t = self.bar.start_t
            self.bar.set_description_str(self.name)

    def tell(self, note: str) -> None:
        """Show a note behind the bar that is not what the phase has come to."""
        if self.mirror is not None:
            self.mirror.tell(note)
        self.bar.set_postfix_str(note)

    def compared(self, done: int, of: int) -> None:
        """For `tj.optimize(..., compared=)`: which run of the comparison of candidates is done."""
        self.tell(f"comparing candidates: {done} of {of} runs")

    def advance(self, count: int = 1, note: str = "") -> None:
        self.reach(self.done + count, note)


class Progress:
    """Shows phases on a stream, standard error by default; nothing but the host is involved.

    `mirror`, another one that shows the same phases, their names after a `prefix`.
    """

    def __init__(
        self, stream: TextIO | None = None, mirror: Progress | None = None, prefix: str = ""
    ):
        self.stream = Tolerant(sys.stderr if stream is None else stream)
        self.mirror, self.prefix = mirror, prefix
        self.checkpoints: Checkpoints | None = None  # of the run, while one is under way

    @contextmanager
    def phase(self, name: str, total: int, unit: str = "it") -> Iterator[Phase]:
        """A phase of `total` units; ends with one line that says how long it took."""
        from tqdm import tqdm

        began, kept = time.perf_counter(), self.checkpoints
        bar = tqdm(
            total=total,
            desc=f"{name} (compiling)",
            unit=unit,
            file=self.stream,
            disable=None,  # where the stream is no terminal
            dynamic_ncols=True,
            leave=False,
            smoothing=0,  # the mean rate: a smoothed one remembers the first, slow step
        )
        elsewhere = self.mirror and self.mirror.phase(f"{self.prefix}{name}", total, unit)
        with bar, elsewhere or nullcontext() as mirror:
            phase = Phase(name, bar, None if kept is None else kept.next(name), mirror)
            yield phase
        if kept is not None:
            kept.stop.check()
        seconds = time.perf_counter() - began
        note = f", {phase.summary}" if phase.summary else ""
        self.line(f"{name}: {phase.done:,} {unit} in {seconds:.1f} s{note}")

    def line(self, text: str) -> None:
        print(text, file=self.stream, flush=True)
