"""Results on disk: one HDF5 file, written whole or not at all, and read back as it was."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..._files import write_whole as write_whole
from ..command_line import refuse_long, resume_command
from ..errors import UserError, one_line
from ..run.folder import RESULTS as RESULTS
from ..run.folder import unfinished

FORMAT = "format"  # the attribute of a file that says what it is
RESULTS_FORMAT = "thermojax results 1"
ESTIMATE = ("value", "error", "count")


class Record(dict):
    """Named results: estimates, arrays, numbers, texts and further records.

    `units[name]` and `axes[name]` say what an entry is measured in and what its axes are;
    `attributes` holds facts about the whole record.
    """

    def __init__(self, **entries: Any):
        super().__init__(**entries)
        self.units: dict[str, str] = {}
        self.axes: dict[str, tuple[str, ...]] = {}
        self.attributes: dict[str, Any] = {}

    def __repr__(self) -> str:
        """A table of contents: every entry with its value or shape, its axes and its unit."""
        return "\n".join(contents(self)) or "an empty record"

    def to_pandas(self):
        """Every single number as a row: column, quantity, value, error, count, unit.

        **Raises:** ImportError that names the extra, where pandas is missing.
        """
        from .convert import data_frame

        return data_frame(number_rows(self))

    def to_arviz(self, column: str | None = None):
        """The final positions of a column as draws, their work and weights as sample statistics.

        Paths do not weigh the same: draws are taken among them by weight (systematic resampling,
        in which nothing is random), as many as there are paths.

        **Arguments:** `column`, the name of a column that keeps its paths; the last one when left
        out.

        **Returns:** what ArviZ makes of it: an `InferenceData` before version 1, a `DataTree` from
        there on. `posterior` holds `position`, `(chain, draw, coordinate)`; `sample_stats` the
        ledger of the paths, `(chain, draw)`.

        **Raises:** ImportError that names the extra, where ArviZ is missing; ValueError where no
        positions were stored.
        """
        from .convert import draws

        columns = self.attributes.get("columns", [])
        return draws({name: self.get(name, {}) for name in columns}, column)

    def put(self, name: str, value: Any, units: str = "1", axes: tuple[str, ...] = ()) -> None:
        """Add an entry with its unit ("1" for a pure number) and the names of its axes."""
        self[name], self.units[name], self.axes[name] = value, units, tuple(axes)


def contents(record: Record, indent: str = "") -> list[str]:
    """A line per entry."""
    lines = []
    for name, value in record.items():
        if isinstance(value, Record):
            lines += [f"{indent}{name}:", *contents(value, indent + "  ")]
            continue
        sort, inner = ("estimates", value.value) if is_estimate(value) else ("array", value)
        axes, unit = ", ".join(record.axes.get(name, ())), record.units.get(name, "1")
        text = str(value)
        if shape := np.shape(inner):
            text = f"{sort} {shape}{f' over {axes}' if axes else ''}"
        elif "\n" in text:
            text = f"text of {text.count(chr(10))} lines"
        lines.append(f"{indent}{name}: {text}{'' if unit == '1' else f' {unit}'}")
    return lines


def number_rows(record: Record, path: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Every single number in a record and the records in it."""
    for name, value in record.items():
        if isinstance(value, Record):
            yield from number_rows(value, (*path, name))
            continue
        row = {"column": ".".join(path), "quantity": name, "unit": record.units.get(name, "1")}
        if is_estimate(value) and np.ndim(value.value) == 0:
            numbers = {field: float(getattr(value, field)) for field in ESTIMATE}
            yield {**row, **numbers}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield {**row, "value": float(value), "error": np.nan, "count": np.nan}


def save(file: str | Path, record: Record) -> None:
    """Write a `Record` to an HDF5 file, which is the old one or the new one, never half of one."""
    import h5py

    file = Path(file)
    # To memory first, since a full disk is no plain OSError to HDF5.
    stream = io.BytesIO()
    with h5py.File(stream, "w") as root:
        root.attrs[FORMAT] = RESULTS_FORMAT
        write_record(root, record)
    write_whole(file, lambda path: path.write_bytes(stream.getbuffer()))


def write_record(group, record: Record) -> None:
    group.attrs.update({name: attribute(value) for name, value in record.attributes.items()})
    for name, value in record.items():
        if isinstance(value, Record):
            write_record(group.create_group(name), value)
            continue
        if is_estimate(value):
            made = group.create_group(name)
            made.attrs["type"] = "estimate"
            for field in ESTIMATE:
                made[field] = np.asarray(getattr(value, field))
        else:
            made = group.create_dataset(name, data=storable(value))
        made.attrs["units"] = record.units.get(name, "1")
        made.attrs["axes"] = attribute(list(record.axes.get(name, ())))


def is_estimate(value: Any) -> bool:
    return all(hasattr(value, field) for field in ESTIMATE)


def storable(value: Any) -> Any:
    """A value that h5py stores: arrays of text as objects, all else as numpy makes it."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind == "U" else array


def attribute(value: Any) -> Any:
    import h5py

    if isinstance(value, list | tuple) and all(isinstance(x, str) for x in value):
        return np.array(value, dtype=h5py.string_dtype())
    return value


def load(folder: str | Path) -> Any:
    """The results of a run, what `thermojax run` has stored in `folder`; or what `tj.save` wrote.

    **Arguments:** `folder`, or its `results.h5` itself, or a file of `tj.save`.

    **Returns:** of a run a `Record`, a nested dict: `load("runs/x")["optimized"]["work"]` is an
    `Estimate`; arrays are numpy's. Printed, it is a table of contents; `.attributes` holds seed,
    device, versions, commit, wall time and warnings. Of `tj.save` what was saved. Classes and
    functions of one's own that are part of it must have been imported before; nothing is imported
    or called for the sake of a file.

    **Raises:** UserError where there are no results, or a file that cannot be read; ValueError for
    a file of `tj.save` that is damaged, or of other versions of its classes.
    """
    if not isinstance(folder, str | Path):
        raise ValueError(f"folder is a {type(folder).__name__}: expected a path")
    refuse_long(folder)
    file = Path(os.path.expanduser(folder))  # of a user who is not known it stays as it is
    if file.is_file():
        from ...saving import is_checkpoint, is_saved, restore

        if is_saved(file):
            return restore(file)
        if is_checkpoint(file):
            raise ValueError(
                f"{file}: is a checkpoint: pass tj.Checkpoint to the call that wrote it"
            )
    file = file / RESULTS if file.is_dir() else file
    if not file.exists() and unfinished(Path(folder)):
        cure = resume_command(Path(folder))
        raise UserError(f"{folder}: this run is not finished: continue it with `{cure}`")
    if not file.exists():
        raise UserError(f"{folder}: holds no {RESULTS}: expected the output folder of a run")
    import h5py

    try:
        with h5py.File(file, "r") as root:
            return read_root(root, file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read as results ({one_line(error)})") from None


def load_run(folder: str | Path) -> Record:
    """As `load`, and what has been stored is that of a run: with its config and its columns.

    **Raises:** UserError, as `load`, and for a record that is not that of a run.
    """
    results = load(folder)
    if "config" not in results or not {"columns", "labels", "entries"} <= results.attributes.keys():
        raise UserError(
            f"{folder}: holds a record, but not the results of a run (no config, no columns): read "
            "it with thermojax.experiment.load"
        )
    return results


def read_root(root, file: Path) -> Record:
    """The record in an open file. **Raises:** UserError for a file that others have written."""
    said = native(root.attrs.get(FORMAT, ""))
    if said not in (RESULTS_FORMAT, ""):  # files of version 0.1 and before do not say
        raise UserError(
            f"{file}: its {FORMAT} is {said!r}: expected {RESULTS_FORMAT!r}, which this version of "
            "thermojax writes and reads"
        )
    try:
        if not said and not root.attrs and not len(root):
            raise KeyError(FORMAT)
        record = read_record(root)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        if not said:
            why = "thermojax has not written it"
        raise UserError(
            f"{file}: is HDF5, but holds no results of a run ({why}): expected the output folder "
            f"of one, or its {RESULTS}"
        ) from None
    record.attributes.pop(FORMAT, None)
    return record


def read_record(group) -> Record:
    import h5py

    record = Record()
    record.attributes = {name: native(value) for name, value in group.attrs.items()}
    for name, item in group.items():
        if isinstance(item, h5py.Group) and item.attrs.get("type") != "estimate":
            record[name] = read_record(item)
            continue
        axes = tuple(native(item.attrs["axes"]))
        record.put(name, read_value(item), str(item.attrs["units"]), axes)
    return record


def read_value(item) -> Any:
    import h5py

    if isinstance(item, h5py.Group):
        from ...estimate import Estimate

        stored: dict[str, Any] = dict(item)
        return Estimate(*(stored[field][()] for field in ESTIMATE))
    if h5py.check_string_dtype(item.dtype):
        text = item.asstr()[()]
        return list(text) if item.shape else text
    value = item[()]
    return value.item() if item.shape == () else value


def native(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
