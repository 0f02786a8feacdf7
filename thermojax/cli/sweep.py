"""`thermojax sweep`: a grid of runs, one table and one page at the end."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from ..experiment.errors import UserError
from .arguments import Parser

WRITTEN = ("sweep.csv", "sweep.html")


def parameters(text: str) -> dict[str, str]:
    """The settings of an option, `timeout_min=60,mem_gb=4`."""
    found = {}
    for part in filter(None, text.split(",")):
        key, separator, value = part.partition("=")
        if not separator:
            raise argparse.ArgumentTypeError(f"{text}: expected key=value,...")
        found[key.strip()] = value.strip()
    return found


PARSER = Parser("sweep", "Run a study at every point of a grid; again: only what is missing.")
PARSER.add_argument("config", metavar="CONFIG", help="a YAML file, or a name of `list`")
PARSER.add_argument(
    "values",
    metavar="key=value,value",
    nargs="*",
    help="settings to vary, or to change: training.steps=50,100 bath.friction=2",
)
PARSER.add_argument("--out", metavar="DIR", help="runs/<name of the config>-sweep if left out")
PARSER.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time (1)")
PARSER.add_argument(
    "--processes",
    action="store_true",
    help="each point as a process of its own; left out, points that differ in the values of "
    "numbers alone are computed together, as one program",
)
PARSER.add_argument(
    "--slurm",
    metavar="key=value,...",
    type=parameters,
    nargs="?",
    const="",
    help="as jobs of a cluster, with these parameters of submitit: timeout_min=60",
)


def execute(options: argparse.Namespace) -> None:
    if options.jobs < 1:
        raise UserError(f"--jobs {options.jobs}: expected a positive number of processes")
    from ..experiment.run.folder import unwritable
    from ..experiment.run.progress import Progress
    from ..experiment.sweep.grid import in_processes, on_slurm, plan
    from ..experiment.sweep.grid import sweep as run_sweep

    folder, points = plan(options.config, options.values, options.out)
    from .._repr import aligned_text
    from ..experiment.command_line import command
    from ..experiment.sweep.together import in_programs

    progress = Progress()
    if options.slurm is not None:
        work = on_slurm(folder, options.slurm)
    else:
        work = in_processes(options.jobs)
        if not options.processes:
            work = in_programs(progress, work)
    try:
        failed = run_sweep(options.config, points, progress, work)
    except OSError as error:
        raise unwritable(folder, error, "choose another --out DIR") from error
    done = [point.folder for point in points if point not in failed]
    wrong = {point.name: why for point, why in failed.items()}
    again = f"cd {shlex.quote(str(Path.cwd()))} && {command('sweep', *options.words)}"
    rows = table_of(folder, Path(options.config).stem, done, wrong, again)
    if done:
        print(f"{aligned_text(rows)}\n")
    written = [str(file) for name in WRITTEN if (file := folder / name).exists()]
    if written:
        print(f"Written: {', '.join(written)}")
    if failed:
        names = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise UserError(f"{len(failed)} of {len(points)} points failed: {names}")


def table_of(
    folder: Path, name: str, done: list[Path], wrong: dict[str, str], again: str
) -> list[list[str]]:
    """The table of the finished points, its page and its file written.

    The points are there, whatever fails in that: it is a warning with the command that repeats it.
    """
    from ..experiment.errors import one_line, shortened
    from ..experiment.results.tables import SideBySide
    from ..experiment.sweep.report import write_sweep

    try:
        return write_sweep(folder, name, done, wrong)
    except Exception as error:
        why = f"{type(error).__name__}: {shortened(one_line(error), 200)}"
        print(
            f"warning: the results of all points are stored, but their page could not be made "
            f"({why}); again with\n  {again}",
            file=sys.stderr,
        )
        return SideBySide.of(done).last_columns()[0] if done else [["run"]]
