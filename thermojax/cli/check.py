"""`thermojax check`: what is wrong with a potential, in words."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from ..experiment.errors import UserError, one_line
from ..experiment.shipped import search_folders
from .arguments import Parser


def numbers_in(text: str) -> list[float]:
    """The numbers of an option, `0.5,-1`."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text}: expected numbers with commas, as in 0.5,-1"
        ) from None


SIGNED = ("--position", "--control")
PARSER = Parser("check", "Say in words what is wrong with a potential of your own.", SIGNED)
PARSER.add_argument("potential", metavar="package.module:MyPotential")
PARSER.add_argument(
    "--position", metavar="X,Y,...", type=numbers_in, default="0,0", help="one sample (default 0,0)"
)
PARSER.add_argument(
    "--control",
    metavar="C[,C...]",
    type=numbers_in,
    default="0.5",
    help="the control (default 0.5)",
)


def execute(options: argparse.Namespace) -> None:
    from ..experiment.config.registry import find

    found = find(options.potential, search_folders(), "check")
    potential = potential_of(found, options.potential)

    import jax.numpy as jnp

    from ..checking import check as examine

    control = options.control[0] if len(options.control) == 1 else options.control
    try:
        report = examine(potential, jnp.array(options.position), jnp.array(control))
    except (ValueError, TypeError) as error:
        raise UserError(f"{options.potential}: {one_line(error)}") from error
    print(report)
    wrong = [finding for finding in report if not finding.ok]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UserError(f"{options.potential}: {one_line(wrong[0].message)}{more}")


def potential_of(found: Any, name: str) -> Any:
    """The potential itself: an object as it is, a class with the defaults of its arguments."""
    from ..experiment.config.model import signature_of

    if not inspect.isclass(found):
        return found
    signature = signature_of(found)
    if signature.missing:
        missing = ", ".join(signature.missing)
        raise UserError(f"{name}: is abstract: expected a class that defines {missing}")
    needed = [argument for argument, default in signature.defaults.items() if default is None]
    if needed:
        raise UserError(
            f"{name}: needs {', '.join(needed)} without a default: check an instance instead, "
            "made at the end of your module (package.module:instance), or call tj.check"
        )
    try:
        return found()
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: cannot be made with its defaults: {one_line(error)}") from error
