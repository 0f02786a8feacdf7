"""A JSON schema of configs, from the registered kinds and their signatures, for editors."""

from __future__ import annotations

from typing import Any

from .hints import (
    Choice,
    Hint,
    Instance,
    ListOf,
    Mapping,
    Nothing,
    Numbers,
    Scalar,
    Union,
)
from .registry import KINDS, describe
from .signatures import Argument, Signature

DRAFT = "https://json-schema.org/draft/2020-12/schema"
OWN = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"  # package.module:Class
# `${a.b}` stands for a value elsewhere in the config, of any type.
INTERPOLATION: dict[str, Any] = {"type": "string", "pattern": r"\$\{.*\}"}
BOUNDS = {">": "exclusiveMinimum", ">=": "minimum", "<": "exclusiveMaximum", "<=": "maximum"}
SCALARS = {"float": "number", "int": "integer", "bool": "boolean", "str": "string"}
SCALARS |= {"path": "string"}

RUN_SETTINGS: dict[str, Any] = {
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1, "default": 0},
    "precision": {"enum": ["float32", "float64"], "default": "float32"},
    "defaults": {
        "description": "Files to include, relative to this one; this file wins over them.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    },
}


def config_schema() -> dict[str, Any]:
    """The schema of a whole config: JSON Schema, draft 2020-12.

    The kinds of the registry are described in full; for `package.module:Class` any settings are
    allowed, since only a run knows that class.
    """
    found: dict[str, Any] = {}
    for family in KINDS.values():
        for name in family:
            signature = describe(name, [])
            found[name] = object_schema(signature, kind=name)
            note_parts(signature, found)
    studies = [ref(name) for name in KINDS.get("study", {})]
    own = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string", "pattern": OWN}, **RUN_SETTINGS},
    }
    included = {"type": "object", "required": ["defaults"]}  # the rest is in the other file
    for name in KINDS.get("study", {}):
        found[name]["properties"] |= RUN_SETTINGS
    return {
        "$schema": DRAFT,
        "title": "A thermojax experiment",
        "type": "object",
        "anyOf": [*studies, own, included],
        "$defs": found,
    }


def note_parts(signature: Signature, found: dict[str, Any]) -> None:
    """Add the classes that are asked for by name, such as settings without a kind."""
    for argument in signature.arguments.values():
        for option in members(argument.hint):
            if isinstance(option, Instance) and option.target not in found:
                inner = describe(option.target, [])
                if not inner.missing:
                    found[option.target] = object_schema(inner, None)
                    note_parts(inner, found)


def members(hint: Hint) -> list[Hint]:
    """A type and all that it is made of."""
    inner = hint.options if isinstance(hint, Union) else ()
    inner = (hint.item,) if isinstance(hint, ListOf) else inner
    return [hint, *(found for part in inner for found in members(part))]


def object_schema(signature: Signature, kind: str | None) -> dict[str, Any]:
    """A mapping with the arguments of a signature as its keys."""
    properties = {a.name: argument_schema(a) for a in signature.arguments.values()}
    needed = [a.name for a in signature.arguments.values() if a.default is None]
    if kind is not None:
        properties = {"kind": {"const": kind}, **properties}
        needed = ["kind", *needed]
    return {
        "type": "object",
        "description": signature.summary,
        "properties": properties,
        "required": needed,
        "additionalProperties": signature.open,
    }


def argument_schema(argument: Argument) -> dict[str, Any]:
    said = "required" if argument.default is None else f"default {argument.default}"
    return {
        "description": f"{argument.hint.words()}; {said}",
        "anyOf": [*options(argument.hint), INTERPOLATION],
    }


def options(hint: Hint) -> list[dict[str, Any]]:
    """The schemas that a value may satisfy."""
    match hint:
        case Union():
            return [schema for option in hint.options for schema in options(option)]
        case Nothing():
            return [{"type": "null"}]
        case Choice():
            return [{"enum": list(hint.options)}]
        case Scalar():
            return [{"type": SCALARS[hint.kind], **limits(hint)}]
        case Numbers():
            # Schedules stand for numbers too, as those of a bath do.
            schedule = {"type": "object", "required": ["kind"]}
            return [*arrays(hint), *([schedule] if hint.axes is None else [])]
        case ListOf():
            return [{"type": "array", "items": {"anyOf": [*options(hint.item), INTERPOLATION]}}]
        case Mapping():
            return [{"type": "object"}]
        case Instance():
            return instances(hint)
    return [{}]


def limits(hint: Hint) -> dict[str, float]:
    return {BOUNDS[sign]: bound for sign, bound in hint.limits}


def arrays(hint: Numbers) -> list[dict[str, Any]]:
    """A number, or lists of numbers as deep as the shape says."""
    number: dict[str, Any] = {"type": "number", **limits(hint)}
    depths = range(4) if hint.axes is None else [len(hint.axes)]
    found = []
    for depth in depths:
        schema = number
        for _ in range(depth):
            schema = {"type": "array", "items": {"anyOf": [schema, INTERPOLATION]}}
        found.append(schema)
    return found


def instances(hint: Instance) -> list[dict[str, Any]]:
    """The registered kinds that are such an object, the class itself, and classes of one's own."""
    fitting = [
        ref(name)
        for family in KINDS.values()
        for name in family
        if hint.target in (describe(name, []).bases or ())
    ]
    itself = [] if describe(hint.target, []).missing else [ref(hint.target)]
    return [*fitting, *itself, ref("own")]


def ref(name: str) -> dict[str, Any]:
    if name == "own":
        kind = {"type": "string", "pattern": OWN}
        return {"type": "object", "required": ["kind"], "properties": {"kind": kind}}
    return {"$ref": f"#/$defs/{name}"}
