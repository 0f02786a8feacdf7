"""`thermojax report`: the page and the figures again, from the stored results alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .arguments import Parser

PARSER = Parser("report", "Make report.html again, from results.h5 alone.")
PARSER.add_argument("folder", metavar="DIR", help="the output folder of a run")
PARSER.add_argument("--svg", action="store_true", help="also the figures as SVG files")
PARSER.add_argument("--pdf", action="store_true", help="also the figures as PDF files")
PARSER.add_argument(
    "--animate",
    action="store_true",
    help="also a film, for studies that have one",
)


def execute(options: argparse.Namespace) -> None:
    from ..experiment.results.store import load_run
    from ..experiment.run.folder import unwritable

    folder = Path(options.folder)
    results = load_run(folder)
    folder = folder if folder.is_dir() else folder.parent  # results.h5 itself was named
    try:
        for file in written_files(folder, results, options):
            print(f"Written: {file}")
    except OSError as error:
        raise unwritable(folder, error, "make it writable and try again") from None


def written_files(folder: Path, results, options):
    from ..experiment.results.report import write_report
    from ..experiment.study.base import study_of

    study, warning = study_of(results)
    if warning:
        print(f"Warning: {warning}", file=sys.stderr)
    yield write_report(folder, results, study, warning)
    formats = [name for name in ("svg", "pdf") if getattr(options, name)]
    if formats:
        from ..experiment.results.drawing import save_figures

        yield from save_figures(folder / "figures", results, study.figures, formats)
    if options.animate:
        from ..experiment.results.film import animate

        yield animate(folder, results, study.film, "density")
