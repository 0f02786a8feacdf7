"""Arithmetic on positions: pytrees whose leaves carry the batch on their first axis."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint

from ._platform import platform
from ._tuning import ON_CPU
from .cpu import small_loops_are_compiled


def total(x):
    """The sum of the numbers of one sample, in the form that the machine is fast at.

    XLA's CPU backend hands sums of rows to a library that is slow for short ones, and in functions
    of its own (`cpu.py`) a sum of more than 32 numbers runs one number after the other.
    """
    if platform() != "cpu":
        return jnp.sum(x)
    functions, size = small_loops_are_compiled(), x.size
    by_product = ON_CPU.sum_by_product_in_functions if functions else ON_CPU.sum_by_product
    if size in by_product:
        return times_ones(x)
    numbers = x.reshape(-1)
    if functions and size in ON_CPU.sum_by_halves:
        return jnp.sum(numbers[: size // 2]) + jnp.sum(numbers[size // 2 :])
    if functions and size >= by_product.stop:
        strip = ON_CPU.strip * math.ceil(size / (ON_CPU.strips * ON_CPU.strip))
        whole = size // strip * strip
        strips = times_ones(jnp.sum(numbers[:whole].reshape(-1, strip), axis=0))
        return strips + times_ones(numbers[whole:]) if whole < size else strips
    return jnp.sum(x)


def times_ones(x):
    """The sum of the numbers of one sample as a product with ones."""
    return jnp.dot(x.reshape(-1), jnp.ones(x.size, x.dtype))


def product(matrix, x):
    """Matrix times vector in full precision.

    A GPU rounds float32 factors to ten bits unless asked for more, which is too coarse for a force.
    """
    return jnp.matmul(matrix, x, precision=jax.lax.Precision.HIGHEST)


def per_sample_sum(tree):
    """Sum over all leaves and all axes but the first: (batch, ...) -> (batch,)."""
    return functools.reduce(jnp.add, (jax.vmap(total)(leaf) for leaf in jax.tree.leaves(tree)))


def one_each(values, leaf):
    """Numbers `(batch,)` of the samples, for arithmetic with a leaf `(batch, ...)`."""
    return values.reshape(values.shape + (1,) * (leaf.ndim - 1))


def where_alive(alive, new, old):
    """`new` where `alive` (batch,), else `old`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(one_each(alive, a), a, b), new, old)


def by_name(position) -> dict[str, jax.Array]:
    """The leaves of a position by their path, `angles.0`; one array alone is `x`."""
    leaves = jax.tree_util.tree_leaves_with_path(position)
    if len(leaves) == 1 and not leaves[0][0]:
        return {"x": leaves[0][1]}
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    return {name(path): leaf for path, leaf in leaves}


def depends(function, argument) -> bool:
    """Whether what a function returns, as a program, uses the values in its argument."""

    def arrays(x):
        return [leaf for leaf in jax.tree.leaves(function(x)) if isinstance(leaf, jax.Array)]

    jaxpr = jax.make_jaxpr(arrays)(argument).jaxpr
    tainted = set(jaxpr.invars)
    for equation in jaxpr.eqns:
        if any(not hasattr(v, "val") and v in tainted for v in equation.invars):
            tainted.update(equation.outvars)
    return any(not hasattr(v, "val") and v in tainted for v in jaxpr.outvars)


def cast(tree, dtype):
    """Every floating array leaf in `dtype`; keys, ints and everything else untouched."""

    def one(leaf):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf.astype(dtype)
        return leaf

    return jax.tree.map(one, tree)


def like_position(value, position):
    """A bath parameter spread over the leaves of a position.

    `value` is a scalar, an array that broadcasts against one sample of every leaf, or a
    pytree of such with the structure of the position.
    """
    structure = jax.tree.structure(position)
    if jax.tree.structure(value) == structure:
        return value
    return jax.tree.unflatten(structure, [value] * structure.num_leaves)


def leaf_shapes(tree):
    """The shape of an array, or the pytree of the shapes of its leaves."""
    return jax.tree.map(lambda x: tuple(jnp.shape(x)), tree)


def broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of a shape broadcasts to another one, and leaves that as it is."""
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def batch_of(position, name: str = "positions") -> int:
    shapes = [leaf.shape for leaf in jax.tree.leaves(position)]
    sizes = {shape[0] for shape in shapes if shape}
    if len(sizes) != 1 or () in shapes:
        raise ValueError(
            f"{name} with leaves of shapes {shapes}: expected one batch axis, first and of equal "
            "length, on every leaf; for one trajectory add it with x[None]"
        )
    return sizes.pop()


def dimension_of(position) -> int:
    """The number of coordinates of one path of a batch."""
    return sum(leaf.size for leaf in jax.tree.leaves(position)) // batch_of(position)


def dtype_of(position, name: str = "positions"):
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(position)}
    if len(dtypes) != 1 or not jnp.issubdtype(min(dtypes, key=str), jnp.floating):
        names = sorted(str(d) for d in dtypes)
        raise ValueError(f"{name} with dtypes {names}: expected one floating dtype throughout")
    return dtypes.pop()


def in_memory(tree):
    """The arrays, each written to memory: the compiler computes none again for its readers.

    It would fuse what makes an array into everything that reads it.
    """
    return jax.tree.map(lambda x: with_layout_constraint(x, Layout(tuple(range(x.ndim)))), tree)
