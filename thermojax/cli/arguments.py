"""Command lines read by argparse, its complaints made one sentence."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from ..experiment.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UserError instead of printing its usage and leaving.

    **Arguments:** `signed`, the options whose value may begin with a minus: `--position -1,0`.
    """

    def __init__(self, command: str, description: str, signed: tuple[str, ...] = ()):
        super().__init__(f"thermojax {command}", description=description, allow_abbrev=False)
        self.signed = signed

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")

    def read(self, arguments: list[str]) -> argparse.Namespace | None:
        """The arguments, options allowed anywhere; None where help was asked for and shown.

        **Returns:** them by their names, and as they were given: `words`.
        """
        if "-h" in arguments or "--help" in arguments:
            self.print_help()
            return None
        words: list[str] = []
        for word in arguments:
            if words and words[-1] in self.signed and re.match("-[^-]", word):
                words[-1] += f"={word}"  # or argparse would take it for an option
            else:
                words.append(word)
        return self.parse_intermixed_args(words, argparse.Namespace(words=arguments))
