"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

PART = ".part"  # how the name of a file ends while it is being written


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then give it its name: never a half-written file.

    A process that is killed here leaves at most a file `.NAME.*.part` behind; `file` itself is the
    old one or the new one.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=PART)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last; where a system cannot do that, the content lasts anyway."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def remove_parts(folder: Path, name: str = "*") -> None:
    """Remove what a killed process has left half-written in a folder, of one file or of all.

    Only who owns the folder may do so for all: what another process is writing there has such a
    name too.
    """
    pattern = name if name == "*" else glob.escape(name)
    for file in folder.glob(f".{pattern}.*{PART}"):
        file.unlink(missing_ok=True)
