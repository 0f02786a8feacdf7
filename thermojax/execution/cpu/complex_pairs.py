"""Two real numbers in one complex number, for loops on a CPU.

XLA's CPU backend computes every number that leaves the body of a loop in an operation of its own. A
complex number is one output of two parts: half as many operations, and up to eight of them are run
one after the other, without asking which could run side by side. That pays for few paths (`paired`
in `_tuning.py`), where the loop is no function.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

COMPONENTS = (lambda z: z, jnp.real, jnp.imag)
WHOLE, REAL, IMAGINARY = range(3)


def paired(tree: PyTree[Array]) -> tuple[list[Array], Callable[[list[Array]], PyTree[Array]]]:
    """Leaves of equal size and dtype two by two as complex numbers, and how to take them apart.

    **Returns:** the arrays, and a function from such arrays, which may have more leading axes, to
    the tree. A leaf without a partner, or that is no floating point number, stays as it is.
    """
    leaves, structure = jax.tree.flatten(tree)
    arrays: list[Array] = []
    places: list[tuple[int, int]] = []  # in which array a leaf lies, as which part of it
    alone: dict = {}  # by size and dtype, the leaf that waits for a partner
    for i, leaf in enumerate(leaves):
        kind = (leaf.size, leaf.dtype)
        if kind in alone:
            place, _ = places[partner := alone.pop(kind)]
            arrays[place] = jax.lax.complex(arrays[place], leaf.reshape(arrays[place].shape))
            places[partner] = (place, REAL)
            places.append((place, IMAGINARY))
            continue
        if leaf.dtype in (jnp.float32, jnp.float64):
            alone[kind] = i
        places.append((len(arrays), WHOLE))
        arrays.append(leaf)
    shapes, ranks = [leaf.shape for leaf in leaves], [array.ndim for array in arrays]

    def apart(arrays: list[Array]) -> PyTree[Array]:
        taken = []
        for (place, component), shape in zip(places, shapes, strict=True):
            array = arrays[place]
            leading = array.shape[: array.ndim - ranks[place]]
            taken.append(COMPONENTS[component](array).reshape(leading + shape))
        return structure.unflatten(taken)

    return arrays, apart


def paired_scan(body: Callable, carry: PyTree[Array], xs: PyTree[Array], unroll: int = 1):
    """`jax.lax.scan`, its carry and what leaves it paired."""
    start, apart = paired(carry)
    of_outputs = []

    def step(arrays, x):
        new, out = body(apart(arrays), x)
        out, out_apart = paired(out)
        of_outputs[:] = [out_apart]
        return paired(new)[0], out

    end, out = jax.lax.scan(step, start, xs, unroll=unroll)
    return apart(end), of_outputs[0](out)
