"""The text of results: their numbers, not the types of their arrays.

A class of results says `__pdoc__ = with_numbers`, which `repr` of equinox asks for wherever the
object stands. While they are being traced numbers are not known, and shapes stand in their place.
"""

from __future__ import annotations

import dataclasses
import numbers

import jax
import numpy as np
import wadler_lindig as wl

from ._component import known

MOST = 8  # numbers of one array that are shown


def with_numbers(self, **options) -> wl.AbstractDoc:
    """The document of a dataclass: every field, small arrays by their numbers."""
    fields = [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.repr]
    docs = [
        wl.TextDoc(f"{name}=") + (wl.TextDoc(text) if text else wl.pdoc(value, **options))
        for name, value in fields
        for text in [text_of(value)]
    ]
    name = wl.TextDoc(f"{type(self).__name__}(")
    return wl.bracketed(name, docs, wl.comma, wl.TextDoc(")"), options["indent"])


def text_of(value) -> str | None:
    """A number, a few of them, or what has a text of its own; None for anything else."""
    own = getattr(value, "numbers_text", None)
    if own is not None:
        return own()
    if not isinstance(value, np.ndarray | np.generic | jax.Array | numbers.Real):
        return None
    array = known(value)
    if array is None or array.size > MOST or array.dtype.kind not in "biuf":
        return None
    return nested(array.tolist())


def nested(value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(nested, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def aligned_text(rows: list[list[str]]) -> str:
    """Rows as text, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
