"""From a plan to objects: kinds are imported, and their constructors have the last word."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

from ..errors import UserError, one_line, own_traceback, raised_in_library
from .hints import article
from .plan import Array, Part, plan
from .read import Config
from .registry import find


def build(config: Config, reserved: tuple[str, ...] = ()) -> Any:
    """The object that a whole config describes; top-level keys in `reserved` are left alone.

    **Raises:** UserError, naming file, line and key, for anything that does not fit.
    """
    return made(config, plan(config, reserved))


def made(config: Config, part: Part) -> Any:
    """The object of a part, after those that it is made of."""
    prefix = f"{part.path}." if part.path else ""
    place = f"{config.where(prefix + 'kind')}: {prefix}kind"
    kind = find(part.kind, config.folders, place)
    arguments = {
        name: ready(config, value, f"{prefix}{name}") for name, value in part.arguments.items()
    }
    title = getattr(kind, "__qualname__", str(kind))
    try:
        thing = kind(**arguments)
    except UserError as error:
        raise named(config, error, prefix, arguments) from None
    except (ValueError, TypeError) as error:
        raise named(config, error, prefix, arguments, title) from None
    except Exception as error:
        said = f"{prefix.rstrip('.') or title}: {type(error).__name__}: {one_line(error)}"
        raise config.error(prefix.rstrip("."), said, own_traceback(error)) from None
    if part.wanted is not None:
        wanted = find(part.wanted.target, config.folders, place)
        if inspect.isclass(wanted) and not isinstance(thing, wanted):
            raise config.error(
                prefix + "kind",
                f"{prefix}kind = {part.kind}: expected {part.wanted.words()}, found "
                f"{article(type(thing).__name__)}",
            )
    return thing


def ready(config: Config, value: Any, key: str) -> Any:
    """An argument as the constructor gets it."""
    if isinstance(value, Part):
        return made(config, value)
    if isinstance(value, Array):
        import numpy as np

        return np.asarray(value.items)  # so that nobody takes a list of numbers for a pytree
    if isinstance(value, Path):
        return as_seen(config, value)
    if isinstance(value, list | tuple):
        return type(value)(ready(config, x, f"{key}.{i}") for i, x in enumerate(value))
    return value


def as_seen(config: Config, path: Path) -> Path:
    """A file as the user sees it: from the working folder, the config's, or its parent."""
    path = path.expanduser()
    for folder in config.folders:
        if (folder / path).exists():
            return path if folder == Path.cwd() else folder / path
    return path


def named(
    config: Config, error: Exception, prefix: str, given, title: str | None = None
) -> UserError:
    """The error of a constructor with the config key it is about, as far as it says so."""
    message = one_line(error)
    if title is not None and os.environ.get("THERMOJAX_TRACEBACK"):
        raise error
    detail = getattr(error, "detail", "") if title is None else own_traceback(error)
    if isinstance(error, ValueError) and not raised_in_library(error):
        detail = ""  # the sentence was written for the user
    start = re.match(r"([A-Za-z_][\w.]*)(\[[^\]]*\])? ?(=|has|is|reach)", message)
    if start and start[1].split(".")[0] in given:
        return config.error(prefix + start[1], prefix + message, detail)
    if title is None:  # a UserError that speaks of a place of its own, such as a data file
        return UserError(message, detail)
    said = f"{prefix.rstrip('.') or title}: {message}"
    return config.error(prefix.rstrip("."), said, detail)
