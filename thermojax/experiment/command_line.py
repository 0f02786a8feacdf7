"""Commands as a run prints them: whole, so that they work as they stand, from any folder."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from .errors import UserError, shortened

LONGEST = 255  # bytes in the name of a file, of nearly all file systems


def program() -> str:
    """The call of this installation in a shell: its name where that is found, else its path."""
    found = shutil.which("thermojax")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return "thermojax"
    called = Path(sys.argv[0])
    if called.name == "thermojax" and called.is_file():  # from a folder that is not searched
        return shlex.quote(os.path.abspath(called))
    return f"{shlex.quote(sys.executable)} -m thermojax"


def command(*words: str) -> str:
    """A command of thermojax, each word quoted where a shell needs it."""
    return " ".join([program(), *map(shlex.quote, words)])


def resume_command(folder: str | Path) -> str:
    return command("resume", os.path.abspath(folder))


def report_command(folder: str | Path) -> str:
    return command("report", os.path.abspath(folder))


def refuse_long(path: str | Path) -> None:
    """UserError for a name that no file system takes, before the system says so in its own way."""
    for name in Path(path).parts:
        if len(os.fsencode(name)) > LONGEST:
            raise UserError(
                f"{shortened(name)}: a name of {len(name)} characters: expected a file or a folder "
                f"whose name has {LONGEST} bytes at most"
            )
        if "\0" in name:
            raise UserError(
                f"{shortened(repr(name))}: holds a null character: expected a file or a folder"
            )
