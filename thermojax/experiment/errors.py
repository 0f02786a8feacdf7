"""Mistakes of a user, each said in one sentence."""

from __future__ import annotations

import difflib
import linecache
import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# The user's own files are those outside of these.
OURS = (str(Path(__file__).resolve().parents[1]) + os.sep, "<frozen", "<string>")
FRAMES = 3  # of the user's own, the innermost


class UserError(Exception):
    """A mistake in a config, a data file or a command: its message is all that is shown.

    The message is one sentence with the place, the value, what was expected and the cure.
    `detail` holds further lines: where in the user's own code an exception came from.
    """

    def __init__(self, message: str, detail: str = ""):
        super().__init__(message)
        self.detail = detail


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no valid name is near."""
    options = sorted({str(option) for option in names})
    lowered = {option.lower(): option for option in options}
    found = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean '{lowered[found[0]]}'?" if found else ""


def one_line(error: BaseException | str) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def shortened(text: str, length: int = 60) -> str:
    """A text in one line, its end left out where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def raised_in_library(error: BaseException) -> bool:
    """Whether neither the user's code nor ours raised an error, but a library that was called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(libraries())


def libraries() -> tuple[str, ...]:
    return tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")})


def own_frames(error: BaseException) -> list[tuple[str, int, str]]:
    """(file, line, function) of the frames in the user's own code, from the outermost."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith((*OURS, *libraries())):
            frames.append((code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return frames


def own_traceback(error: BaseException) -> str:
    """The last few frames in the user's own code as Python shows them; empty without any."""
    lines = []
    for file, line, function in own_frames(error)[-FRAMES:]:
        lines.append(f'  File "{file}", line {line}, in {function}')
        if source := linecache.getline(file, line).strip():
            lines.append(f"    {source}")
    return "\n".join(lines)
