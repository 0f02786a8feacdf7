"""The base of studies: a question, and the computation that answers it."""

from __future__ import annotations

import abc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ..._calls import Computation
from ..errors import UserError, one_line
from ..results.film import Film
from ..results.store import Record
from ..run.progress import Progress
from ..shipped import shipped_root
from .doubts import doubts
from .figures import FIGURES
from .work_saved import saving_sentence


class AbstractStudy(abc.ABC):
    """A study: a subclass with settings as arguments of `__init__`, and `run`.

    The arguments are the keys of the config. Everything that can be wrong with them is checked
    in `__init__`, by a ValueError that starts with the name of the argument.

    `question` is the heading of the report. `columns` names the groups of the results that are
    compared, the one that the study is about last; `headline` the rows of that comparison: what to
    call them, and the entry to show. A record `bounds` in the results holds what entries cannot
    fall below, by the same names; its attribute `note` says why.

    The other attributes are functions of the stored results, since `thermojax report` draws from
    these alone. A study needs none of them: left out, what the library's own records hold is shown.

    - `figures`: name -> a function that returns (Matplotlib figure, caption), or None where the
      results do not hold what it shows; `{**AbstractStudy.figures, "mine": mine}` adds one.
    - `film`: a function that returns a `Film`, or None, for `thermojax report --animate`.
    - `tables`: title -> a function that returns rows of text, the header first, or no rows.
    - `sentences`: functions that return what is said before all numbers, or an empty text.
    - `doubts`: functions that return what a reader must be warned of, one sentence each. They are
      asked once, at the end of the run.

    Points of a sweep whose settings differ in the values of arrays alone are computed as one
    program where `run` is a generator that yields its `Call`s, as `Driven.run` does.
    """

    question: ClassVar[str] = ""
    columns: tuple[str, ...] = ()  # of the class, or of one study where its settings decide
    headline: Mapping[str, str] = {}
    figures: ClassVar[Mapping[str, Callable[[Record], Any]]] = FIGURES
    film: ClassVar[Callable[[Record], Film | None] | None] = None
    tables: ClassVar[Mapping[str, Callable[[Record], list[list[str]]]]] = {}
    sentences: ClassVar[tuple[Callable[[Record], str], ...]] = (saving_sentence,)
    doubts: ClassVar[tuple[Callable[[Record], list[str]], ...]] = (doubts,)

    @abc.abstractmethod
    def run(self, key, progress: Progress) -> Record | Computation[Record]:
        """Do the computation. **Arguments:** `key`, a typed key; `progress`, to show phases."""


def note_study(results: Record, study: AbstractStudy) -> None:
    """Write down what class the results come from, and where that was found, for `study_of`."""
    kind = type(study)
    results.attributes["study"] = f"{kind.__module__}:{kind.__qualname__}"
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is not None:
        depth = kind.__module__.count(".") + (Path(file).stem == "__init__")
        results.attributes["study_folder"] = str(Path(file).resolve().parents[depth])


def study_of(results: Record) -> tuple[type[AbstractStudy], str]:
    """The class that stored results come from, which knows how to show them.

    It is looked for where it was found when they were computed, in the working folder, and among
    the studies that are shipped.

    **Returns:** the class and an empty text; where it can no longer be imported `AbstractStudy`,
    which shows what it knows of any study, and a sentence that says so.
    """
    from ..config.registry import find

    facts = results.attributes
    name = facts.get("study", facts.get("kind"))  # results of before know their `kind` alone
    places = [facts.get("study_folder"), Path.cwd(), shipped_root()]
    folders = [Path(place) for place in places if place is not None and Path(place).is_dir()]
    try:
        found = find(name, folders, "study")
        if isinstance(found, type) and issubclass(found, AbstractStudy):
            return found, ""
        why = f"study = {name}: is no study"
    except UserError as error:
        why = one_line(error)
    return AbstractStudy, (
        "its study cannot be imported here, so that figures and tables of its own are left out "
        f"({why})."
    )
