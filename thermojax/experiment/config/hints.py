"""What an argument takes: its annotation as pydantic checks it, and in words."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import jax
import numpy as np
from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt
from jaxtyping import AbstractArray
from pydantic import AfterValidator, BeforeValidator, PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from .yaml_file import Word

ARRAYS = (jax.Array, np.ndarray, AbstractArray)
ANY = ("builtins", "collections.abc", "typing", "jaxtyping")  # whose classes ask for nothing
RANGES = {
    Gt: ("gt", "above {:g}"),
    Ge: ("ge", "{:g} or more"),
    Lt: ("lt", "below {:g}"),
    Le: ("le", "{:g} at most"),
}
DEEPEST_LIST = 3  # axes of numbers whose shape is not known
MAPPING = "mapping"  # the error of a value that is no mapping, where an object is expected
KIND = "kind"  # that of a mapping where no class says what it is
SHAPE = "shape"  # that of lists of several lengths
KINDS = "x-kinds"  # in a JSON schema: an object of this class, to be replaced by all that fit


class Taken(NamedTuple):
    """What is taken: a type for pydantic, and the end of the sentence `expected ...`."""

    type: Any
    words: str


def taken(note: Any, make, limits: tuple = (), shape: str = "...") -> Taken:
    """What an annotation says is taken; anything where it is not understood.

    **Arguments:** `make(value, wanted, config)`, which turns a mapping into an object of the class
    `wanted`, or of its `kind` where that is None; `limits`, of `annotated_types`, and `shape`, as
    in jaxtyping, for the numbers in it.
    """
    outer, inner = get_origin(note), get_args(note)
    again = lambda x: taken(x, make, limits, shape)
    if outer is Annotated:
        notes = [*flat(note.__metadata__)]
        limits = (*limits, *(x for x in notes if type(x) in RANGES))
        found = taken(inner[0], make, limits, shape)
        others = tuple(x for x in notes if type(x) not in RANGES and isinstance(x, BaseMetadata))
        return Taken(noted(found.type, *others), found.words)
    if (found := shape_of(note, shape)) is not None:
        axes = axes_of(found)
        numbers = array_type(axes, limits, make)
        kind = numbers | None if type(None) in inner else numbers
        return Taken(kind, array_words(axes, limits))
    if note is None or note is type(None):
        return Taken(None, "")
    if outer in (Union, UnionType):
        options = [again(x) for x in inner]
        words = " or ".join(dict.fromkeys(x.words for x in options if x.words))
        kinds = tuple(x.type for x in options)
        return anything(make) if Any in inner else Taken(either(kinds), words)
    if outer is Literal:
        return Taken(note, f"one of {', '.join(map(repr, inner))}")
    if note in SCALARS:
        kind, name = SCALARS[note]
        before = [BeforeValidator(BEFORE[note])] if note in BEFORE else []
        return Taken(noted(kind, *limits, *before), limited(name, limits))
    if (outer or note) in (list, Sequence) and note is not str:
        item = again(inner[0] if inner else Any)
        return Taken(list[item.type], f"a list, each {item.words}" if item.words else "a list")
    if (outer or note) is tuple:
        items = [x if x is ... else again(x).type for x in inner or (Any, ...)]
        words = again(inner[0]).words if inner else ""
        return Taken(tuple[(*items,)], f"a list, each {words}" if words else "a list")
    if (outer or note) in (dict, Mapping):
        return Taken(Annotated[dict, AfterValidator(without_words)], "a mapping")
    if inspect.isclass(note) and note.__module__ not in ANY:
        return Taken(object_type(note, make), article(note.__name__))
    return anything(make, limits, shape)


def anything(make, limits: tuple = (), shape: str = "...") -> Taken:
    """Whatever comes, as it is; a mapping with a kind as an object. With limits: numbers."""
    if limits:
        return taken(jax.Array, make, limits, shape)

    def free(value: Any, info) -> Any:
        if isinstance(value, list):
            return [free(x, info) for x in value]
        return make(value, None, info.context) if isinstance(value, dict) else without_words(value)

    return Taken(Annotated[Any, PlainValidator(free), WithJsonSchema({})], "")


def object_type(wanted: type | None, make) -> Any:
    """An object of a class, written as a mapping with its `kind` and its arguments."""

    def made(value: Any, info) -> Any:
        if not isinstance(value, dict):
            raise PydanticCustomError(MAPPING if wanted else KIND, "a mapping with its settings")
        return make(value, wanted, info.context)

    schema = {"type": "object", "required": ["kind"]} if wanted is None else {KINDS: wanted}
    return Annotated[Any, PlainValidator(made), WithJsonSchema(schema)]


def flat(notes: Sequence) -> list:
    """The notes of an annotation, those that stand for several (`Interval`) taken apart."""
    return [x for n in notes for x in (n if isinstance(n, GroupedMetadata) else (n,))]


def noted(kind: Any, *notes: Any) -> Any:
    return Annotated[(kind, *notes)] if notes else kind


def either(kinds: Iterable) -> Any:
    return Union[tuple(kinds)]  # noqa: UP007


def shape_of(note: Any, shape: str = "...") -> str | None:
    """The axes of an array as jaxtyping writes them, `shape` where it does not say; else None."""
    inner = get_args(note) if get_origin(note) in (Union, UnionType) else (note,)
    arrays = [x for x in inner if inspect.isclass(x) and issubclass(x, ARRAYS)]
    return getattr(arrays[0], "dim_str", shape) if arrays else None


def axes_of(shape: str) -> list[str] | None:
    """The names of the axes; None where their number is free."""
    free = any(axis.startswith(("*", ".", "#")) for axis in shape.split())
    return None if free else shape.split()


def array_type(axes: list[str] | None, limits: tuple, make) -> Any:
    """Numbers in lists as deep as there are axes; objects too (schedules) where that is free."""
    leaf = either(Annotated[(kind, Strict(), *limits)] for kind in (int, float))
    if axes is None:
        leaf = either((leaf, object_type(None, make)))
    depths = range(DEEPEST_LIST + 1) if axes is None else [len(axes)]
    found = []
    for depth in depths:
        kind = leaf
        for _ in range(depth):
            kind = list[kind]
        found.append(Annotated[kind, AfterValidator(as_array)] if depth else kind)
    return Annotated[either(found), BeforeValidator(even)]


def even(value: Any) -> Any:
    """Lists, nested ones too, of one length each."""
    try:
        np.asarray(value if isinstance(value, list) else 0)
    except ValueError:
        raise PydanticCustomError(SHAPE, "lists of one length") from None
    return value


def as_array(value: list) -> Any:
    """Lists of numbers as one array, which nobody takes for a pytree; those of objects as lists."""
    numbers = any(isinstance(x, int | float | list | np.ndarray) for x in value)
    return np.asarray(value) if numbers else value


def whole(value: Any) -> Any:
    """1e4 is a number of paths too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def truth(value: Any) -> Any:
    return value.truth if isinstance(value, Word) else value


def without_words(value: Any) -> Any:
    """The value. **Raises:** UserError where it holds a word that has two readings."""
    for word in words_in(value):
        raise word.refusal()
    return value


def words_in(value: Any) -> list[Word]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, Word) else [word for x in inner for word in words_in(x)]


SCALARS: dict[Any, tuple[Any, str]] = {
    float: (Annotated[float, Strict()], "a number"),
    int: (Annotated[int, Strict()], "a whole number"),
    bool: (Annotated[bool, Strict()], "true or false"),
    str: (Annotated[str, Strict()], "text"),
    Path: (Path, "a file name"),
}
BEFORE = {int: whole, bool: truth}


def array_words(axes: list[str] | None, limits: tuple) -> str:
    if axes is None:
        plain = "a number or a list of numbers"
        return plain if not limits else f"{limited('a number', limits)}, or a list"
    if not axes:
        return limited("a number", limits)
    shape = ", ".join(axes) + ("," if len(axes) == 1 else "")
    each = f", each {limited('', limits)}" if limits else ""
    return f"{'lists' if len(axes) > 1 else 'a list'} of numbers, of shape ({shape}){each}"


def limited(name: str, limits: tuple) -> str:
    """`a number` with its range: `a positive number`, `a whole number, 2 or more`."""
    bounds = [(type(x), getattr(x, RANGES[type(x)][0])) for x in limits]
    if bounds == [(Gt, 0)]:
        return f"{name[:2]}positive {name[2:]}".strip()
    said = " and ".join(RANGES[kind][1].format(bound) for kind, bound in bounds)
    return f"{name}, {said}".removeprefix(", ") if said else name


def article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"
