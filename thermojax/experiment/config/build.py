"""From a checked config to objects: the constructors have the last word."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..errors import UserError, one_line, own_traceback, raised_in_library
from .model import Part, signature_of
from .read import Config
from .words import article


def build(config: Config, part: Part) -> Any:
    """The object of a part, after those that it is made of.

    **Raises:** UserError, naming file, line and key, for what its constructor refuses.
    """
    given = {name: ready(config, value) for name, value in part.arguments.items()}
    try:
        thing = part.make(**given)
    except Exception as error:
        raise refusal(config, part, error) from None
    if part.wanted is not None and not isinstance(thing, part.wanted):
        key, name = part.values.dotted("kind"), signature_of(part.make).name
        expected, found = article(part.wanted.__name__), article(type(thing).__name__)
        raise config.error(key, f"{key} = {name}: expected {expected}, found {found}")
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


def refusal(config: Config, part: Part, error: Exception) -> UserError:
    """The error of a constructor with the config key it is about, as far as it says so."""
    written = isinstance(error, UserError)  # in our words, perhaps with a place of its own
    if not written and os.environ.get("THERMOJAX_TRACEBACK"):
        raise error
    message = one_line(error)
    detail = error.detail if isinstance(error, UserError) else own_traceback(error)
    if isinstance(error, ValueError) and not raised_in_library(error):
        detail = ""  # the sentence was written for the user
    start = re.match(r"([A-Za-z_][\w.]*)(\[[^\]]*\])? ?(=|has|is|reach)", message)
    if start and start[1].split(".")[0] in part.arguments:
        return config.error(part.values.dotted(start[1]), part.values.dotted(message), detail)
    if written:  # of another file, such as one with data
        return UserError(message, detail)
    if not isinstance(error, ValueError | TypeError):
        message = f"{type(error).__name__}: {message}"
    key = part.values.key
    return config.error(key, f"{key or signature_of(part.make).name}: {message}", detail)
