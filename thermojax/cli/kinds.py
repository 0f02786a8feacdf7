"""`thermojax list`: every kind that a config can name and what it takes, every shipped config."""

from __future__ import annotations

import textwrap

from ..experiment.config.hints import Anything
from ..experiment.config.registry import KINDS, describe
from ..experiment.config.signatures import Signature
from ..experiment.config.source import working_places
from ..experiment.shipped import listed, shipped_configs
from .arguments import Parser

WIDTH = 100


def list_kinds(arguments: list[str]) -> int:
    parser = Parser("list", "Every kind that a config can name, and what it takes.")
    parser.add_argument(
        "kind",
        nargs="?",
        help="one kind, or package.module:Class: its documentation; a config: its text",
    )
    options = parser.read(arguments)
    if options is None:
        return 0
    if options.kind in shipped_configs():
        print(shipped_configs()[options.kind].read_text("utf-8"), end="")
        return 0
    if options.kind is not None:
        print("\n".join(explained(options.kind)))
        return 0
    for family, members in KINDS.items():
        print(f"{family}:")
        for name in members:
            signature = describe(name, [])
            print(wrapped(call(name, signature), "  ", "      "))
            print(wrapped(signature.summary, "      ", "      "))
    print("A class of your own: kind: package.module:Class")
    print("One kind in full: thermojax list KIND\n")
    print("\n".join(listed(WIDTH)))
    return 0


def call(name: str, signature: Signature) -> str:
    """`Linear(start, end, duration=1.0)`: arguments without a default are required."""
    said = [
        argument.name + ("" if argument.default is None else f"={argument.default}")
        for argument in signature.arguments.values()
    ]
    return f"{name}({', '.join(said)})"


def explained(kind: str) -> list[str]:
    """Call, types and docstring of one kind."""
    signature = describe(kind, working_places(), "list")
    lines = [wrapped(call(kind, signature), "", "    "), ""]
    width = max(map(len, signature.arguments), default=0)
    for argument in signature.arguments.values():
        needed = "required" if argument.default is None else f"default {argument.default}"
        words = "" if isinstance(argument.hint, Anything) else f"{argument.hint.words()}; "
        lines.append(f"  {argument.name.ljust(width)}  {words}{needed}")
    return [*lines, "", signature.doc]


def wrapped(text: str, first: str, other: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=other, break_long_words=False
    )
