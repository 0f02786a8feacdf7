"""The derivative of a block as one kernel of a GPU, a path a lane.

Forward again from the start of the block, the state at each turn left in memory; then backward,
with the noise drawn anew. What all paths have in common (the rows of the table, constants) gets the
sum of their derivatives: over the lanes of one program here, over the programs by XLA.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from . import lanes as forward
from .lanes import (
    OPERATIONS,
    Here,
    Lanes,
    flat,
    is_whole,
    looped,
    of_one_path,
    row_of,
    sample,
    split,
)
from .noise import GridBrownianPath
from .program import Program, prepared
from .scalars import Numbers, Unknown, alike, entries, has_rule


def shapes_of(arrays) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]


def chosen(tree: list, which: list[bool]) -> list:
    return [x for x, one in zip(tree, which, strict=True) if one]


@dataclasses.dataclass(frozen=True)
class Pull:
    """The derivative of one turn of one path.

    `program`: (constants, state, rows, normals, derivatives of the state after it) -> those by
    `constants`, where these ask for it, by the state before, and by `rows`, step by step; `steps`:
    the program of a turn, for no more than that takes; `needed`: which leaves of the state.
    """

    program: Program
    steps: Program
    needed: list[bool]


def pull_of(lanes: Lanes, constants: list, of_constants: list[bool], of_rows: list[bool]) -> Pull:
    """**Raises:** Unknown."""
    count, program = len(lanes.leaves), lanes.program
    every = of_rows * lanes.turn

    def pulled(constants, arguments, derivatives):
        state, others = arguments[:count], arguments[count:]
        rows, normals = others[: len(every)], others[len(every) :]

        def after(trained):
            own_constants, state, own_rows = map(iter, trained)
            merged = [
                next(own_constants) if one else x
                for x, one in zip(constants, of_constants, strict=True)
            ]
            own = [next(own_rows) if one else x for x, one in zip(rows, every, strict=True)]
            return program(merged, [*state, *own, *normals])

        trained = chosen(constants, of_constants), state, chosen(rows, every)
        return jax.vjp(after, trained)[1](derivatives)

    avals: list[Any] = [x.aval for x in program.arguments]
    arguments = shapes_of(avals)
    derivatives = arguments[:count]
    closed = jax.make_jaxpr(pulled)(shapes_of(constants), arguments, derivatives)
    is_read = lambda x: isinstance(x, Tracer) or is_whole(x.shape, lanes.row)
    pull, read = prepared(closed, is_read, has_rule)
    if read:
        raise Unknown("constants of a derivative")
    used, names = pull.uses(), pull.arguments[len(constants) :][:count]
    needed = [name in used for name in names]
    while True:  # what it takes to know these after a turn
        steps = program.asked(chosen(program.results, needed))
        used = steps.uses()
        more = [one or x in used for one, x in zip(needed, program.arguments[:count], strict=True)]
        if more == needed:
            return Pull(pull, steps, needed)
        needed = more


def check(lanes: Lanes, constants: list, of_constants: list[bool], of_rows: list[bool]) -> None:
    """Whether there is such a kernel.

    **Raises:** Unknown.
    """
    pull = pull_of(lanes, constants, of_constants, of_rows)

    def one(shape, dtype):
        whole = is_whole(shape, lanes.row)
        number = jnp.zeros((1, lanes.row) if whole else (), dtype)
        return entries(shape[:-1] if whole else shape, lambda _: number)

    def evaluated():
        avals: list[Any] = [x.aval for x in pull.program.arguments]
        given = [one(x.shape, x.dtype) for x in avals]
        return flat(Numbers(OPERATIONS, lanes.row).evaluated(pull.program, [], given))

    jax.eval_shape(evaluated)
    room = max(leaf.size for leaf in chosen(list(lanes.leaves), pull.needed))
    if room * (lanes.steps // lanes.turn) >= 2**31:
        raise Unknown("more numbers than places")


@eqx.filter_custom_vjp
def moved(given: tuple, lanes: Lanes) -> list[Array]:
    """The leaves of the state after all rows of the table."""
    return forward.moved(given, lanes)


@moved.def_fwd
def _forward(perturbed, given, lanes):
    del perturbed
    return forward.moved(given, lanes), None


@moved.def_bwd
def _backward(residuals, derivatives, perturbed, given, lanes):
    del residuals
    _, leaves, _ = given
    of_constants, _, of_rows = perturbed
    derivatives = [
        jnp.zeros_like(x) if one is None else one
        for one, x in zip(derivatives, leaves, strict=True)
    ]
    by_constants, by_leaves, by_table = pulled(given, derivatives, of_constants, of_rows, lanes)
    spread = lambda found, which: [next(found) if one else None for one in which]
    return spread(iter(by_constants), of_constants), by_leaves, spread(iter(by_table), of_rows)


def pulled(given, derivatives: list, of_constants, of_rows, lanes: Lanes) -> tuple:
    """The derivatives by constants and table, where these ask for it, and by the state."""
    constants, leaves, table = given
    pull = pull_of(lanes, constants, of_constants, of_rows)
    needed, turns, turn = pull.needed, lanes.steps // lanes.turn, lanes.turn
    stored, shapes = chosen(leaves, needed), [sample(leaf) for leaf in leaves]
    kept_shapes = chosen(shapes, needed)
    of_one = chosen(constants, of_constants), chosen(table, of_rows)
    rows = [x.shape[1:] for x in of_one[1]]

    def block(here: Here, refs):
        counts = [len(constants), len(leaves), len(table), len(leaves)]
        outputs = [len(of_one[0]), len(leaves), len(of_one[1]), len(stored)]
        read, begin, table_refs, after, by_constants, before, by_rows, memory = split(
            refs, *counts, *outputs
        )
        known = [here.of_all(ref, x.shape) for ref, x in zip(read, constants, strict=True)]
        size = lambda leaf: np.int32(leaf.size)

        def onward(i, values):
            state = lanes.arrays(values, kept_shapes)
            for ref, leaf, own in zip(memory, stored, state, strict=True):
                here.left(ref, leaf, own, i * size(leaf))
            own = iter(state)
            state = [next(own) if one else None for one in needed]
            arguments = [*state, *here.rows(table_refs, i), *here.normals(i)]
            state = Numbers(OPERATIONS, lanes.row).evaluated(pull.steps, known, arguments)
            return [alike(x, old)[0] for x, old in zip(flat(state), values, strict=True)]

        def backward(j, values):
            i = np.int32(turns - 1) - j
            sums, derivatives = values
            own = iter(
                [
                    here.of_paths(ref, leaf, i * size(leaf))
                    for ref, leaf in zip(memory, stored, strict=True)
                ]
            )
            state = [next(own) if one else None for one in needed]
            arguments = [*known, *state, *here.rows(table_refs, i), *here.normals(i)]
            arguments += lanes.arrays(derivatives, shapes)
            found = Numbers(OPERATIONS, lanes.row).evaluated(pull.program, [], arguments)
            constant, before, row = split(found, len(of_one[0]), len(leaves), len(rows) * turn)
            for at, values in enumerate(row):
                n, which = divmod(at, len(rows))
                step = here.program * lanes.steps + i * turn + n
                here.sums(by_rows[which], rows[which], values, step)
            before = [alike(x, y)[0] for x, y in zip(flat(before), derivatives, strict=True)]
            return [x + y for x, y in zip(sums, flat(constant), strict=True)], before

        begun = flat(
            [here.of_paths(ref, x) for ref, x in zip(chosen(begin, needed), stored, strict=True)]
        )
        looped(turns, onward, begun)
        here.wait()
        derivatives = flat([here.of_paths(ref, x) for ref, x in zip(after, leaves, strict=True)])
        sums = [here.nothing(shape.shape, shape.dtype) for shape in of_one[0]]
        sums, derivatives = looped(turns, backward, (flat(sums), derivatives))
        for ref, leaf, values in zip(
            before, leaves, lanes.arrays(derivatives, shapes), strict=True
        ):
            here.left(ref, leaf, values)
        sums = lanes.arrays(sums, [x.shape for x in of_one[0]])
        for ref, x, values in zip(by_constants, of_one[0], sums, strict=True):
            here.sums(ref, x.shape, values, here.program)

    each = lambda x, shape: jax.ShapeDtypeStruct((lanes.grid, *shape), x.dtype)
    outputs = [
        *(each(x, x.shape) for x in of_one[0]),
        *leaves,
        *(each(x, x.shape) for x in of_one[1]),
        *(jax.ShapeDtypeStruct((turns, *x.shape), x.dtype) for x in stored),
    ]
    done = lanes.called(block, [*constants, *leaves, *table, *derivatives], outputs)
    done = [x.reshape(like.shape) for x, like in zip(done, outputs, strict=True)]
    by_constants, before, by_rows = split(done, len(of_one[0]), len(leaves), len(of_one[1]))
    total = lambda arrays: [jnp.sum(x, axis=0) for x in arrays]
    return total(by_constants), before, total(by_rows)


def advanced(
    substep: Callable,
    path: GridBrownianPath,
    first,
    state: PyTree[Array],
    rows: PyTree[Array],
    differentiated: bool,
) -> Any:
    """The state after a block; None where that is no kernel.

    **Arguments:** `substep`: (state, row, normals) -> state, of a batch; `path`: the noise, whose
    step `first` is that of the first row; `state`, `rows`: arrays `(batch, ...)`, `(steps, ...)`;
    `differentiated`: whether reverse mode goes through it.
    """
    leaves, structure = jax.tree.flatten(state)
    table, number = jax.tree.leaves(rows), path.counter(first)
    closed = of_one_path(substep, path, state, rows)
    for row in dict.fromkeys((row_of(path), None)):
        is_read = lambda x, row=row: isinstance(x, Tracer) or is_whole(np.shape(x), row)
        program, constants = prepared(closed, is_read, has_rule)
        constants = [jnp.asarray(x) for x in constants]
        like = tuple(shapes_of(leaves)), tuple(shapes_of(table))
        lanes = Lanes(path, number, program, *like, row)
        try:
            lanes.check(constants)
            if differentiated:
                real = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
                check(lanes, constants, list(map(real, constants)), list(map(real, table)))
            return structure.unflatten(moved((constants, leaves, table), lanes))
        except Unknown:
            continue
    return None
