"""The derivative of a block as two kernels of a GPU, a path a thread.

One goes forward from the start of the block and leaves the state at each iteration of its loop in
memory, one goes backward, the noise drawn anew. What all paths have in common (step coefficients,
constants) gets the sum of their derivatives: over the threads of a program here, over the programs
by XLA.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from ..._tuning import ON_GPU
from ..drawing import Drawing
from .numbers import Dry, Numbers, Unknown, alike, has_rule
from .program import Program, prepared
from .threads import (
    KernelContext,
    Threads,
    flat,
    is_whole,
    looped,
    of_one_path,
    row_length,
    run_threads,
    sample,
    shapes_of,
    split,
)


def chosen(tree: list, which) -> list:
    return [x for x, one in zip(tree, which, strict=True) if one]


@dataclasses.dataclass(frozen=True)
class Pull:
    """The derivative of one iteration of the loop, of one path.

    `program`: (constants, state, coefficients, normals, derivatives of the state after it) -> those
    by `constants`, where these ask for it, by the state before, and by `coefficients`, step by
    step; `steps`: the program of an iteration, for no more than that takes; `needed`: which leaves
    of the state.
    """

    program: Program
    steps: Program
    needed: tuple[bool, ...]

    def whole(self, state: list) -> list:
        """A state of which only what is needed is there."""
        rest = iter(state)
        return [next(rest) if one else None for one in self.needed]


@functools.lru_cache(maxsize=8)
def pull_of(
    program: Program,
    unroll: int,
    row: int | None,
    constants: tuple,
    asked: tuple,
    by_coefficients: tuple,
) -> Pull:
    """The derivative of a program by the constants and coefficients that are asked for.

    **Arguments:** `constants`, their shapes; `asked`, `by_coefficients`, whether by each of them.

    **Raises:** Unknown.
    """
    count, every = len(program.results), by_coefficients * unroll

    def pulled(constants, arguments, derivatives):
        state, others = arguments[:count], arguments[count:]
        coefficients, normals = others[: len(every)], others[len(every) :]

        def after(trained):
            own_constants, state, own_coefficients = map(iter, trained)
            merged = [
                next(own_constants) if one else x for x, one in zip(constants, asked, strict=True)
            ]
            own = [
                next(own_coefficients) if one else x
                for x, one in zip(coefficients, every, strict=True)
            ]
            return program(merged, [*state, *own, *normals])

        trained = chosen(constants, asked), state, chosen(coefficients, every)
        return jax.vjp(after, trained)[1](derivatives)

    avals: list[Any] = [x.aval for x in program.arguments]
    arguments = shapes_of(avals)
    closed = jax.make_jaxpr(pulled)(list(constants), arguments, arguments[:count])
    is_read = lambda x: isinstance(x, Tracer) or is_whole(x.shape, row)
    pull, read = prepared(closed, is_read, has_rule)
    if read:
        raise Unknown("constants of a derivative")
    used, names = pull.uses(), pull.arguments[len(constants) :][:count]
    needed = [name in used for name in names]
    while True:  # what it takes to know these after an iteration
        steps = program.asked(chosen(program.results, needed))
        used = steps.uses()
        more = [one or x in used for one, x in zip(needed, program.arguments[:count], strict=True)]
        if more == needed:
            return Pull(pull, steps, tuple(needed))
        needed = more


def pull_for(
    threads: Threads, constants: list, asked: list[bool], by_coefficients: list[bool]
) -> Pull:
    shapes = tuple(shapes_of(constants))
    return pull_of(
        threads.program, threads.unroll, threads.row, shapes, tuple(asked), tuple(by_coefficients)
    )


def check(threads: Threads, constants: list, table: list) -> None:
    """Whether there are such kernels, for the derivative by all.

    **Raises:** Unknown.
    """
    real = lambda arrays: [jnp.issubdtype(x.dtype, jnp.floating) for x in arrays]
    pull = pull_for(threads, constants, real(constants), real(table))
    Dry(ON_GPU.operations, threads.row).check(pull.program)
    room = max(leaf.size for leaf in threads.leaves) * (threads.steps // threads.unroll)
    if room >= 2**31:
        raise Unknown("more numbers than places")


@eqx.filter_custom_vjp
def moved(given: tuple, threads: Threads) -> list[Array]:
    """The leaves of the state after all rows of the table."""
    return run_threads(given, threads)


@moved.def_fwd
def _forward(perturbed, given, threads):
    # Nobody asks for the state after a block while it is differentiated, and XLA drops that kernel.
    pull = pull_for(threads, given[0], perturbed[0], perturbed[2])
    return run_threads(given, threads), passed(given, pull, threads)


@moved.def_bwd
def _backward(residuals, derivatives, perturbed, given, threads):
    constants, leaves, table = given
    asked, _, by_coefficients = perturbed
    pull = pull_for(threads, constants, asked, by_coefficients)
    derivatives = [
        jnp.zeros_like(x) if one is None else one
        for one, x in zip(derivatives, leaves, strict=True)
    ]
    some = chosen(constants, asked), chosen(table, by_coefficients)
    by_constants, by_leaves, by_table = pulled(given, residuals, derivatives, some, pull, threads)
    spread = lambda found, which: [next(found) if one else None for one in which]
    return spread(iter(by_constants), asked), by_leaves, spread(iter(by_table), by_coefficients)


def passed(given, pull: Pull, threads: Threads) -> list[Array]:
    """The needed leaves of the state at the start of each iteration, on a leading axis."""
    given = given[0], chosen(given[1], pull.needed), given[2]
    constants, leaves, table = map(shapes_of, given)
    layout, iterations = threads.layout, threads.steps // threads.unroll
    shapes = [sample(leaf) for leaf in leaves]

    def block(context: KernelContext, refs):
        read, begin, coefficients, memory = split(
            refs, len(constants), len(leaves), len(table), len(leaves)
        )
        known = [context.of_all(ref, x.shape) for ref, x in zip(read, constants, strict=True)]

        def iterate(i, values):
            state = layout.arrays(values, shapes)
            for ref, leaf, own in zip(memory, leaves, state, strict=True):
                context.left(ref, leaf, own, i * np.int32(leaf.size))
            arguments = [
                *pull.whole(state),
                *context.coefficients(coefficients, i),
                *context.normals(i),
            ]
            state = Numbers(ON_GPU.operations, layout.row).evaluated(pull.steps, known, arguments)
            return [alike(x, old)[0] for x, old in zip(flat(state), values, strict=True)]

        state = [context.of_paths(ref, x) for ref, x in zip(begin, leaves, strict=True)]
        looped(iterations, iterate, flat(state))

    left = [jax.ShapeDtypeStruct((iterations, *x.shape), x.dtype) for x in leaves]
    done = threads.called(block, list(itertools.chain(*given)), left)
    return [x.reshape(like.shape) for x, like in zip(done, left, strict=True)]


def pulled(
    given,
    left: list[Array],
    derivatives: list,
    some: tuple[list, list],
    pull: Pull,
    threads: Threads,
) -> tuple[list, list, list]:
    """The derivatives by `some` constants, by the state, and by some of the table.

    **Arguments:** `left`: what `passed` returns; `derivatives`: by the state after the block.
    """
    constants, leaves, table = map(shapes_of, given)
    layout, iterations = threads.layout, threads.steps // threads.unroll
    shapes, memory = [sample(leaf) for leaf in leaves], chosen(leaves, pull.needed)
    of_constants, of_table = map(shapes_of, some)
    counts = len(of_constants), len(leaves), len(of_table)

    def block(context: KernelContext, refs):
        inputs = len(constants), len(memory), len(table), len(leaves)
        read, kept, coefficients, after, by_constants, before, by_coefficients = split(
            refs, *inputs, *counts
        )
        known = [context.of_all(ref, x.shape) for ref, x in zip(read, constants, strict=True)]

        def iterate(j, values):
            i, (sums, derivatives) = np.int32(iterations - 1) - j, values
            state = [
                context.of_paths(ref, leaf, i * np.int32(leaf.size))
                for ref, leaf in zip(kept, memory, strict=True)
            ]
            arguments = [
                *known,
                *pull.whole(state),
                *context.coefficients(coefficients, i),
                *context.normals(i),
            ]
            arguments += layout.arrays(derivatives, shapes)
            found = Numbers(ON_GPU.operations, layout.row).evaluated(pull.program, [], arguments)
            constant, state, row = split(found, *counts[:2], counts[2] * layout.unroll)
            for at, own in enumerate(row):
                n, which = divmod(at, len(of_table))
                step = context.program * layout.steps + i * layout.unroll + n
                context.sums(by_coefficients[which], of_table[which].shape[1:], own, step)
            state = [alike(x, y)[0] for x, y in zip(flat(state), derivatives, strict=True)]
            return [x + y for x, y in zip(sums, flat(constant), strict=True)], state

        begun = [context.of_paths(ref, x) for ref, x in zip(after, leaves, strict=True)]
        nothing = [context.nothing(x.shape, x.dtype) for x in of_constants]
        sums, state = looped(iterations, iterate, (flat(nothing), flat(begun)))
        for ref, leaf, own in zip(before, leaves, layout.arrays(state, shapes), strict=True):
            context.left(ref, leaf, own)
        sums = layout.arrays(sums, [x.shape for x in of_constants])
        for ref, x, own in zip(by_constants, of_constants, sums, strict=True):
            context.sums(ref, x.shape, own, context.program)

    each = lambda x: jax.ShapeDtypeStruct((threads.grid, *x.shape), x.dtype)
    outputs = [*map(each, of_constants), *leaves, *map(each, of_table)]
    done = threads.called(block, [*given[0], *left, *given[2], *derivatives], outputs)
    done = [x.reshape(like.shape) for x, like in zip(done, outputs, strict=True)]
    by_constants, before, by_table = split(done, *counts)
    total = lambda arrays: [jnp.sum(x, axis=0) for x in arrays]
    return total(by_constants), before, total(by_table)


def advance_in_threads(
    step: Callable,
    drawing: Drawing,
    first,
    state: PyTree[Array],
    coefficients: PyTree[Array],
    differentiated: bool,
) -> Any:
    """The state after a block; None where that is no kernel.

    **Arguments:** `step`: (state, coefficients, normals) -> state, of a batch; `drawing`: the
    noise, whose step `first` is the first of the block; `state`, `coefficients`: arrays
    `(batch, ...)`, `(steps, ...)`; `differentiated`: whether reverse mode goes through it.
    """
    leaves, structure = jax.tree.flatten(state)
    table, number = jax.tree.leaves(coefficients), drawing.counted.counter(first)
    closed = of_one_path(step, drawing, state, coefficients)
    for row in dict.fromkeys((row_length(drawing), None)):
        is_read = lambda x, row=row: isinstance(x, Tracer) or is_whole(np.shape(x), row)
        program, constants = prepared(closed, is_read, has_rule)
        constants = [jnp.asarray(x) for x in constants]
        like = tuple(shapes_of(leaves)), tuple(shapes_of(table))
        threads = Threads(drawing, number, program, *like, row)
        try:
            threads.check(constants)
            Dry(ON_GPU.operations, row).check(program)
            if differentiated:
                check(threads, constants, table)
            return structure.unflatten(moved((constants, leaves, table), threads))
        except Unknown:
            continue
    return None
