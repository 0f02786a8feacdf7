"""`thermojax init`: a folder with a config and a potential to start from."""

from __future__ import annotations

import argparse

from .arguments import Parser

PARSER = Parser("init", "Write a starter config and a starter potential that run as they are.")
PARSER.add_argument("name", metavar="NAME", help="a new folder")


def execute(options: argparse.Namespace) -> None:
    from ..experiment.command_line import command
    from ..experiment.config.starter import write_starter

    config, potential = write_starter(options.name)
    print(f"Written: {config}, {potential}\nNext: {command('run', str(config))}")
