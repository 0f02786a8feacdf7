"""Command lines read by argparse, its complaints made one sentence."""

from __future__ import annotations

import argparse
from typing import NoReturn

from ..experiment.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UserError instead of printing its usage and leaving."""

    def __init__(self, command: str, description: str):
        super().__init__(f"thermojax {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")

    def read(self, arguments: list[str]) -> argparse.Namespace | None:
        """The arguments, options allowed anywhere; None where help was asked for and shown."""
        if "-h" in arguments or "--help" in arguments:
            self.print_help()
            return None
        return self.parse_intermixed_args(arguments)
