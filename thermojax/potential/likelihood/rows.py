"""Checks of data in rows, one sentence each; what is traced passes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._component import Numbers, finite, floating, known, shown


def finite_features(features: Numbers) -> Float[Array, "rows dim"]:
    """Features `(rows, dim)`, all finite. **Raises:** ValueError, which names the first place."""
    array = floating(features, "features")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"features has shape {array.shape}: expected (rows, dim), one row for each datum and "
            "at least one; features[:, None] makes one column of a vector"
        )
    if (values := known(array)) is not None and not np.all(np.isfinite(values)):
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"features[{row}, {column}] = {values[row, column]}: expected finite numbers; "
            "drop or fill the missing rows first"
        )
    return array


def one_each_row(name: str, values: Numbers, features: Array) -> Float[Array, " rows"]:
    """A finite number for every row, in the dtype of the features; booleans are 0 and 1.

    **Raises:** ValueError for another shape, or NaN, whose place it names.
    """
    if isinstance(values, np.ndarray | jax.Array) and jnp.issubdtype(values.dtype, jnp.bool_):
        values = values.astype(int)  # of comparisons: as good as 0 and 1
    array = floating(values, name)
    if array.shape != features.shape[:1]:
        raise ValueError(
            f"features has shape {features.shape} and {name} {array.shape}: expected "
            f"(rows, dim) and (rows,){cure_of_shape(name, array.shape, features.shape[0])}"
        )
    if (found := known(array)) is not None and not np.all(np.isfinite(found)):
        row = np.flatnonzero(~np.isfinite(found))[0]
        raise ValueError(
            f"{name}[{row}] = {found[row]}: expected finite numbers; drop or fill the missing "
            "rows first"
        )
    return array.astype(features.dtype)


def cure_of_shape(name: str, shape: tuple[int, ...], rows: int) -> str:
    """The end of a sentence where a table came for a vector; empty where nothing is known."""
    if shape == (rows, 1):
        return f"; pass {name}[:, 0]"
    if len(shape) == 2 and shape[0] == rows and name == "labels":
        return "; of one-hot rows pass labels.argmax(axis=1)"
    return ""


def positive_each_row(name: str, values: Numbers, features: Array) -> Float[Array, "..."]:
    """One positive number, or one for every row. **Raises:** ValueError for anything else."""
    array = finite(name, values)
    if array.shape not in ((), features.shape[:1]):
        raise ValueError(
            f"{name} has shape {array.shape}: expected one number, or one for each of the "
            f"{features.shape[0]} rows"
        )
    if (found := known(array)) is not None and not np.all(found > 0):
        raise ValueError(f"{name} = {shown(array)}: expected positive numbers")
    return array.astype(features.dtype)


def require_counts(name: str, counts: Array) -> None:
    """Refuse what is no count: below 0, or not whole."""
    values = known(counts)
    if values is None:
        return
    wrong = (values < 0) | (values != np.round(values))
    if np.any(wrong):
        row = np.flatnonzero(wrong)[0]
        what = "below 0" if values[row] < 0 else "not whole"
        raise ValueError(
            f"{name}[{row}] = {values[row]} is {what}: expected counts 0, 1, 2, ...; for measured "
            "numbers use tj.LinearRegression"
        )


def require_labels(labels: Array, classes: int) -> None:
    """Refuse labels other than 0, ..., classes - 1, and name the way from those that came."""
    values = known(labels)
    if values is None or np.all(np.isin(values, np.arange(classes))):
        return
    found = np.unique(values)
    wrong = values[~np.isin(values, np.arange(classes))][0]
    expected = "only 0 and 1" if classes == 2 else f"only whole numbers from 0 to {classes - 1}"
    cure = ""
    if np.all(np.isin(found, np.arange(1, classes + 1))) and found[-1] == classes:
        cure = f"; if 1 to {classes} are the classes, pass labels - 1"
    elif classes == 2 and np.all(np.isin(found, (-1, 1))):
        cure = "; if -1 and 1 are the classes, pass (labels + 1) / 2"
    elif classes == 2 and found.size == 2:
        cure = f"; pass labels == {found[1]:g}, if that is the class to be called 1"
    elif found[-1] > classes - 1 and np.all(values == np.round(values)) and found[0] >= 0:
        cure = "; for more classes use tj.SoftmaxRegression, and state them all in classes="
    raise ValueError(f"labels hold {wrong}: expected {expected}{cure}")
