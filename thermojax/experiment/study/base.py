"""What a config names at its top: a question, and the computation that answers it."""

from __future__ import annotations

import abc
from typing import ClassVar

from ..._calls import Computation
from ..results.store import Record
from ..run.progress import Progress


class AbstractStudy(abc.ABC):
    """A study: a subclass with settings as arguments of `__init__`, and `run`.

    The arguments are the keys of the config. Everything that can be wrong with them is checked
    in `__init__`, by a ValueError that starts with the name of the argument.

    `question` is the heading of the report. `columns` names the groups of the results that are
    compared, `headline` the rows of that comparison: what to call them, and the entry to show. A
    record `bounds` in the results holds what entries cannot fall below, by the same names; its
    attribute `note` says why.

    Points of a sweep whose settings differ in the values of arrays alone are computed as one
    program where `run` is a generator that yields its `Call`s, as `Driven.run` does.
    """

    question: ClassVar[str] = ""
    columns: tuple[str, ...] = ()  # of the class, or of one study where its settings decide
    headline: ClassVar[dict[str, str]] = {}

    @abc.abstractmethod
    def run(self, key, progress: Progress) -> Record | Computation[Record]:
        """Do the computation. **Arguments:** `key`, a typed key; `progress`, to show phases."""
