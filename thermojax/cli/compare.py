"""`thermojax compare`: runs side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .arguments import Parser

PARSER = Parser("compare", "The settings in which runs differ against their numbers.")
PARSER.add_argument("folders", metavar="DIR", nargs="+", help="output folders of runs")


def execute(options: argparse.Namespace) -> None:
    from .._repr import aligned_text
    from ..experiment.results.tables import SideBySide, finished_among

    runs, passed = finished_among([Path(folder) for folder in options.folders])
    for why in passed:
        print(f"passed over: {why}", file=sys.stderr)
    print(aligned_text(SideBySide.of(list(runs), list(runs.values())).every_column()))
