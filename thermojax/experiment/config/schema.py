"""A JSON schema of configs for editors: pydantic's of each kind, put together."""

from __future__ import annotations

from typing import Any

from .model import Signature, fitting_kinds, signature_of
from .registry import find, short_names
from .words import AXES, WANTED

DRAFT = "https://json-schema.org/draft/2020-12/schema"
OWN = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"  # package.module:Class
OF_ONES_OWN = {"type": "string", "pattern": OWN}
# `${a.b}` stands for a value elsewhere in the config, of any type.
INTERPOLATION = {"type": "string", "pattern": r"\$\{.*\}"}
INCLUDES = {
    "description": "Files to include, relative to this one; this file wins over them.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def config_schema(study: type, *others: type) -> dict[str, Any]:
    """The schema of a whole config: JSON Schema, draft 2020-12.

    The kinds of the registry are described in full; for `package.module:Class` any settings are
    allowed, since only a run knows that class.

    **Arguments:** the class of all studies, and those whose arguments stand beside theirs.
    """
    found: dict[str, Any] = {}
    for name in short_names():
        found[name] = object_schema(signature_of(find(name, [])), name, found)
    beside = {"defaults": INCLUDES}
    for other in others:
        beside |= object_schema(signature_of(other), None, found)["properties"]
    studies = fitting_kinds(study)
    for name in studies:
        found[name]["properties"] |= beside
    own = {"required": ["kind"], "properties": {"kind": OF_ONES_OWN, **beside}}
    included = {"required": ["defaults"]}  # the rest is in the other file
    options = [*map(ref, studies), {"type": "object", **own}, {"type": "object", **included}]
    head = {"$schema": DRAFT, "title": "A thermojax experiment", "type": "object"}
    return {**head, "anyOf": options, "$defs": found}


def object_schema(signature: Signature, kind: str | None, found: dict[str, Any]) -> dict[str, Any]:
    """A mapping with the arguments of a signature as its keys; its parts go to `found`."""
    schema = signature.schema
    first = {} if kind is None else {"kind": {"const": kind}}
    inner = {
        name: {"description": signature.explained(name), **value_schema(x, found)}
        for name, x in schema.get("properties", {}).items()
    }
    return {
        "type": "object",
        "description": signature.doc.strip().split("\n")[0],
        "properties": {**first, **inner},
        "required": [*first, *schema.get("required", [])],
        "additionalProperties": schema.get("additionalProperties", False),
    }


def value_schema(schema: Any, found: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value that may be an interpolation."""
    return {"anyOf": [replaced(schema, found), INTERPOLATION]}


def replaced(schema: Any, found: dict[str, Any]) -> Any:
    """A schema with the classes of objects replaced by the kinds that are of them."""
    if isinstance(schema, list):
        return [replaced(x, found) for x in schema]
    if not isinstance(schema, dict):
        return schema
    if WANTED in schema:
        return {"anyOf": objects(schema[WANTED], found)}
    rest = {k: x for k, x in schema.items() if k not in (AXES, "title", "description")}
    return {
        k: value_schema(x, found) if k == "items" else replaced(x, found) for k, x in rest.items()
    }


def objects(wanted: type, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The registered kinds that are such an object, the class itself, and classes of one's own."""
    signature = signature_of(wanted)
    itself = [] if signature.missing else [wanted.__name__]
    for name in itself:
        if name not in found:
            found[name] = {}  # it may hold objects of its own class
            found[name] = object_schema(signature, None, found)
    own = {"type": "object", "required": ["kind"], "properties": {"kind": OF_ONES_OWN}}
    return [*map(ref, dict.fromkeys([*fitting_kinds(wanted), *itself])), own]


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}
