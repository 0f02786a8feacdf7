"""The values that an argument takes, in words, from its JSON schema."""

from __future__ import annotations

from typing import Any

AXES = "x-axes"  # in a schema: an array of this shape, as in jaxtyping
WANTED = "x-wanted"  # in a schema: an object of this class
LIMITS = {
    "exclusiveMinimum": "above {:g}",
    "minimum": "{:g} or more",
    "exclusiveMaximum": "below {:g}",
    "maximum": "{:g} at most",
}


def words_of(schema: dict[str, Any]) -> str:
    """The values that a JSON schema takes, for the end of `expected ...`; empty for any."""
    if AXES in schema:
        axes, number = axes_in(schema[AXES]), limited("a number", limits_in(schema))
        plain = number == "a number"
        if axes is None:
            return number + (" or a list of numbers" if plain else ", or a list")
        shape = ", ".join(axes) + ("," if len(axes) == 1 else "")
        lists = f"{'lists' if len(axes) > 1 else 'a list'} of numbers, of shape ({shape})"
        return number if not axes else lists if plain else f"{lists}, each {number}"
    if "description" in schema:
        return limited(schema["description"], limits_in(schema))
    if "anyOf" in schema:
        return " or ".join(filter(None, dict.fromkeys(map(words_of, schema["anyOf"]))))
    if WANTED in schema:
        return article(schema[WANTED].__name__)
    if options := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return f"one of {', '.join(map(repr, options))}"
    if schema.get("type") == "array":
        each = words_of(schema.get("items") or next(iter(schema.get("prefixItems", [])), {}))
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


def axes_in(shape: str) -> list[str] | None:
    """The names of the axes of a shape; None where their number is free."""
    axes = shape.split()
    return None if any(axis[0] in "*.#" for axis in axes) else axes
