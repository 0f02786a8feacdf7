"""The base class of potentials, protocols, baths and systems, and checks of their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt
from jax.core import Tracer
from jax.typing import ArrayLike

# What a constructor takes for an array: `floating` makes it one. Lists may be nested.
Numbers: TypeAlias = ArrayLike | Sequence[Any]
# The same with a range: configs are checked against the note before anything is built.
Positive: TypeAlias = Annotated[Numbers, Gt(0)]


class AbstractComponent(eqx.Module):
    """Base of potentials, protocols, baths and systems.

    A Python float in a field that is not static becomes an array of the default
    floating dtype, so that it is traced, differentiated and never a reason to compile
    again. Ints, bools, strings and callables stay as they are.
    """

    def __check_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name, None)
            if field.metadata.get("static", False):
                continue
            numbers = isinstance(value, np.ndarray | list | tuple) and is_numeric(value)
            if isinstance(value, float) or numbers:
                object.__setattr__(self, field.name, floating(value, field.name))


def pytree_of_floats(value, name: str):
    """Numbers, an array, or a pytree of arrays, every leaf in floats: a position, a mass.

    Lists of numbers, nested ones too, are one array and not a pytree. Integers become floats where
    there is nothing else; beside floats they mean something that does not move, and are refused.

    **Raises:** ValueError, which names the leaf, for what holds no real numbers, for integers
    beside floats, and for no leaf at all.
    """
    if isinstance(value, list | tuple) and are_numbers(value):
        return floating(value, name)
    leaves, structure = jax.tree_util.tree_flatten_with_path(value)
    if not leaves:
        got = "None" if value is None else f"an empty {type(value).__name__}"
        raise ValueError(f"{name} is {got}: expected numbers, an array, or a pytree of arrays")
    whole = {name + jax.tree_util.keystr(path): is_whole(leaf) for path, leaf in leaves}
    found = [floating(x, place) for place, (_, x) in zip(whole, leaves, strict=True)]
    if any(whole.values()) and not all(whole.values()):
        place = next(place for place, counts in whole.items() if counts)
        raise ValueError(
            f"{place} holds integers beside leaves of floats: every number of it would become a "
            "float; make it floats, or leave it out and give it to the potential as a field"
        )
    for place, array in zip(whole, found, strict=True):
        if array.size == 0:
            raise ValueError(f"{place} has shape {array.shape}: expected at least one number")
    return structure.unflatten(found)


def is_whole(value) -> bool:
    """Whether a leaf holds integers."""
    dtype = getattr(value, "dtype", None)
    return isinstance(value, int) if dtype is None else jnp.issubdtype(dtype, jnp.integer)


def are_numbers(value: list | tuple) -> bool:
    """Whether (nested) lists hold numbers of Python and nothing else."""
    leaves = jax.tree.leaves(value, is_leaf=lambda x: not isinstance(x, list | tuple))
    return bool(leaves) and all(isinstance(x, int | float | complex) for x in leaves)


def is_numeric(value) -> bool:
    """Whether a (nested) list, tuple or numpy array holds only numbers, one a float."""
    if isinstance(value, np.ndarray):
        return np.issubdtype(value.dtype, np.floating)
    leaves = jax.tree.leaves(value)
    numbers = all(isinstance(x, float | int) and not isinstance(x, bool) for x in leaves)
    return bool(leaves) and numbers and any(isinstance(x, float) for x in leaves)


def floating(value, name: str = "value") -> jax.Array:
    """`value` as an array of floats: its own floating dtype, or the default one.

    **Raises:** ValueError, which names it, for what holds no real numbers.
    """
    # A number stays a known number also where a component is built inside of jit.
    with jax.ensure_compile_time_eval():
        try:
            # NumPy would read some texts as the name of a dtype.
            if any(isinstance(leaf, str | bytes) for leaf in jax.tree.leaves(value)):
                raise TypeError("a text is no number")
            array = jnp.asarray(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{name} = {shown(value)}: expected real numbers, in one array or nested lists of "
                "equal lengths"
            ) from error
        if not jnp.issubdtype(array.dtype, jnp.floating) and not jnp.issubdtype(
            array.dtype, jnp.integer
        ):
            raise ValueError(f"{name} has dtype {array.dtype}: expected real numbers")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            array = array.astype(jnp.result_type(float))
        # jnp.array drops the weak type, which would trace the same program twice.
        return jnp.array(array, dtype=array.dtype)


def known(value) -> np.ndarray | None:
    """The value as numpy, or None while it is being traced (its value is not known)."""
    try:
        return np.asarray(value)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        return None


def shown(value) -> str:
    """A value in an error message: short, on one line, whatever it is."""
    if isinstance(value, Tracer):
        return f"a traced array of shape {value.shape}"
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return "a key" if value.shape == () else f"keys of shape {value.shape}"
    if isinstance(value, jax.ShapeDtypeStruct):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.extended):  # keys have no numbers to show
            return f"an array of shape {value.shape} and dtype {value.dtype}"
        array = known(value)
        if array is None or array.dtype == object:
            return f"an array of shape {value.shape} and dtype {value.dtype}"
        text = str(array.item()) if array.ndim == 0 else np.array2string(array, threshold=6)
        text = " ".join(text.split())
        return text if len(text) <= 60 else text[:57] + "..."
    text = repr(value) if isinstance(value, str | int | float | complex | None) else ""
    if isinstance(value, list | tuple):
        text = " ".join(repr(value).split())
    if not text:
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def require(name: str, value, test, expected: str) -> None:
    """Raise a ValueError that names the field, the value and the cure; skips tracers."""
    try:
        array = known(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} = {shown(value)}: expected {expected}") from error
    if array is None:
        return
    real = any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer))
    if not real or not np.all(test(array)):
        raise ValueError(f"{name} = {shown(array if real else value)}: expected {expected}")


def positive(array: np.ndarray) -> np.ndarray:
    return np.isfinite(array) & (array > 0)


def positive_number(name: str, value, what: str = "number") -> jax.Array:
    """One positive and finite number, as an array; what is traced passes."""
    number = floating(value, name)
    if number.shape != ():
        raise ValueError(f"{name} has shape {number.shape}: expected one positive {what}")
    require(name, number, positive, f"a positive {what}")
    return number


def finite(name: str, value) -> jax.Array:
    """Finite numbers, as an array of floats; what is traced passes."""
    array = floating(value, name)
    require(name, array, np.isfinite, "finite numbers")
    return array
