"""From config values to objects: every mapping with a `kind` becomes an instance of it."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np

from .._component import Numbers
from .config import Config
from .errors import UserError, nearest, one_line
from .registry import find

# An annotation that takes any number says less than that of the field it fills.
LOOSE = (Any, Numbers, Numbers | None)


class Unfit(Exception):
    """A value that does not have the wanted type; the message says what was expected."""


def build(config: Config, reserved: tuple[str, ...] = ()) -> Any:
    """The object that a whole config describes; top-level keys in `reserved` are left alone.

    **Raises:** UserError, naming file, line and key, for anything that does not fit.
    """
    values = {key: value for key, value in config.values.items() if key not in reserved}
    if "kind" not in values:
        raise UserError(
            f"{config.file}: missing key 'kind': expected kind: package.module:Class of the study"
        )
    return construct(config, values, "", None)


def construct(config: Config, values: dict[str, Any], path: str, wanted: Any) -> Any:
    """An instance from a mapping: of its `kind`, or else of the class that is wanted there."""
    prefix = f"{path}." if path else ""
    for name in values:
        if not isinstance(name, str):
            raise config.error(path, f"the key {name!r} is no text: quote it")
    kind = wanted
    if "kind" in values:
        place = f"{config.where(prefix + 'kind')}: {prefix}kind"
        kind = find(values["kind"], config.folders, place)
        if inspect.isclass(kind) and inspect.isabstract(kind):
            raise config.error(
                prefix + "kind", f"{prefix}kind = {values['kind']}: abstract, choose a subclass"
            )
    given = {name: value for name, value in values.items() if name != "kind"}
    parameters, hints = parameters_of(kind)
    title = getattr(kind, "__qualname__", str(kind))
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in given:
            if name not in parameters:
                taken = ", ".join(parameters) or "no arguments"
                raise config.error(
                    prefix + name,
                    f"unknown key '{prefix}{name}': {title} takes {taken}"
                    f"{nearest(name, parameters)}",
                )
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if needed and name not in given:
            raise config.error(
                path, f"missing key '{prefix}{name}': {title} needs it{described(hints.get(name))}"
            )
    arguments = {
        name: convert(config, value, prefix + name, hints.get(name), parameters.get(name))
        for name, value in given.items()
    }
    try:
        return kind(**arguments)
    except UserError as error:
        raise named(config, str(error), prefix, given) from None
    except (ValueError, TypeError) as error:
        raise named(config, f"{one_line(error)}", prefix, given, title) from None


def named(config, message: str, prefix: str, given, title: str | None = None) -> UserError:
    """The error of a constructor with the config key it is about, as far as it says so."""
    start = re.match(r"([A-Za-z_][\w.]*)(\[[^\]]*\])? ?(=|has|is|reach)", message)
    if start and start[1].split(".")[0] in given:
        return config.error(prefix + start[1], prefix + message)
    if title is None:  # a UserError that speaks of a place of its own, such as a data file
        return UserError(message)
    return config.error(prefix.rstrip("."), f"{prefix.rstrip('.') or title}: {message}")


def parameters_of(kind: Any) -> tuple[dict[str, inspect.Parameter], dict[str, Any]]:
    """The arguments of a class or function, and their types where these are stated.

    Equinox modules have a `__call__` on their metaclass: the signature is that of `__init__`.
    """
    function = kind.__init__ if inspect.isclass(kind) else kind
    parameters = dict(inspect.signature(function).parameters)
    if inspect.isclass(kind):
        parameters.pop("self", None)
        if kind.__init__ is object.__init__:
            parameters = {}
    hints: dict[str, Any] = {}
    for source in (function, kind):
        try:
            found = typing.get_type_hints(source)
        except Exception:  # a name known to type checkers only: then the value is not checked
            found = {}
        said = {name: hint for name, hint in found.items() if hint not in LOOSE}
        hints = {**said, **hints}
    return parameters, hints


def convert(config: Config, value: Any, key: str, hint: Any, parameter: Any = None) -> Any:
    """`value` as what the signature asks for there; nested mappings are built."""
    # A default that is a number says that numbers are meant, where no annotation does.
    plain = hint is None or hint is Any
    if plain and parameter is not None and type(parameter.default) in (int, float):
        hint = Numeric
    try:
        return fit(config, value, key, hint)
    except Unfit as error:
        raise config.error(key, f"{key} = {shown(value)}: expected {error}") from None


class Numeric:
    """Stands for an annotation of numbers or arrays: numbers, lists of them, or a `kind`."""


def fit(config: Config, value: Any, key: str, hint: Any) -> Any:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return fit_any(config, value, key, options)
    if origin is typing.Literal:
        if value not in options:
            raise Unfit(f"one of {', '.join(map(repr, options))}{nearest(value, options)}")
        return value
    if isinstance(value, dict):
        if "kind" in value:
            made = construct(config, value, key, None)
            if inspect.isclass(hint) and is_component(hint) and not isinstance(made, hint):
                raise Unfit(f"a {hint.__name__}")
            return made
        if inspect.isclass(hint) and is_component(hint):
            if inspect.isabstract(hint):
                raise config.error(key, f"missing key '{key}.kind': expected a {hint.__name__}")
            return construct(config, value, key, hint)
        if origin is dict or hint is dict:
            return value
        raise Unfit(f"{wanted(hint)}; a mapping here needs a key 'kind'")
    if hint in SCALARS:
        return SCALARS[hint](config, value)
    if isinstance(value, list):
        if hint in (None, Any, Numeric, list, tuple) or origin in (list, tuple) or is_array(hint):
            inner = options[0] if origin in (list, tuple) and options else None
            inner = Numeric if inner is None and (hint is Numeric or is_array(hint)) else inner
            items = [fit(config, x, f"{key}.{i}", inner) for i, x in enumerate(value)]
            if inner is Numeric and all(not hasattr(x, "__dict__") for x in items):
                return as_array(items)
            return tuple(items) if origin is tuple or hint is tuple else items
        raise Unfit(wanted(hint))
    if hint is Numeric or is_array(hint):
        if value is None or isinstance(value, str | bool):
            raise Unfit("a number or a list of numbers")
    elif inspect.isclass(hint) and is_component(hint):
        raise Unfit(f"a {hint.__name__}: a mapping with its settings")
    return value


def fit_any(config: Config, value: Any, key: str, options) -> Any:
    """The first member of a union that takes the value."""
    if value is None and type(None) in options:
        return None
    members = [option for option in options if option is not type(None)]
    problems = []
    for option in members:
        try:
            return fit(config, value, key, option)
        except Unfit as error:
            problems.append(str(error))
    raise Unfit(" or ".join(dict.fromkeys(problems)))


def is_component(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint)


def is_array(hint: Any) -> bool:
    return "jaxtyping" in getattr(type(hint), "__module__", "") or hasattr(hint, "array_type")


def as_array(items: list) -> np.ndarray:
    """Numbers, or lists of one length: an array, so that nobody takes it for a pytree."""
    try:
        return np.asarray(items)
    except ValueError:
        raise Unfit("lists of one length") from None


def as_float(config: Config, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit("a number")
    return float(value)


def as_int(config: Config, value: Any) -> int:
    whole = isinstance(value, float) and value.is_integer()  # 1e4 is a number of paths
    if isinstance(value, bool) or not (isinstance(value, int) or whole):
        raise Unfit("a whole number")
    return int(value)


def as_bool(config: Config, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("true or false")
    return value


def as_text(config: Config, value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("text")
    return value


def as_path(config: Config, value: Any) -> Path:
    """A file as the user sees it: from the working folder, the config's, or its parent."""
    path = Path(as_text(config, value)).expanduser()
    for folder in config.folders:
        if (folder / path).exists():
            return path if folder == Path.cwd() else folder / path
    return path


SCALARS: dict[Any, Any] = {
    float: as_float,
    int: as_int,
    bool: as_bool,
    str: as_text,
    Path: as_path,
}
NAMES = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def wanted(hint: Any) -> str:
    if hint is Numeric or is_array(hint):
        return "a number or a list of numbers"
    return NAMES.get(hint) or (
        "a file name" if hint is Path else f"a {getattr(hint, '__name__', 'value')}"
    )


def described(hint: Any) -> str:
    return f" ({NAMES[hint]})" if hint in NAMES else ""


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
