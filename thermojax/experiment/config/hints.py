"""The annotation of an argument, as pydantic checks a config against it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
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

from ..._component import are_numbers
from .words import AXES, WANTED, axes_in
from .yaml_file import Word

ARRAYS = (jax.Array, np.ndarray, AbstractArray)
FREE = "..."  # the shape of arrays with any number of axes
DEEPEST_LIST = 3  # axes of such
WITHOUT = ("builtins", "collections.abc", "typing", "jaxtyping")  # whose classes ask for nothing
KIND = "kind"  # the error of a mapping where no class says what it is
MAPPING = "mapping"  # of a value that is none, where an object is expected
SHAPE = "shape"  # of lists of several lengths


def checkable(note: Any, shape: str = FREE) -> Any:
    """The type by which pydantic checks an argument; one that takes anything for what it is not.

    Numbers are strict (a text is none, nor is true), 1e4 counts as whole, lists of numbers become
    arrays, and a mapping becomes an object of the class that the annotation names: the mapping
    makes it, of its own `kind` where none is named.

    **Arguments:** `shape`, that of numbers which do not say theirs, as in jaxtyping.
    """
    outer, inner = get_origin(note), get_args(note)
    again = lambda x: checkable(x, shape)
    notes: tuple = ()
    if outer is Annotated:
        notes, note = note.__metadata__, inner[0]
        outer, inner = get_origin(note), get_args(note)
        if note is Any:  # in a range
            note = jax.Array
    if (found := shape_of(note, shape)) is not None:
        union = inner if outer in (Union, UnionType) else ()
        return either((array(found, notes), *(again(x) for x in union if not is_number(x))))
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
    return an_object(note) if named and note.__module__ not in WITHOUT else ANYTHING


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


def array(shape: str, notes: tuple) -> Any:
    """Numbers in lists as deep as there are axes; objects too (schedules) where that is free."""
    axes = axes_in(shape)
    leaf = either(Annotated[(kind, Strict(), *notes)] for kind in (int, float))
    kinds = [either((leaf, an_object(None))) if axes is None else leaf]
    for _ in range(DEEPEST_LIST if axes is None else len(axes)):
        kinds.append(list[kinds[-1]])
    kinds[1:] = [Annotated[kind, AfterValidator(numbers_as_array)] for kind in kinds[1:]]
    said = Field(json_schema_extra={AXES: shape})
    return Annotated[either(kinds) if axes is None else kinds[-1], BeforeValidator(even), said]


def an_object(wanted: type | None) -> Any:
    """An object of a class, written as a mapping with its `kind` and its arguments."""

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            raise PydanticCustomError(MAPPING if wanted else KIND, "a mapping with its settings")
        return value.made(wanted)  # pyright: ignore - every mapping of a config can

    schema = {"type": "object", "required": ["kind"]} if wanted is None else {WANTED: wanted}
    return Annotated[Any, PlainValidator(made), WithJsonSchema(schema)]


def as_it_is(value: Any) -> Any:
    if isinstance(value, list):
        return [as_it_is(x) for x in value]
    if isinstance(value, dict):
        return value.made(None)  # pyright: ignore - as above
    return without_words(value)


# Whatever comes, as it is; a mapping with a kind as an object.
ANYTHING: Any = Annotated[Any, PlainValidator(as_it_is), WithJsonSchema({})]


def even(value: Any) -> Any:
    """Lists, nested ones too, of one length each."""
    try:
        np.asarray(value if isinstance(value, list) else 0)
    except ValueError:
        raise PydanticCustomError(SHAPE, "lists of one length") from None
    return value


def numbers_as_array(value: list) -> Any:
    """Lists of numbers as one array, which nobody takes for a pytree; those of objects as lists."""
    return np.asarray(value) if are_numbers(value) else value


def as_whole(value: Any) -> Any:
    """1e4 is a number of paths too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_seen(path: Path, info) -> Path:
    return info.context.as_seen(path)  # a `Config`


def as_truth(value: Any) -> Any:
    return value.truth if isinstance(value, Word) else value


def words_in(value: Any) -> list[Word]:
    """The words of a value that have two readings."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, Word) else [word for x in inner for word in words_in(x)]


def without_words(value: Any) -> Any:
    """The value. **Raises:** UserError where it holds a word that has two readings."""
    for word in words_in(value):
        raise word.refusal()
    return value


SCALARS: dict[Any, tuple] = {  # type, words, and what is done before
    float: (Annotated[float, Strict()], "a number"),
    int: (Annotated[int, Strict()], "a whole number", as_whole),
    bool: (Annotated[bool, Strict()], "true or false", as_truth),
    str: (Annotated[str, Strict()], "text"),
    Path: (Annotated[Path, AfterValidator(as_seen)], "a file name"),
}
