"""A traced program of JAX as one list of operations."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var

WITHIN = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where a call keeps its program
LOOPS = ("scan", "while", "cond")


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Operations in order, from constants and arguments to results, of one level."""

    constants: list[Var]
    known: dict[Var, Any]
    arguments: list[Var]
    results: list[Var | Literal]
    operations: list[JaxprEqn]

    def asked(self, results: list[Var | Literal]) -> Program:
        """Without what these results do not ask for; its arguments and constants are the same."""
        needed, kept = set(variables(results)), []
        for equation in reversed(self.operations):
            if needed.intersection(equation.outvars):
                needed.update(variables(equation.invars))
                kept.append(equation)
        return dataclasses.replace(self, results=results, operations=kept[::-1])

    def uses(self) -> set[Var]:
        read = [equation.invars for equation in self.operations]
        return set(variables(itertools.chain(self.results, *read)))

    def __call__(self, constants: list, arguments: list) -> list:
        """Its results, from arrays."""
        names = (*self.constants, *self.arguments)
        values = dict(zip(names, (*constants, *arguments), strict=True)) | self.known
        return run(self.operations, values, self.results)


def variables(atoms) -> list[Var]:
    return [x for x in atoms if not isinstance(x, Literal)]


def run(operations: list[JaxprEqn], values: dict[Var, Any], results) -> list:
    """The results, calls of other programs taken apart."""
    values = dict(values)
    read = lambda x: x.val if isinstance(x, Literal) else values[x]
    for equation in operations:
        inputs, params = [read(x) for x in equation.invars], equation.params
        within = next((params[key] for key in WITHIN if key in params), None)
        if within is None or equation.primitive.name in LOOPS:
            found = equation.primitive.bind(*inputs, **params)
            found = found if equation.primitive.multiple_results else [found]
        else:
            inner = within if isinstance(within, ClosedJaxpr) else ClosedJaxpr(within, ())
            names = (*inner.jaxpr.constvars, *inner.jaxpr.invars)
            given = dict(zip(names, (*inner.consts, *inputs), strict=True))
            found = run(inner.jaxpr.eqns, given, inner.jaxpr.outvars)
        values.update(zip(equation.outvars, found, strict=True))
    return [read(x) for x in results]


def one_level(program: ClosedJaxpr) -> ClosedJaxpr:
    """The same program without calls of others."""
    jaxpr = program.jaxpr
    names, consts = (*jaxpr.constvars, *jaxpr.invars), program.consts
    given = lambda arguments: dict(zip(names, (*consts, *arguments), strict=True))
    avals = [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in jaxpr.invars]
    inner = lambda *arguments: run(jaxpr.eqns, given(arguments), jaxpr.outvars)
    return jax.make_jaxpr(inner)(*avals)


def prepared(program: ClosedJaxpr, is_read: Callable, has_rule: Callable) -> tuple[Program, list]:
    """A program of one level, without what nobody asks for, and the constants that are read.

    What it does to its constants alone is done here, once, if there is no rule for it (`has_rule`).
    Constants that are not read (`is_read`) are known to the program.
    """
    jaxpr, operations = (program := one_level(program)).jaxpr, []
    values: dict[Var, Any] = dict(zip(jaxpr.constvars, program.consts, strict=True))
    constants = dict(values)
    for equation in jaxpr.eqns:
        if all(x in values for x in variables(equation.invars)):
            found = run([equation], values, equation.outvars)
            values |= dict(zip(equation.outvars, found, strict=True))
            if not has_rule(equation):
                constants |= {name: values[name] for name in equation.outvars}
                continue
        operations.append(equation)
    whole = Program([], {}, jaxpr.invars, jaxpr.outvars, operations).asked(jaxpr.outvars)
    needed = whole.uses()
    constants = {name: value for name, value in constants.items() if name in needed}
    read = {name: value for name, value in constants.items() if is_read(value)}
    known = {name: value for name, value in constants.items() if name not in read}
    return dataclasses.replace(whole, constants=list(read), known=known), list(read.values())
