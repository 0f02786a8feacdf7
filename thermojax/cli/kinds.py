"""`thermojax list`: every kind that a config can name."""

from __future__ import annotations

import inspect
from pathlib import Path

from .arguments import Parser


def list_kinds(arguments: list[str]) -> int:
    parser = Parser("list", "Every kind that a config can name, and what it is.")
    if parser.read(arguments) is None:
        return 0
    from ..experiment.registry import KINDS, find

    width = max(len(name) for family in KINDS.values() for name in family)
    for family, members in KINDS.items():
        print(f"{family}:")
        for name in members:
            text = inspect.getdoc(find(name, [Path.cwd()])) or ""
            print(f"  {name.ljust(width)}  {first_line(text)}")
    print("A class of your own: kind: package.module:Class")
    return 0


def first_line(text: str) -> str:
    """The first sentence of a docstring, its equation left out where that is long."""
    line = text.strip().split("\n")[0]
    return line if len(line) <= 100 else line[:97] + "..."
