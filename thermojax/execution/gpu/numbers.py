"""A program of arrays as a program of their numbers, each a value of its own.

An array becomes a NumPy array of objects, one for each of its numbers, and whatever only moves
numbers about costs nothing. Where every object is a vector with a number for each path, the program
of one path does for all of them what `jax.vmap` would, without an axis for it: that is how
`threads.py` brings the substep of any potential into one kernel, where there are no arrays.

Rows of one length may stay whole: an array whose last axis is that long has an object for each row,
with that axis behind the one of the paths.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

from .program import Program

# Of every number by itself, and known to the compiler of kernels (Pallas, through Triton).
NAMES = """
    abs acos acosh add and asin asinh atan atan2 atanh cbrt ceil clamp
    convert_element_type cos cosh div eq erf_inv exp exp2 expm1 floor ge gt integer_pow
    is_finite le log log1p log2 logistic lt max min mul ne neg not one_minus_square or pow
    rem rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh
    sqrt square sub tan tanh xor
"""
EACH = frozenset(NAMES.split())
SAME = frozenset(
    {
        "copy",
        "copy_p",
        "layout_constraint",
        "name",
        "optimization_barrier",
        "reshard",
        "sharding_constraint",
        "stop_gradient",
    }
)
# Numbers moved about, and how many of the first operands hold them (-1: all). What else there is
# says where from, and must be known.
MOVED = {
    "broadcast_in_dim": 1,
    "concatenate": -1,
    "dynamic_slice": 1,
    "dynamic_update_slice": 2,
    "expand_dims": 1,
    "gather": 1,
    "pad": 2,
    "reshape": 1,
    "rev": 1,
    "slice": 1,
    "split": 1,
    "squeeze": 1,
    "stack": -1,
    "transpose": 1,
    "unstack": 1,
}
ROW_MOVED = ("expand_dims", "reshape", "squeeze")  # which leave a last axis as it is, if it stays
FOLDED = {
    "reduce_and": (lax.bitwise_and, jnp.all),
    "reduce_max": (lax.max, jnp.max),
    "reduce_min": (lax.min, jnp.min),
    "reduce_or": (lax.bitwise_or, jnp.any),
    "reduce_sum": (lax.add, jnp.sum),
}
RULES = (
    EACH
    | SAME
    | MOVED.keys()
    | FOLDED.keys()
    | {"add_any", "dot_general", "iota", "triangular_solve"}
)


def has_rule(operation) -> bool:
    """Whether `Numbers` may know how."""
    return operation.primitive.name in RULES


class Unknown(Exception):
    """There is no rule for an operation, or there are too many operations."""


def entries(shape, value: Callable) -> np.ndarray:
    """An array of objects: `value` of the place of each in a row of all."""
    objects = np.empty(shape, object)
    for at, place in enumerate(np.ndindex(*shape)):
        objects[place] = value(at)
    return objects


def numbers(array) -> np.ndarray:
    """The numbers of a known array as objects."""
    known = np.asarray(array)
    flat = known.reshape(-1)
    return entries(known.shape, lambda at: flat[at])


def alike(*values):
    """Values broadcast: of all paths and rows, of each path, of each number of a row."""
    whole = any(np.ndim(x) == 2 for x in values)
    values = [x[:, None] if whole and np.ndim(x) == 1 else x for x in values]
    shape = np.broadcast_shapes(*map(np.shape, values))
    return [jnp.broadcast_to(x, shape) if np.shape(x) != shape else x for x in values]


class Numbers:
    """Programs of arrays by their numbers.

    **Arguments:** `most`: operations on numbers; more take too long to compile; `row`: the length
    of rows that stay whole.
    """

    def __init__(self, most: int, row: int | None = None):
        self.left, self.row = most, row

    def shape(self, aval) -> tuple[int, ...]:
        """The shape of an array of objects."""
        return aval.shape[:-1] if self.keeps_row(aval) else aval.shape

    def keeps_row(self, aval) -> bool:
        return self.row is not None and aval.shape[-1:] == (self.row,)

    def evaluated(self, program: Program, constants: list, arguments: list) -> list[np.ndarray]:
        """The results of a program, arrays of objects like its constants and arguments.

        **Raises:** Unknown.
        """
        names = (*program.constants, *program.arguments)
        values = dict(zip(names, (*constants, *arguments), strict=True))
        values |= {name: numbers(value) for name, value in program.known.items()}
        read = lambda x: numbers(x.val) if isinstance(x, Literal) else values[x]
        for equation in program.operations:
            found = self.rule(equation, [read(x) for x in equation.invars])
            values.update(zip(equation.outvars, found, strict=True))
        return [read(x) for x in program.results]

    def rule(self, equation, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """The results of one operation."""
        name, params = equation.primitive.name, equation.params
        bind = lambda *values: equation.primitive.bind(*values, **params)
        if name in SAME:
            return inputs
        if any(self.keeps_row(x.aval) for x in (*equation.invars, *equation.outvars)):
            return [self.row_rule(equation, inputs, bind)]
        if all(map(is_known, inputs)) and (name in EACH or name in MOVED or name == "iota"):
            with jax.ensure_compile_time_eval():
                found = bind(*map(as_array, inputs))
            many = equation.primitive.multiple_results
            return [numbers(x) for x in (found if many else [found])]
        if name in MOVED:
            return moved(equation, inputs, bind)
        if name in FOLDED:
            return [self.folded(FOLDED[name][0], inputs[0], params["axes"])]
        if name == "dot_general":
            a, b = inputs
            return [self.products(a, b, params["dimension_numbers"])]
        if name == "triangular_solve":
            return [self.substituted(inputs[0], inputs[1], **params)]
        return [self.each(self.known_to_kernels(name, bind), inputs)]

    def known_to_kernels(self, name: str, bind: Callable) -> Callable:
        if name == "add_any":
            return lax.add
        if name not in EACH:
            raise Unknown(name)
        return bind

    def spend(self, some: int) -> None:
        self.left -= some
        if self.left < 0:
            raise Unknown("too many operations")

    def each(self, function: Callable, inputs: list[np.ndarray]) -> np.ndarray:
        """`function` of what is in the same place."""
        shape = np.broadcast_shapes(*(x.shape for x in inputs))
        self.spend(math.prod(shape))
        flat = [np.broadcast_to(x, shape).reshape(-1) for x in inputs]
        return entries(shape, lambda at: self.applied(function, *(x[at] for x in flat)))

    def applied(self, function: Callable, *values):
        return function(*alike(*values))

    def folded(self, function: Callable, array: np.ndarray, axes) -> np.ndarray:
        """The numbers along some axes, one after the other."""
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        shape = [array.shape[axis] for axis in kept]
        if not array.size:
            raise Unknown("a sum of nothing")
        lines = array.transpose(*kept, *axes).reshape(math.prod(shape), -1)
        self.spend(array.size)
        both = functools.partial(self.applied, function)
        return entries(shape, lambda at: functools.reduce(both, lines[at]))

    def products(self, a: np.ndarray, b: np.ndarray, dimensions) -> np.ndarray:
        """`dot_general`."""
        (left, right), (first, second) = dimensions
        kept = [
            [k for k in range(x.ndim) if k not in (*ks, *batch)]
            for x, ks, batch in ((a, left, first), (b, right, second))
        ]
        batch, length = [a.shape[k] for k in first], math.prod(a.shape[k] for k in left)
        shape = [x.shape[k] for x, ks in zip((a, b), kept, strict=True) for k in ks]
        if not a.size or not b.size:
            raise Unknown("a product of nothing")
        many = math.prod(batch)
        lefts = a.transpose(*first, *kept[0], *left).reshape(many, -1, 1, length)
        rights = b.transpose(*second, *kept[1], *right).reshape(many, 1, -1, length)
        found = self.folded(lax.add, self.each(lax.mul, [lefts, rights]), (3,))
        return found.reshape((*batch, *shape))

    def substituted(
        self, a, b, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal
    ) -> np.ndarray:
        """`triangular_solve` of real numbers: row after row."""
        del conjugate_a
        if not left_side:  # x a = b is a^T x^T = b^T
            b = np.swapaxes(b, -1, -2)
        if transpose_a == left_side:
            a, lower = np.swapaxes(a, -1, -2), not lower
        x, size = b.copy(), a.shape[-1]
        for i in range(size) if lower else reversed(range(size)):
            for k in range(i) if lower else range(i + 1, size):
                gone = self.each(lax.mul, [a[..., i, k, None], x[..., k, :]])
                x[..., i, :] = self.each(lax.sub, [x[..., i, :], gone])
            if not unit_diagonal:
                x[..., i, :] = self.each(lax.div, [x[..., i, :], a[..., i, i, None]])
        return x if left_side else np.swapaxes(x, -1, -2)

    def row_rule(self, equation, inputs: list[np.ndarray], bind: Callable) -> np.ndarray:
        """The result of an operation on whole rows, or of one that makes them of numbers."""
        name, params, aval = equation.primitive.name, equation.params, equation.outvars[0].aval
        whole = self.keeps_row(aval)
        if name in FOLDED:
            of_numbers, of_row = FOLDED[name]
            last = equation.invars[0].aval.ndim - 1
            folded, others = inputs[0], tuple(k for k in params["axes"] if k != last)
            if last not in params["axes"]:
                return self.folded(of_numbers, folded, others)
            one = lambda x: of_row(alike(x, jnp.zeros((1, self.row)))[0], axis=-1)
            folded = self.each(one, [folded])
            return self.folded(of_numbers, folded, others) if others else folded
        if name == "dot_general":
            return self.row_products(equation, inputs)
        if name in ROW_MOVED and whole and self.keeps_row(equation.invars[0].aval):
            return inputs[0].reshape(self.shape(aval))
        if name == "broadcast_in_dim" and whole:
            (array,), dims = inputs, params["broadcast_dimensions"]
            if self.keeps_row(equation.invars[0].aval) and dims[-1] != aval.ndim - 1:
                raise Unknown("rows as columns")
            kept = [k for k in dims if k != aval.ndim - 1]
            # A last axis of length 1 has an object for its only number.
            flat = array.reshape(array.shape[: len(kept)])
            shape = [1] * (aval.ndim - 1)
            for k, size in zip(kept, flat.shape, strict=True):
                shape[k] = size
            return np.broadcast_to(flat.reshape(shape), self.shape(aval))
        if name == "iota" and whole and params["dimension"] == aval.ndim - 1:
            value = lax.broadcasted_iota(aval.dtype, (1, self.row), 1)
            return entries(self.shape(aval), lambda _: value)
        if not whole:
            raise Unknown(f"{name} of rows")
        operands = [
            self.beside_row(x.aval, y) for x, y in zip(equation.invars, inputs, strict=True)
        ]
        return self.each(self.known_to_kernels(name, bind), operands)

    def row_products(self, equation, inputs: list[np.ndarray]) -> np.ndarray:
        """Along rows, or of rows with numbers."""
        (left, right), batch = equation.params["dimension_numbers"]
        a, b = (x.aval for x in equation.invars)
        whole, has_row = (
            self.keeps_row(equation.outvars[0].aval),
            (self.keeps_row(a), self.keeps_row(b)),
        )
        if all(has_row) and not whole and (left, right) == ((a.ndim - 1,), (b.ndim - 1,)):
            found = self.products(inputs[0], inputs[1], (((), ()), batch))
            return self.each(lambda x: jnp.sum(x, axis=-1), [found])
        last = has_row[1] or b.ndim == len(batch[1])  # of what comes out: the row
        if left or all(has_row) or not (whole and last):
            raise Unknown("products of rows")
        return self.products(inputs[0], inputs[1], (((), ()), batch))

    def beside_row(self, aval, array: np.ndarray) -> np.ndarray:
        """An operand beside rows: it has rows, or one number for each."""
        if self.keeps_row(aval) or aval.ndim == 0:
            return array
        if aval.shape[-1] != 1:
            raise Unknown("rows beside others")
        return array.reshape(array.shape[:-1])


class Dry(Numbers):
    """A program gone through without computing: to see whether there are rules for all."""

    def applied(self, function: Callable, *values):
        return None

    def check(self, program: Program) -> None:
        """**Raises:** Unknown."""
        names = (*program.constants, *program.arguments)
        avals: list[Any] = [x.aval for x in names]
        given = [entries(self.shape(aval), lambda _: None) for aval in avals]
        count = len(program.constants)
        self.evaluated(program, given[:count], given[count:])


def is_known(array: np.ndarray) -> bool:
    return all(isinstance(x, np.generic) for x in array.flat)


def as_array(known: np.ndarray) -> np.ndarray:
    return np.array(known.tolist(), known.flat[0].dtype) if known.size else np.zeros(known.shape)


def moved(equation, inputs: list[np.ndarray], bind: Callable) -> list[np.ndarray]:
    """Numbers in other places: the operation tells where from when it is given those."""
    data = MOVED[equation.primitive.name]
    data = len(inputs) if data < 0 else data
    if not all(map(is_known, inputs[data:])):
        raise Unknown(f"{equation.primitive.name} by numbers that are not known")
    first = np.cumsum([0, *(x.size for x in inputs[:data])])
    places = [
        np.arange(start, start + x.size, dtype=np.int32).reshape(x.shape)
        for start, x in zip(first, inputs[:data], strict=False)
    ]
    with jax.ensure_compile_time_eval():
        found = bind(*places, *map(as_array, inputs[data:]))
    pool = np.concatenate([x.reshape(-1) for x in inputs[:data]])
    taken = lambda x: pool[np.ravel(x)].reshape(np.shape(x))
    return [taken(x) for x in (found if equation.primitive.multiple_results else [found])]
