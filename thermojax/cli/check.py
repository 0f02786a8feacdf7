"""`thermojax check`: what is wrong with a potential, in words."""

from __future__ import annotations

import inspect
from typing import Any

from ..experiment.errors import UserError, one_line
from .arguments import Parser


def check(arguments: list[str]) -> int:
    parser = Parser("check", "Say in words what is wrong with a potential of your own.")
    parser.add_argument("potential", metavar="package.module:MyPotential")
    parser.add_argument(
        "--position", metavar="X,Y,...", default="0,0", help="one sample (default 0,0)"
    )
    parser.add_argument(
        "--control", metavar="C[,C...]", default="0.5", help="the control (default 0.5)"
    )
    options = parser.read(joined(arguments))
    if options is None:
        return 0
    position = read_numbers("--position", options.position)
    control = read_numbers("--control", options.control)
    from ..experiment.config.own_code import working_places
    from ..experiment.config.registry import find

    found = find(options.potential, working_places(), "check")
    potential = potential_of(found, options.potential)

    import jax.numpy as jnp

    from ..checking import check as examine

    values = control[0] if len(control) == 1 else control
    try:
        report = examine(potential, jnp.array(position), jnp.array(values))
    except (ValueError, TypeError) as error:
        raise UserError(f"{options.potential}: {one_line(error)}") from error
    print(report)
    wrong = [finding for finding in report if not finding.ok]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UserError(f"{options.potential}: {one_line(wrong[0].message)}{more}")
    return 0


def joined(arguments: list[str]) -> list[str]:
    """`--position -1,0` as argparse wants it, which takes -1,0 for an option of its own."""
    out: list[str] = []
    for word in arguments:
        if out and out[-1] in ("--position", "--control") and word[:1] == "-" and word[1:2] != "-":
            out[-1] += f"={word}"
        else:
            out.append(word)
    return out


def read_numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{option} {text}: expected numbers with commas, as in 0.5,-1") from None


def potential_of(found: Any, name: str) -> Any:
    """The potential itself: an object as it is, a class with the defaults of its arguments."""
    if not inspect.isclass(found):
        return found
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise UserError(f"{name}: is abstract: expected a class that defines {missing}")
    parameters = list(inspect.signature(found.__init__).parameters.values())[1:]
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if needed:
        raise UserError(
            f"{name}: needs {', '.join(needed)} without a default: check an instance instead, "
            "made at the end of your module (package.module:instance), or call tj.check"
        )
    try:
        return found()
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: cannot be made with its defaults: {one_line(error)}") from error
