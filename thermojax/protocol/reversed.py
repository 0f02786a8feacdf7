"""A protocol run backward, whatever it is."""

import dataclasses

from .base import AbstractProtocol


class Reversed(AbstractProtocol):
    """control(t) of the time-reversed protocol: outside values swapped, values and kicks mirrored.

    A kick keeps its sign: reversal flips the momentum before and after it.

    **Arguments:** `protocol`, the one that ran forward.
    """

    protocol: AbstractProtocol

    def __init__(self, protocol: AbstractProtocol):
        self.protocol = protocol

    @property
    def duration(self):
        return self.protocol.duration

    @property
    def initial(self):
        return self.protocol.final

    @property
    def final(self):
        return self.protocol.initial

    def __call__(self, t):
        return self.protocol(self.protocol.duration - t)

    def tabulated(self, times):
        return self.protocol.tabulated(self.duration - times[::-1])[::-1]

    def tabulated_unevenly(self, times):
        return self.protocol.tabulated_unevenly(self.duration - times[::-1])[::-1]

    def impulses(self):
        kicks = self.protocol.impulses()
        return None if kicks is None else kicks[::-1]

    def events(self):
        events = self.protocol.events()
        return None if events is None else self.duration - events[::-1]

    def jumps(self):
        jumps = self.protocol.jumps()
        if jumps is None:
            return None
        times, before, after = jumps
        return self.duration - times[::-1], after[::-1], before[::-1]

    def mirrored(self):
        return self.protocol

    def project(self):
        return dataclasses.replace(self, protocol=self.protocol.project())


def reversed_in_time(schedule):
    """The mirrored schedule; what is no protocol is constant, and its own mirror image."""
    if not isinstance(schedule, AbstractProtocol):
        return schedule
    mirrored = schedule.mirrored()
    return Reversed(schedule) if mirrored is None else mirrored
