"""The annotation of an argument: as pydantic checks a config against it, and in words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import jax
import numpy as np
from jaxtyping import AbstractArray
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    Strict,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from .yaml_file import Word

ARRAYS = (jax.Array, np.ndarray, AbstractArray)
FREE = "..."  # the shape of arrays with any number of axes
DEEPEST_LIST = 3  # axes of such
WITHOUT = ("builtins", "collections.abc", "typing", "jaxtyping")  # whose classes ask for nothing
KIND = "kind"  # the error of a mapping where no class says what it is
MAPPING = "mapping"  # of a value that is none, where an object is expected
SHAPE = "shape"  # of lists of several lengths
AXES = "x-axes"  # in a JSON schema: an array of this shape, as in jaxtyping
WANTED = "x-wanted"  # in a JSON schema: an object of this class
LIMITS = {
    "exclusiveMinimum": "above {:g}",
    "minimum": "{:g} or more",
    "exclusiveMaximum": "below {:g}",
    "maximum": "{:g} at most",
}

Make = Callable[[dict, type | None, Any], Any]  # (mapping, class or None, config) to object


def checkable(note: Any, make: Make, shape: str = FREE) -> Any:
    """The type by which pydantic checks an argument; one that takes anything for what it is not.

    Numbers are strict (a text is none, nor is true), 1e4 counts as whole, lists of numbers become
    arrays, and a mapping becomes an object of the class that the annotation names.

    **Arguments:** `make`, which turns a mapping into an object of a class, or of its own `kind`
    where that is None; `shape`, that of numbers which do not say theirs, as in jaxtyping.
    """
    outer, inner = get_origin(note), get_args(note)
    again = lambda x: checkable(x, make, shape)
    notes: tuple = ()
    if outer is Annotated:
        notes, note = note.__metadata__, inner[0]
        outer, inner = get_origin(note), get_args(note)
        if note is Any:  # in a range
            note = jax.Array
    if (found := shape_of(note, shape)) is not None:
        union = inner if outer in (Union, UnionType) else ()
        return either((array(found, notes, make), *(again(x) for x in union if not is_number(x))))
    if note in SCALARS:
        kind, words, *before = SCALARS[note]
        return Annotated[(kind, *notes, *map(BeforeValidator, before), Field(description=words))]
    if notes:
        return Annotated[(again(note), *notes)]
    if outer in (Union, UnionType):
        return either(map(again, inner))
    if outer is Literal or note in (None, NoneType):
        return note
    if (outer or note) in (list, Sequence):
        return list[again(inner[0] if inner else Any)]
    if (outer or note) is tuple:
        return tuple[tuple(x if x is ... else again(x) for x in inner or (Any, ...))]
    if (outer or note) in (dict, Mapping):
        return Annotated[dict, AfterValidator(without_words)]
    # A typing.Protocol is no class to ask of an object.
    named = inspect.isclass(note) and not getattr(note, "_is_protocol", False)
    return an_object(note, make) if named and note.__module__ not in WITHOUT else anything(make)


def either(kinds: Iterable) -> Any:
    return Union[tuple(kinds)]  # noqa: UP007


def is_number(note: Any) -> bool:
    """Whether an annotation is that of an array, or of what becomes one."""
    home = getattr(note, "__module__", "").partition(".")[0]
    numpy = inspect.isclass(note) and home in ("numpy", "jax", "jaxlib", "jaxtyping")
    return numpy or note in (bool, int, float, complex) or get_origin(note) is Sequence


def shape_of(note: Any, shape: str = FREE) -> str | None:
    """The shape of an array as jaxtyping writes it, `shape` where it does not say; else None."""
    inner = get_args(note) if get_origin(note) in (Union, UnionType) else (note,)
    arrays = [x for x in inner if inspect.isclass(x) and issubclass(x, ARRAYS)]
    return getattr(arrays[0], "dim_str", shape) if arrays else None


def array(shape: str, notes: tuple, make: Make) -> Any:
    """Numbers in lists as deep as there are axes; objects too (schedules) where that is free."""
    axes = axes_in(shape)
    leaf = either(Annotated[(kind, Strict(), *notes)] for kind in (int, float))
    kinds = [either((leaf, an_object(None, make))) if axes is None else leaf]
    for _ in range(DEEPEST_LIST if axes is None else len(axes)):
        kinds.append(list[kinds[-1]])
    kinds[1:] = [Annotated[kind, AfterValidator(as_array)] for kind in kinds[1:]]
    said = Field(json_schema_extra={AXES: shape})
    return Annotated[either(kinds) if axes is None else kinds[-1], BeforeValidator(even), said]


def axes_in(shape: str) -> list[str] | None:
    """The names of the axes of a shape; None where their number is free."""
    axes = shape.split()
    return None if any(axis[0] in "*.#" for axis in axes) else axes


def an_object(wanted: type | None, make: Make) -> Any:
    """An object of a class, written as a mapping with its `kind` and its arguments."""

    def made(value: Any, info) -> Any:
        if not isinstance(value, dict):
            raise PydanticCustomError(MAPPING if wanted else KIND, "a mapping with its settings")
        return make(value, wanted, info.context)

    schema = {"type": "object", "required": ["kind"]} if wanted is None else {WANTED: wanted}
    return Annotated[Any, PlainValidator(made), WithJsonSchema(schema)]


def anything(make: Make) -> Any:
    """Whatever comes, as it is; a mapping with a kind as an object."""

    def free(value: Any, info) -> Any:
        if isinstance(value, list):
            return [free(x, info) for x in value]
        return make(value, None, info.context) if isinstance(value, dict) else without_words(value)

    return Annotated[Any, PlainValidator(free), WithJsonSchema({})]


def even(value: Any) -> Any:
    """Lists, nested ones too, of one length each."""
    try:
        np.asarray(value if isinstance(value, list) else 0)
    except ValueError:
        raise PydanticCustomError(SHAPE, "lists of one length") from None
    return value


def as_array(value: list) -> Any:
    """Lists of numbers as one array, which nobody takes for a pytree; those of objects as lists."""
    return np.asarray(value) if all_numbers(value) else value


def all_numbers(value: Any) -> bool:
    return (
        all(map(all_numbers, value)) if isinstance(value, list) else isinstance(value, float | int)
    )


def whole(value: Any) -> Any:
    """1e4 is a number of paths too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def truth(value: Any) -> Any:
    return value.truth if isinstance(value, Word) else value


def words_in(value: Any) -> list[Word]:
    """What has two readings in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, Word) else [word for x in inner for word in words_in(x)]


def without_words(value: Any) -> Any:
    """The value. **Raises:** UserError where it holds a word that has two readings."""
    for word in words_in(value):
        raise word.refusal()
    return value


SCALARS: dict[Any, tuple] = {  # type, words, and what is done before
    float: (Annotated[float, Strict()], "a number"),
    int: (Annotated[int, Strict()], "a whole number", whole),
    bool: (Annotated[bool, Strict()], "true or false", truth),
    str: (Annotated[str, Strict()], "text"),
    Path: (Path, "a file name"),
}


def in_words(schema: dict[str, Any]) -> str:
    """What a JSON schema takes, for the end of the sentence `expected ...`; empty for anything."""
    if AXES in schema:
        axes, number = axes_in(schema[AXES]), limited("a number", limits_in(schema))
        if axes is None:
            return (
                f"{number} or a list of numbers" if number == "a number" else f"{number}, or a list"
            )
        several = "lists" if len(axes) > 1 else "a list"
        shape = ", ".join(axes) + ("," if len(axes) == 1 else "")
        each = "" if number == "a number" else f", each {number}"
        return f"{several} of numbers, of shape ({shape}){each}" if axes else number
    if "description" in schema:
        return limited(schema["description"], limits_in(schema))
    if "anyOf" in schema:
        return " or ".join(filter(None, dict.fromkeys(map(in_words, schema["anyOf"]))))
    if WANTED in schema:
        return article(schema[WANTED].__name__)
    if options := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return f"one of {', '.join(map(repr, options))}"
    if schema.get("type") == "array":
        each = in_words(schema.get("items") or next(iter(schema.get("prefixItems", [])), {}))
        return f"a list, each {each}" if each else "a list"
    return "a mapping" if schema.get("type") == "object" else ""


def limited(words: str, limits: dict[str, float]) -> str:
    """`a number` with its range: `a positive number`, `a whole number, 2 or more`."""
    if limits == {"exclusiveMinimum": 0}:
        return f"a positive {words[2:]}"
    said = [LIMITS[sign].format(bound) for sign, bound in limits.items()]
    return f"{words}, {' and '.join(said)}" if said else words


def limits_in(schema: Any) -> dict[str, float]:
    """The range of the numbers in a schema."""
    if isinstance(schema, dict):
        own = {sign: schema[sign] for sign in LIMITS if sign in schema}
        return own or next(filter(None, map(limits_in, schema.values())), {})
    return next(filter(None, map(limits_in, schema)), {}) if isinstance(schema, list) else {}


def article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"
