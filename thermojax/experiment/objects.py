"""A `Result`, a `Fit`, a system, any pytree: in the file of a record, and back from it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..checkpoint import difference, is_key, storable
from .errors import UserError
from .hints import article
from .store import Record, is_estimate

CLASSES = "classes"  # the attribute that says what was stored
PARTS = ("value", "error", "count")  # of an estimate
NUMBERS = {"f": "a real number", "i": "a whole number", "u": "a whole number", "b": "true or false"}
ALONE = "value"  # the name of what has none, such as an array by itself


def as_record(thing: Any) -> Record:
    """The arrays, numbers and texts of a pytree by their names, estimates as such.

    **Raises:** ValueError where there is nothing to store.
    """
    record = Record()
    leaves, _ = jax.tree_util.tree_flatten_with_path(thing, is_leaf=is_estimate)
    for path, leaf in leaves:
        if storable(leaf) or is_estimate(leaf):
            *above, last = parts_of(path)
            inner = record
            for name in above:
                inner = inner.setdefault(name, Record())
            inner.put(last, leaf if is_estimate(leaf) else as_numpy(leaf))
    if not record:
        raise ValueError(
            f"thing is a {type(thing).__name__} without arrays or numbers: expected a Record, a "
            "Result, a Fit, a system or another pytree"
        )
    record.attributes = {**settings_of(thing), CLASSES: json.dumps(classes_of(thing))}
    return record


def like_it(record: Record, like: Any, file: Path) -> Any:
    """What `as_record` was given, in the structure of `like`, whose arrays need not be computed.

    **Raises:** UserError where names, shapes or dtypes differ.
    """
    stored = dict(flat(record))
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    wanted = {".".join(parts_of(path)): leaf for path, leaf in leaves if is_wanted(leaf)}
    there = {name: described(value) for name, value in stored.items()}
    here = {name: described(leaf) for name, leaf in wanted.items()}
    classes = json.loads(record.attributes.get(CLASSES, "{}"))
    if problem := difference(classes | there, classes_of(like) | here):
        what = article(type(like).__name__)
        raise UserError(f"{file}: holds another thing than like, {what}: {problem}")
    made = [
        restored(stored[".".join(parts_of(path))], leaf) if is_wanted(leaf) else leaf
        for path, leaf in leaves
    ]
    thing = jax.tree.unflatten(structure, made)
    for name in settings_of(like):  # of the thing itself, such as why a training has stopped
        object.__setattr__(thing, name, record.attributes.get(name, getattr(like, name)))
    return thing


def classes_of(thing: Any, name: str = "") -> dict[str, str]:
    """The classes in a pytree, and the plain values in their static fields, by their names.

    Two systems may hold arrays of equal names and shapes, and differ in what moves them.
    """
    if isinstance(thing, eqx.Module):
        found = {f"the class of {name or 'it'}": type(thing).__qualname__}
        inner = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}
        if name:
            found |= {f"{name}.{k}": repr(v) for k, v in settings_of(thing).items()}
    elif isinstance(thing, dict | list | tuple):
        found = {}
        inner = thing if isinstance(thing, dict) else dict(enumerate(thing))
    else:
        return {}
    for key, value in inner.items():
        found |= classes_of(value, f"{name}.{key}".strip("."))
    return found


def settings_of(thing: Any) -> dict[str, Any]:
    """The static fields of a module that are plain values."""
    fields = dataclasses.fields(thing) if isinstance(thing, eqx.Module) else ()
    static = {f.name: getattr(thing, f.name) for f in fields if f.metadata.get("static")}
    return {k: v for k, v in static.items() if isinstance(v, bool | int | float | str)}


def parts_of(path: tuple) -> list[str]:
    """The names on the way to a leaf; a stroke in one of them is a step of its own in HDF5."""
    name = jax.tree_util.keystr(path, simple=True, separator=".").replace("/", ".")
    return [part for part in name.split(".") if part] or [ALONE]


def flat(record: Record, prefix: str = ""):
    """(dotted name, value) of all that a record holds, the parts of estimates too."""
    for name, value in record.items():
        if isinstance(value, Record):
            yield from flat(value, f"{prefix}{name}.")
        elif is_estimate(value):
            yield from ((f"{prefix}{name}.{p}", getattr(value, p)) for p in PARTS)
        else:
            yield f"{prefix}{name}", value


def is_wanted(leaf: Any) -> bool:
    return storable(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def as_numpy(leaf: Any) -> Any:
    """What HDF5 knows: of keys their data, of bfloat16 and its kin the same numbers in float32."""
    if isinstance(leaf, str):
        return leaf
    array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def described(leaf: Any) -> str:
    """Kind and shape, in words: `float32 (4, 2)`, `a real number`, `text`."""
    if isinstance(leaf, str):
        return "text"
    if isinstance(leaf, jax.ShapeDtypeStruct):
        plain: Any = jax.eval_shape(jax.random.key_data, leaf) if is_typed(leaf) else leaf
        dtype = np.dtype(np.float32) if plain.dtype.kind == "V" else plain.dtype
    else:
        plain = as_numpy(leaf)
        dtype = plain.dtype
    return f"{dtype} {plain.shape}" if plain.shape else NUMBERS.get(dtype.kind, str(dtype))


def is_typed(leaf: jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def restored(value: Any, leaf: Any) -> Any:
    """A stored value as the kind of thing that `leaf` is."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return keys_of(value, None) if is_typed(leaf) else jnp.asarray(value, leaf.dtype)
    if isinstance(leaf, bool | int | float | str):
        return type(leaf)(value)
    if isinstance(leaf, np.generic):
        return leaf.dtype.type(value)
    if isinstance(leaf, np.ndarray):
        return np.asarray(value, leaf.dtype)
    return keys_of(value, leaf) if is_key(leaf) else jnp.asarray(value, leaf.dtype)


def keys_of(data: Any, like: jax.Array | None) -> jax.Array:
    """Typed keys from their data, of the generator of others; of JAX's own choice without."""
    generator = None if like is None else jax.random.key_impl(like)
    return jax.random.wrap_key_data(jnp.asarray(data), impl=generator)
