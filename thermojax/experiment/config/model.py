"""A pydantic model of the constructor of each kind: what a config is checked against."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NotRequired, Required

import jax
from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from ..errors import shortened
from .hints import FREE, checkable, shape_of
from .registry import find, short_names
from .words import article, words_of

OPEN = ("__abstractmethods__", "__abstractvars__", "__abstractclassvars__")


@dataclass(frozen=True)
class Signature:
    """A class or function that a config can name.

    - `defaults`: of each argument, as text; None where it is required.
    - `model`: the mapping of its arguments, for pydantic.
    - `missing`: the abstract members that nobody has filled in.
    """

    name: str
    doc: str
    defaults: dict[str, str | None]
    model: TypeAdapter
    missing: tuple[str, ...]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return self.model.json_schema()

    def words(self, name: str) -> str:
        """The values of an argument, for the end of a sentence; empty for any."""
        return words_of(self.schema["properties"].get(name, {}))

    def explained(self, name: str) -> str:
        """The values of an argument, and its default."""
        default = self.defaults[name]
        said = "required" if default is None else f"default {default}"
        return f"{self.words(name)}; {said}".removeprefix("; ")


@cache
def signature_of(make: Any) -> Signature:
    """The signature of a class or function, asked of its constructor."""
    function = make
    if inspect.isclass(make):
        function = make.__new__ if make.__init__ is object.__init__ else make.__init__
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # of a function in C
        parameters = ()
    home = make if inspect.isclass(make) else getattr(make, "__self__", None)
    fields = notes_of(home) if inspect.isclass(home) else {}
    # A dataclass writes its __init__ with the annotations of other modules.
    notes = {**(fields if inspect.isclass(make) else {}), **notes_of(function)}
    defaults: dict[str, str | None] = {}
    types: dict[str, Any] = {}
    for p in parameters:
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            required = p.default is p.empty
            defaults[p.name] = None if required else shortened(repr(p.default))
            kind = type_of(notes.get(p.name, Any), fields.get(p.name), p.default)
            types[p.name] = Required[kind] if required else NotRequired[kind]
    name = getattr(make, "__qualname__", str(make))
    if inspect.ismethod(make) and inspect.isclass(home):  # perhaps that of a class above
        name = f"{home.__name__}.{make.__name__}"
    extra = "allow" if any(p.kind is p.VAR_KEYWORD for p in parameters) else "forbid"
    model: Any = TypedDict(name, types)  # pyright: ignore - made at run time
    model.__pydantic_config__ = ConfigDict(extra=extra)
    missing = sorted({name for kind in OPEN for name in getattr(make, kind, ())})
    return Signature(name, inspect.getdoc(make) or "", defaults, TypeAdapter(model), tuple(missing))


def type_of(note: Any, field: Any, default: Any) -> Any:
    """The type of an argument. The field that it fills says more of its shape than "numbers"."""
    if note is Any and type(default) in (int, float):  # which says that numbers are meant
        note = jax.Array
    shape = shape_of(field)
    return checkable(note, FREE if shape is None else shape)


def notes_of(thing: Any) -> dict[str, Any]:
    """The annotations that can be evaluated; a name that only type checkers import says nothing."""
    try:
        return typing.get_type_hints(thing, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError):
        pass
    found = {}
    for name, note in getattr(thing, "__annotations__", {}).items():
        alone = type("alone", (), {"__annotations__": {name: note}, "__module__": thing.__module__})
        try:
            found |= typing.get_type_hints(alone, include_extras=True)
        except (NameError, AttributeError, TypeError, SyntaxError):
            continue
    return found


def choices(wanted: type) -> str:
    """`an AbstractPotential, such as Harmonic, ...`, from the registered kinds."""
    fitting = fitting_kinds(wanted)
    if fitting == [wanted.__name__]:
        return article(wanted.__name__)
    such = f", such as {', '.join(fitting[:6])}" if fitting else ""
    return f"{article(wanted.__name__)}{such}, or package.module:Class of your own"


def fitting_kinds(wanted: type) -> list[str]:
    """The registered kinds that are of a class, or make an object of it."""
    return [x for x in short_names() if issubclass(class_made(find(x, [])), wanted)]


def class_made(make: Any) -> type:
    """The class of what a kind makes; `object` where a function does not say."""
    if inspect.isclass(make):
        return make
    found = notes_of(make).get("return")
    home = getattr(make, "__self__", None)
    found = home if found is typing.Self else found
    return found if inspect.isclass(found) else object
