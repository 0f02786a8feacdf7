"""From a checked config to objects: the constructors have the last word."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..errors import UserError, one_line, own_traceback, raised_in_library
from .model import Part
from .read import Config
from .words import article


def build(config: Config, part: Part) -> Any:
    """The object of a part, after those that it is made of.

    **Raises:** UserError, naming file, line and key, for what its constructor refuses.
    """
    prefix = f"{part.key}." if part.key else ""
    given = {name: ready(config, value) for name, value in part.arguments.items()}
    title = getattr(part.make, "__qualname__", str(part.make))
    try:
        thing = part.make(**given)
    except UserError as error:
        raise named(config, error, prefix, given) from None
    except (ValueError, TypeError) as error:
        raise named(config, error, prefix, given, title) from None
    except Exception as error:
        said = f"{part.key or title}: {type(error).__name__}: {one_line(error)}"
        raise config.error(part.key, said, own_traceback(error)) from None
    if part.wanted is not None and not isinstance(thing, part.wanted):
        raise config.error(
            prefix + "kind",
            f"{prefix}kind = {title}: expected {article(part.wanted.__name__)}, found "
            f"{article(type(thing).__name__)}",
        )
    return thing


def ready(config: Config, value: Any) -> Any:
    """An argument as the constructor gets it."""
    if isinstance(value, Part):
        return build(config, value)
    if isinstance(value, Path):
        return as_seen(config, value)
    if isinstance(value, list | tuple):
        return type(value)(ready(config, x) for x in value)
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
