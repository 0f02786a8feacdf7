"""Tables of numbers: a CSV in, features and labels out, or one sentence saying why not."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError, nearest

SAME = 8  # roundings of the largest value within which a column counts as constant
TARGETS: dict[str, tuple[Callable[[float], bool], str]] = {  # what a target may be, in words
    "binary": (lambda y: y in (0.0, 1.0), "a binary target, 0 or 1; recode it"),
    "counts": (lambda y: y >= 0 and y == round(y), "a count, 0, 1, 2, ...; correct it"),
    "numbers": (lambda y: True, "a number"),
}


@dataclass(frozen=True)
class Table:
    """Which data to use.

    **Arguments:** `file`, a CSV with a header line; `target`, the name of the column that is
    predicted; `rows`, how many rows to use from the top, all of them when left out.
    """

    file: Path
    target: str
    rows: int | None = None

    def load(self, kind: str = "binary") -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Standardized features with the bias column first, `(rows, dim)`, targets `(rows,)` of one
        of the kinds of `TARGETS`, and the names of the columns."""
        features, labels, names = load_table(self.file, self.target, self.rows, kind)
        bias = np.ones((len(features), 1))
        design = np.hstack([bias, standardize(features, self.file)])
        return design, labels, ["bias", *names]


def load_table(
    file: str | Path, target: str, rows: int | None = None, kind: str = "binary"
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The numbers of a CSV file with a header line, the target column apart from the rest.

    **Returns:** features `(rows, columns)` and targets `(rows,)`, each 0 or 1 where no other `kind`
    is asked for, as float64, and the names of the columns of features.

    **Raises:** UserError for a missing file, an unknown target, cells that are empty, NaN or no
    numbers, lines of the wrong length, no column of features, or a target of another kind.
    """
    if kind not in TARGETS:
        raise UserError(f"kind = {kind!r} of a target: expected {', '.join(map(repr, TARGETS))}")
    fits, expected = TARGETS[kind]
    names, cells = read_cells(file)
    if target not in names:
        raise UserError(
            f"{file}: no column '{target}' for data.target: expected one of its "
            f"{len(names)} columns{nearest(target, names)}"
        )
    if len(names) == 1:
        raise UserError(f"{file}: expected a column beside data.target, '{target}', found none")
    if rows is not None:
        if rows < 1:
            raise UserError(f"data.rows = {rows}: expected a positive number of rows")
        cells = cells[:rows]
    where = names.index(target)
    table = np.empty((len(cells), len(names)))
    for i, (line, row) in enumerate(cells):
        if len(row) != len(names):
            raise UserError(
                f"{file}, line {line}: {len(row)} cells, but the header names {len(names)} "
                "columns: repair or drop this line"
            )
        for j, cell in enumerate(row):
            table[i, j] = finite_number(
                cell, f"{file}, line {line} (row {i + 1}), column '{names[j]}'"
            )
        if not fits(table[i, where]):
            raise UserError(
                f"{file}, line {line} (row {i + 1}), column '{target}' = {row[where].strip()}: "
                f"expected {expected} or choose another data.target"
            )
    return np.delete(table, where, axis=1), table[:, where], [x for x in names if x != target]


def read_cells(file: str | Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and every line that is not empty with its number in the file."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            cells = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such data file: correct data.file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as a CSV in UTF-8 ({error})") from None
    if not header or not cells:
        raise UserError(f"{file}: expected a header line and at least one row, found no rows")
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise UserError(f"{file}: two columns are called '{min(doubled)}': rename one of them")
    return header, cells


def finite_number(cell: str, place: str) -> float:
    text = cell.strip()
    cure = "drop the row or fill the value first"
    if not text:
        raise UserError(f"{place} is empty: expected a number; {cure}")
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{place} = '{text}': expected a number; {cure}") from None
    if not math.isfinite(value):
        raise UserError(f"{place} = {text}: expected a finite number; {cure}")
    return value


def standardize(features: np.ndarray, file: str | Path = "data") -> np.ndarray:
    """Each column with mean zero and variance one (of the population, not of the sample).

    **Raises:** UserError for a column that holds one value only, to rounding: its computed spread
    would be rounding, and blown up to a second column of the bias.
    """
    floating = np.issubdtype(features.dtype, np.floating)
    rounding = float(np.finfo(features.dtype if floating else float).eps)
    features = np.asarray(features, float)
    largest = np.max(np.abs(features), axis=0)
    # In units of the largest value no square overflows, nor underflows.
    scaled = features / np.where(largest > 0, largest, 1)
    constant = np.ptp(scaled, axis=0) <= SAME * rounding
    if np.any(constant):
        column = int(np.argmax(constant))
        raise UserError(
            f"{file}: feature column {column + 1} holds one value only, "
            f"{features[0, column]:g}: drop it, since it cannot be standardized"
        )
    centered = scaled - scaled.mean(axis=0)
    widest = np.max(np.abs(centered), axis=0)
    return centered / widest / np.std(centered / widest, axis=0)
