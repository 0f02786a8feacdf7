"""Checks of what a caller passes: one sentence with the argument's name, what came, and the cure.

Every public function checks its arguments with these, before anything is traced or computed. They
raise ValueError, and TypeError never comes out of the depth of a library instead. A value that is
being traced is not known, and passes.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._component import known, shown

MOST = 2**53  # beyond it a float no longer counts


def whole(name: str, value: Any, least: int = 1, cure: str = "") -> int:
    """A whole number from `least` to 2^53: an int, a NumPy integer, or an array that holds one.

    **Raises:** ValueError for anything else, booleans and floats that happen to be whole included.
    """
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)
    if isinstance(value, np.ndarray | jax.Array) and not isinstance(value, Tracer):
        integer = value.shape == () and jnp.issubdtype(value.dtype, jnp.integer)
    if not integer or not least <= int(value) <= MOST:
        kind = "a positive whole number" if least == 1 else f"a whole number of at least {least}"
        raise ValueError(f"{name} = {shown(value)}: expected {kind}{cure and '; ' + cure}")
    return int(value)


def real(name: str, value: Any, expected: str, test=np.isfinite) -> Any:
    """One real number: `value` itself, which may be traced, after the check.

    **Arguments:** `expected`, words for what passes `test`, a function of a NumPy number.
    **Raises:** ValueError for what is no real number, no scalar, or fails `test`.
    """
    if not is_real(value) or np.shape(value) != ():
        raise ValueError(f"{name} = {shown(value)}: expected {expected}")
    number = known(value)
    if number is not None and (number.dtype == object or not bool(np.all(test(number)))):
        raise ValueError(f"{name} = {shown(value)}: expected {expected}")
    return value


def require_untraced(caller: str, **values: Any) -> None:
    """**Raises:** ValueError for what is being traced where `caller` goes by the numbers."""
    for name, value in values.items():
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            raise ValueError(
                f"{name} is traced: {caller} goes by its numbers; call it outside of jit and grad"
            )


def is_real(value: Any) -> bool:
    """Whether a value is a real number or an array of them (booleans and complex are not)."""
    if isinstance(value, bool | np.bool_ | str | bytes) or value is None:
        return False
    if isinstance(value, numbers.Real):
        return True
    dtype = getattr(value, "dtype", None)
    return dtype is not None and (
        jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
    )


def flag(name: str, value: Any) -> bool:
    """True or False. **Raises:** ValueError for anything else, numbers included."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} = {shown(value)}: expected True or False")
    return bool(value)


def choice(name: str, value: Any, options: Sequence[str], or_none: bool = False) -> Any:
    """One of a few words, or None. **Raises:** ValueError for anything else."""
    if or_none and value is None:
        return None
    if not isinstance(value, str) or value not in options:
        listed = " or ".join(map(repr, (*options, None) if or_none else options))
        raise ValueError(f"{name} = {shown(value)}: expected {listed}")
    return value


def function(name: str, value: Any, expected: str) -> Any:
    """`value`, which can be called and is no class. **Raises:** ValueError for anything else."""
    if not callable(value) or isinstance(value, type):
        got = f"is the class {value.__name__} itself" if isinstance(value, type) else None
        raise ValueError(f"{name} {got or f'= {shown(value)}'}: expected {expected}")
    return value


def instance(name: str, value: Any, kinds: type | tuple[type, ...], expected: str) -> Any:
    """`value`, an instance of one of the kinds.

    **Raises:** ValueError for anything else; a class in place of an instance is named.
    """
    if isinstance(value, kinds):
        return value
    if isinstance(value, type):
        got = f"the class {value.__name__} itself"
    elif callable(value) and not hasattr(value, "__dict__"):
        got = "a function"
    else:
        got = f"a {type(value).__name__}" if value is not None else "None"
    raise ValueError(f"{name} is {got}: expected {expected}")


def exceeds(value, bound) -> bool:
    """Whether a number is above its bound, or is no number: NaN is doubt, and doubt is said.

    Warnings and verdicts compare with this one. `value > bound` would be False for NaN, and read as
    fine; so would every comparison of an estimate that could not be computed.
    """
    return not bool(np.all(np.asarray(value) <= np.asarray(bound)))
