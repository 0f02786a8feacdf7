"""`thermojax init`: a folder with a config and a potential to start from."""

from __future__ import annotations

from .arguments import Parser


def init(arguments: list[str]) -> int:
    parser = Parser("init", "Write a starter config and a starter potential that run as they are.")
    parser.add_argument("name", metavar="NAME", help="a new folder")
    options = parser.read(arguments)
    if options is None:
        return 0
    from ..experiment.command_line import command
    from ..experiment.config.starter import write_starter

    config, potential = write_starter(options.name)
    print(f"Written: {config}, {potential}\nNext: {command('run', str(config))}")
    return 0
