"""What a user can have got wrong, said in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a config, a data file or a command: its message is all that is shown.

    The message is one sentence with the place, the value, what was expected and the cure.
    """


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no valid name is near."""
    options = sorted({str(option) for option in names})
    lowered = {option.lower(): option for option in options}
    found = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean '{lowered[found[0]]}'?" if found else ""


def one_line(error: BaseException | str) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
