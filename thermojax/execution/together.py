"""Several computations at once: calls that are equal but for values become one program."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._calls import Call, Computation
from ..checkpoint import is_key

T = TypeVar("T")


def together(computations: Sequence[Computation[T]]) -> list[T | BaseException]:
    """The result of each computation, or what it has raised; equal calls are made as one program.

    Calls are equal where they differ in the values of arrays alone. The largest group of
    equal calls is computed while the others wait, so that computations that drifted apart meet.
    """
    results: dict[int, Any] = {}
    waiting: dict[int, Call] = {}

    def go(i: int, step: Callable[[], Call]) -> None:
        try:
            waiting[i] = step()
        except StopIteration as end:
            results[i] = end.value
        except BaseException as error:
            results[i] = error

    for i, computation in enumerate(computations):
        go(i, partial(next, computation))
    while waiting:
        groups: dict[Hashable, list[int]] = {}
        for i in sorted(waiting):
            call = waiting[i]
            groups.setdefault(signature((call.function, call.arguments)), []).append(i)
        members = max(groups.values(), key=len)
        calls = [waiting[i] for i in members]
        try:
            answers = at_once(calls)
        except KeyboardInterrupt as stop:
            for i in list(waiting):
                del waiting[i]
                go(i, partial(computations[i].throw, stop))
            continue
        for i, answer in zip(members, answers, strict=True):
            del waiting[i]
            one = computations[i]
            go(i, partial(one.throw if isinstance(answer, Exception) else one.send, answer))
    return [results[i] for i in range(len(computations))]


def at_once(calls: list[Call]) -> list[Any]:
    """The answer or the error of each of equal calls, from one program where that is possible."""
    answers = attempted(partial(jointly, calls)) if len(calls) > 1 else None
    if isinstance(answers, list):
        return answers
    # Too large together, say, or not to be batched: one by one, so that an error is its own.
    return [attempted(call) for call in calls]


def attempted(compute: Callable[[], T]) -> T | Exception:
    """The answer, or the error, which goes to the computation that asked."""
    try:
        return compute()
    except Exception as error:
        return error


def jointly(calls: list[Call]) -> list[Any]:
    """The answers of equal calls from one program; what is the same for all is computed once."""
    varied = varying(calls)
    if not any(jax.tree.leaves(varied)):
        return [calls[0]()] * len(calls)
    own, common = zip(*(eqx.partition(call.arguments, varied) for call in calls), strict=True)
    return joint(calls[0].function, common[0], list(own))


def varying(calls: list[Call]) -> tuple:
    """Which leaves of the arguments are batched, as a tree of booleans."""
    first = calls[0]
    columns = zip(*(jax.tree.leaves(call.arguments) for call in calls), strict=True)
    flags = [eqx.is_array(leaves[0]) and not alike(leaves) for leaves in columns]
    varied = jax.tree.unflatten(jax.tree.structure(first.arguments), flags)
    if first.own is None:
        return varied
    arrays = jax.tree.map(eqx.is_array, first.arguments)
    return eqx.tree_at(first.own, varied, first.own(arrays))


@eqx.filter_jit
def joint(function: Callable, common, own: list) -> list:
    """`function` of the common arguments and each of the own ones, batched."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *own)
    answers = eqx.filter_vmap(lambda one: function(*eqx.combine(one, common)))(stacked)
    pick = lambda i: jax.tree.map(lambda x: x[i] if eqx.is_array(x) else x, answers)
    return [pick(i) for i in range(len(own))]


def alike(leaves: Sequence) -> bool:
    """Whether arrays are the same, bit by bit."""
    first, *rest = leaves
    if all(leaf is first for leaf in rest):
        return True
    plain = [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in leaves]
    return all(x.tobytes() == plain[0].tobytes() for x in plain[1:])


def signature(tree: Any) -> Hashable:
    """The key that a program is compiled for: all of a pytree but the values of its arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(
        (leaf.shape, leaf.dtype) if eqx.is_array(leaf) else comparable(leaf) for leaf in leaves
    )


def comparable(leaf: Any) -> Hashable:
    """A leaf that is no array by its value, or as itself."""
    if isinstance(leaf, np.ndarray):
        return leaf.shape, leaf.dtype.str, leaf.tobytes()
    try:
        hash(leaf)
    except TypeError:
        return id(leaf)
    return type(leaf), leaf
