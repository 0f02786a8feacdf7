"""The command `thermojax`: every mistake of a user ends in one sentence and exit code 2."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

from ..experiment.errors import UserError, nearest, one_line, own_traceback

USAGE = """\
usage: thermojax COMMAND ...

  run CONFIG [key=value ...] [--out DIR]   run the study that a config file describes
  resume DIR                               continue a run that was interrupted or killed
  sweep CONFIG key=value,value ...         run a grid; again: only what is missing of it
  compare DIR DIR ...                      the settings in which runs differ, and their numbers
  report DIR [--svg] [--pdf] [--animate]   the report again, from the stored results alone
  check package.module:MyPotential         say what is wrong with a potential
  init NAME                                a new folder with a config and a potential to start from
  list [KIND]                              what a config can name, and the shipped configs
  demo [--port N] [--no-browser]           a live page of driven systems, on this machine alone
  schema                                   a JSON schema of configs, for editors
  --version, --help                        `thermojax COMMAND --help` says more
"""


# Each has a file of its name that holds its `PARSER`, and `execute`, which does it.
COMMANDS = (
    "run",
    "resume",
    "sweep",
    "compare",
    "report",
    "check",
    "init",
    "list",
    "demo",
    "schema",
)
TRACEBACK = "  set THERMOJAX_TRACEBACK=1 to see where this comes from"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. **Returns:** 0; 2 for a user's mistake; 1 for an error that nobody
    foresaw; 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.closed:
            stream.reconfigure(errors="replace")  # a console without ± still shows the numbers
    try:
        dispatch(arguments)
        return 0
    except UserError as error:
        print(f"thermojax: {error}", file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone, as in `thermojax list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # Not foreseen: ours, or that of a class of the user's; said as shortly as a mistake.
        if os.environ.get("THERMOJAX_TRACEBACK") or "--verbose" in arguments:
            raise
        print(f"thermojax: {type(error).__name__}: {one_line(error)}", file=sys.stderr)
        print(own_traceback(error) or TRACEBACK, file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\nthermojax: {stop or 'interrupted'}", file=sys.stderr)
        return 130
    finally:
        if (own_code := sys.modules.get("thermojax.experiment.config.own_code")) is not None:
            own_code.put_away()


def open_standard_streams() -> None:
    """Give numbers 0 to 2 of files, where a shell has closed them (`2>&-`), to nothing.

    The next file to be opened would get such a number, and what libraries in C say on standard
    error would be written into it: into a checkpoint, for example.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)


def dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
    elif arguments[0] in ("-V", "--version"):
        from ..version import __version__

        print(f"thermojax {__version__}")
    elif (name := arguments[0]) in COMMANDS:
        file = "kinds" if name == "list" else name  # a module `list` would hide Python's own here
        command = importlib.import_module(f".{file}", __name__)
        options = command.PARSER.read(arguments[1:])
        if options is not None:
            command.execute(options)
    else:
        raise UserError(
            f"no command '{name}': expected one of {', '.join(COMMANDS)}{nearest(name, COMMANDS)}"
        )
