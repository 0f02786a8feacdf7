"""`thermojax run`: a config in, a folder with results and a report out."""

from __future__ import annotations

from pathlib import Path

from .arguments import Parser


def run(arguments: list[str]) -> int:
    parser = Parser("run", "Run the study that a config file describes.")
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, as in configs/")
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        help="settings to change, by their dotted name: training.steps=50 bath.friction=2",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="output folder (runs/<name of the config> when left out)"
    )
    options = parser.read(arguments)
    if options is None:
        return 0
    from ..experiment.config import read_config
    from ..experiment.plan import RUNNER_KEYS, STUDY, plan

    # Most mistakes are answered here, before anything heavy is loaded.
    plan(read_config(options.config, options.overrides), RUNNER_KEYS, STUDY)
    from ..experiment.runner import run as run_study

    folder = run_study(options.config, options.overrides, options.out)
    print(said(folder))
    return 0


def said(folder: Path) -> str:
    """The results of a run as the console shows them, from what was stored."""
    from ..experiment.store import load
    from ..experiment.summary import aligned, best_column, headline, posterior

    results = load(folder)
    parts = []
    if weights := posterior(results):
        parts.append(aligned(weights))
    parts.append(aligned(headline(results)))
    if (best := best_column(results)) is not None:
        parts.append(f"log evidence {results[best]['log_evidence']}")
    facts = results.attributes
    parts += [f"Warning: {warning}" for warning in facts["warnings"]]
    diverged = facts["diverged"] or "no"
    parts.append(
        f"{diverged} {'path' if diverged == 1 else 'paths'} diverged; "
        f"{facts['wall_time']:.0f} s in all.\nWritten: {folder / 'results.h5'}, "
        f"{folder / 'report.html'}"
    )
    return "\n\n".join(parts)
