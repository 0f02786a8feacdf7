"""`thermojax compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path

from .arguments import Parser


def compare(arguments: list[str]) -> int:
    parser = Parser("compare", "The settings in which runs differ against their numbers.")
    parser.add_argument("folders", metavar="DIR", nargs="+", help="output folders of runs")
    options = parser.read(arguments)
    if options is None:
        return 0
    from ..experiment.compare import compare as table
    from ..experiment.summary import aligned

    print(aligned(table([Path(folder) for folder in options.folders])))
    return 0
