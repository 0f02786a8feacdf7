"""`thermojax resume`: a run that was interrupted or killed goes on."""

from __future__ import annotations

import argparse

from .arguments import Parser
from .run import results_text

PARSER = Parser("resume", "Continue a run to the results of one that was never interrupted.")
PARSER.add_argument("folder", metavar="DIR", help="the output folder of the run")
PARSER.add_argument(
    "--anyway",
    action="store_true",
    help="also where versions, device, threads, code or data have changed since",
)
PARSER.add_argument("--device", metavar="cpu|gpu", help="another than it began on")


def execute(options: argparse.Namespace) -> None:
    from ..experiment.run.device import on_device
    from ..experiment.run.folder import device_of
    from ..experiment.run.runner import resume as resume_run

    with on_device(options.device or device_of(options.folder)):
        folder, worked = resume_run(options.folder, anyway=options.anyway)
    if not worked:
        print(f"{folder}: this run is finished.\n")
    print(results_text(folder))
