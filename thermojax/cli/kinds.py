"""`thermojax list`: what a config can name, what one of these takes, and the shipped configs."""

from __future__ import annotations

import argparse
import textwrap

from ..experiment.config.registry import KINDS
from ..experiment.shipped import listed, search_folders, shipped_configs
from .arguments import Parser

WIDTH = 100

PARSER = Parser("list", "Every kind that a config can name, or what one of them takes.")
PARSER.add_argument(
    "kind",
    nargs="?",
    help="one kind, or package.module:Class: its documentation; a config: its text",
)


def execute(options: argparse.Namespace) -> None:
    if options.kind in shipped_configs():
        print(shipped_configs()[options.kind].read_text("utf-8"), end="")
    elif options.kind is not None:
        print("\n".join(explained(options.kind)))
    else:
        print_everything()


def print_everything() -> None:
    width = max(len(name) for members in KINDS.values() for name in members)
    for family, members in KINDS.items():
        print(f"{family}:")
        for name, summary in members.items():
            print(wrapped(f"  {name.ljust(width)}  {summary}", " " * (width + 4)))
    print("A class of your own: kind: package.module:Class")
    print("What one kind takes: thermojax list KIND\n")
    print("\n".join(listed(WIDTH)))


def explained(kind: str) -> list[str]:
    """Call, types and docstring of one kind."""
    from ..experiment.config.model import signature_of
    from ..experiment.config.registry import find

    signature = signature_of(find(kind, search_folders(), "list"))
    said = [x if default is None else f"{x}={default}" for x, default in signature.defaults.items()]
    call = wrapped(f"{kind}({', '.join(said)})", "    ")
    width = max(map(len, signature.defaults), default=0)
    lines = [f"  {x.ljust(width)}  {signature.explained(x)}" for x in signature.defaults]
    return [call, "", *lines, "", signature.doc]


def wrapped(text: str, other: str) -> str:
    """A text in lines, all but the first beginning with `other`."""
    return textwrap.fill(text, WIDTH, subsequent_indent=other, break_long_words=False)
