"""Ctrl-C and its kin: a run ends at its next boundary, with everything so far saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # from the keyboard, and from a cluster's scheduler


class Interrupted(KeyboardInterrupt):
    """A run that has ended on request; its message says how to go on."""


class Stop:
    """Whether somebody has asked a run to end."""

    def __init__(self, say: Callable[[str], object]):
        self.say = say
        self.requested = False

    def request(self, number: int, frame: object) -> None:
        """The first signal asks, the second one ends the run where it stands."""
        if self.requested:
            raise Interrupted
        self.requested = True
        self.say("stopping at the next chunk; once more to stop at once")

    def check(self) -> None:
        if self.requested:
            raise Interrupted


@contextmanager
def stoppable(say: Callable[[str], object]) -> Iterator[Stop]:
    """Let signals ask for a stop; outside of the main thread nobody can ask."""
    stop = Stop(say)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.request) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
