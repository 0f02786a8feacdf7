"""A pydantic model of the constructor of each kind, and a config checked against it."""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, NotRequired, Required

import jax
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from ..errors import UserError, nearest, shortened
from .hints import FREE, KIND, MAPPING, SHAPE, checkable, shape_of, words_in
from .read import Config
from .registry import find, short_names
from .words import article, words_of

OPEN = ("__abstractmethods__", "__abstractvars__", "__abstractclassvars__")
ORDER = {"extra_forbidden": 0, "missing": 1}
# Errors of pydantic that the words of an argument answer; of the others its message is shown.
ANSWERED = ("_type", "literal_error", "_parsing", "greater_than", "less_than", "none_required")


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


class LocatedMapping(dict):
    """A mapping of a config that knows its dotted key, and so do the mappings in it."""

    def __init__(self, values: dict, key: str = ""):
        self.key = key
        super().__init__((name, located(x, self.dotted(name))) for name, x in values.items())

    def dotted(self, name: Any) -> str:
        """The dotted key of what stands in it under a name."""
        return f"{self.key}.{name}".lstrip(".")


def located(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [located(x, f"{key}.{i}") for i, x in enumerate(value)]
    return LocatedMapping(value, key) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Part:
    """An object to be built: its mapping in the config, what makes it, and its checked arguments.

    `wanted`, the class that is asked for there, which a function may fail to return.
    """

    values: LocatedMapping
    make: Any
    arguments: dict[str, Any]
    wanted: type | None


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


def settings_beside(config: Config, kind: type) -> Any:
    """An object of a class whose arguments stand in a config beside those of its study."""
    own = signature_of(kind).defaults
    values = LocatedMapping({x: config.values[x] for x in own if x in config.values})
    return kind(**part_of(values, kind, config).arguments)


def check_config(config: Config, wanted: type, *others: type) -> Part:
    """A whole config as an object of class `wanted`, checked; nothing is built.

    **Arguments:** `others`, classes whose arguments stand in it too, see `settings_beside`.

    **Raises:** UserError, naming file, line and key, for anything that does not fit.
    """
    taken = {name for other in others for name in signature_of(other).defaults}
    values = LocatedMapping({key: x for key, x in config.values.items() if key not in taken})
    if "kind" not in values:
        raise UserError(
            f"{config.file}: missing key 'kind': expected kind: Driven, or package.module:Class "
            "of a study"
        )
    return part_of(values, wanted, config)


def part_of(values: LocatedMapping, wanted: type | None, config: Config) -> Part:
    """A mapping as an object: of its `kind`, or else of the class that is wanted there."""
    for name in values:
        if not isinstance(name, str):
            raise config.error(values.key, f"the key {name!r} is no text: quote it")
    at, given = values.dotted("kind"), dict(values)
    if "kind" in values:
        kind = given.pop("kind")
        said = f"{at} = {kind}"
        make = find(kind, config.folders, f"{config.where(at)}: {at}")
        signature = signature_of(make)
        if wanted and (found := class_made(make)) is not object and not issubclass(found, wanted):
            raise config.error(at, f"{said}: expected {choices(wanted)}")
        if signature.missing:
            names = ", ".join(signature.missing)
            raise config.error(at, f"{said}: abstract: expected a subclass that defines {names}")
    elif wanted is None:
        raise PydanticCustomError(KIND, "a mapping here needs a key 'kind'")
    else:
        make, signature = wanted, signature_of(wanted)
        if signature.missing:
            raise config.error(values.key, f"missing key '{at}': expected {choices(wanted)}")
    try:
        inner = partial(part_of, config=config)
        arguments = signature.model.validate_python(given, context=inner)
    except ValidationError as error:
        raise mistake(config, signature, values, error) from None
    return Part(values, make, arguments, wanted)


def mistake(
    config: Config, signature: Signature, values: LocatedMapping, error: ValidationError
) -> UserError:
    """The mistake that pydantic has found, in one sentence with its place: unknown keys first."""
    found = error.errors(include_url=False, include_input=False)
    found.sort(key=lambda x: ORDER.get(x["type"], 2))
    kind, name = found[0]["type"], str(found[0]["loc"][0])
    key, taken = values.dotted(name), signature.defaults
    if kind == "extra_forbidden":
        names = ", ".join(taken) or "no arguments"
        said = f"unknown key '{key}': {signature.name} takes {names}"
        return config.error(key, said + nearest(name, taken))
    words = signature.words(name)
    if kind == "missing":
        said = f"missing key '{key}': {signature.name} needs it"
        return config.error(values.key, f"{said} ({words})" if words else said)
    value = values[name]
    for word in words_in(value):
        return word.refusal(words)
    kinds = {x["type"]: x["msg"] for x in found if x["loc"][0] == name}
    if SHAPE in kinds:
        words = kinds[SHAPE]
    elif KIND in kinds and isinstance(value, dict):
        words = f"{words or 'a value'}; {kinds[KIND]}"
    elif MAPPING in kinds:
        words = f"{words}: {kinds[MAPPING]}"
    elif not any(part in one for one in kinds for part in ANSWERED):
        words = f"{words} ({found[0]['msg']})"
    if "literal_error" in kinds:
        words += nearest(str(value), re.findall("'(.*?)'", words))
    said = f"{key} = {shortened(repr(value))}: expected {words}"
    return config.error(key, said + number_in_text(value))


def number_in_text(value: Any) -> str:
    """The end of a sentence, where a text that is a number to people was given for a number."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    written = value if value.isdecimal() else f"{number!r}".replace("inf", ".inf")
    return f", and this is a text to YAML: write {written.replace('nan', '.nan')}"


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
