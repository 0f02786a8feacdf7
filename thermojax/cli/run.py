"""`thermojax run`: a config in, a folder with results and a report out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..version import __version__
from .arguments import Parser

WRITTEN = ("results.h5", "report.html")

PARSER = Parser("run", "Run the study that a config file describes.")
PARSER.add_argument(
    "config",
    metavar="CONFIG",
    help="a YAML file, or a shipped config by its name (thermojax list)",
)
PARSER.add_argument(
    "overrides",
    metavar="key=value",
    nargs="*",
    help="settings to change, by their dotted name: training.steps=50 bath.friction=2",
)
PARSER.add_argument(
    "--out", metavar="DIR", help="output folder (runs/<name of the config> when left out)"
)
PARSER.add_argument("--seed", metavar="N", help="the same as seed=N")
PARSER.add_argument("--x64", action="store_true", help="the same as precision=float64")
PARSER.add_argument("--device", metavar="cpu|gpu", help="where to compute (JAX's own choice)")
PARSER.add_argument(
    "--no-cache",
    action="store_true",
    help="compile anew: neither read nor write the cache of compiled programs "
    "(~/.cache/thermojax, or the folder in THERMOJAX_CACHE)",
)
PARSER.add_argument(
    "--verbose", action="store_true", help="show all settings first, and whole tracebacks"
)


def execute(options: argparse.Namespace) -> None:
    from ..experiment.config.read import read_config

    # A file that cannot be read is answered before anything heavy is loaded.
    config = read_config(options.config, [*options.overrides, *overrides_of(options)])
    from ..experiment.run.device import on_device, prepare_cpu
    from ..experiment.run.experiment import experiment_of
    from ..experiment.run.runner import run as run_study

    experiment = experiment_of(config)
    with with_variables(options), on_device(options.device):
        if options.verbose:
            prepare_cpu(config.values.get("devices"))  # before JAX's devices are counted
            print(f"{config.text}\n{place_of_work()}", file=sys.stderr)
        folder = run_study(experiment, options.out)
    print(results_text(folder))


def overrides_of(options: argparse.Namespace) -> list[str]:
    """The options that are settings of the config by another name."""
    seed = [] if options.seed is None else [f"seed={options.seed}"]
    return [*seed, *(["precision=float64"] if options.x64 else [])]


@contextmanager
def with_variables(options: argparse.Namespace) -> Iterator[None]:
    """The environment that the options ask for, set back afterwards."""
    wanted = {"THERMOJAX_CACHE": "off"} if options.no_cache else {}
    wanted |= {"THERMOJAX_TRACEBACK": "1"} if options.verbose else {}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def place_of_work() -> str:
    """Device, versions and cache in one line."""
    import jax

    from ..compilation_cache import cache_folder

    device = jax.config.jax_default_device or jax.devices()[0]  # pyright: ignore
    cache = cache_folder() or "off"
    return f"thermojax {__version__}, jax {jax.__version__} on {device}; compiled programs: {cache}"


def results_text(folder: Path) -> str:
    """The results of a run as the console shows them, from what was stored.

    They are there, whatever fails in showing them.
    """
    from ..experiment.command_line import report_command
    from ..experiment.errors import one_line, shortened

    written = [str(file) for name in WRITTEN if (file := folder / name).exists()]
    try:
        text = results_tables(folder)
    except Exception as error:
        why = f"{type(error).__name__}: {shortened(one_line(error), 200)}"
        print(
            f"warning: the results are stored, but cannot be shown ({why}); a report with\n"
            f"  {report_command(folder)}",
            file=sys.stderr,
        )
        text = ""
    return f"{text}\nWritten: {', '.join(written)}".lstrip()


def results_tables(folder: Path) -> str:
    """The tables, the warnings, and how long it took."""
    from .._repr import aligned_text
    from ..experiment.results.report import sentences_of, tables_of
    from ..experiment.results.store import load
    from ..experiment.results.tables import headline
    from ..experiment.study.base import study_of

    results = load(folder)
    study, _ = study_of(results)
    parts = [aligned_text(rows) for rows in tables_of(results, study).values()]
    parts.append(aligned_text(headline(results)))
    parts += sentences_of(results, study)
    facts = results.attributes
    parts += [f"Warning: {warning}" for warning in facts["warnings"]]
    diverged = facts["diverged"] or "no"
    parts.append(
        f"{diverged} {'path' if diverged == 1 else 'paths'} diverged; "
        f"{facts['wall_time']:.0f} s in all."
    )
    return "\n\n".join(parts)
