"""The facts that the speed of a run depends on: sizes, and the terms of the energy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import JaxprEqn, subjaxprs
from jaxtyping import Array, PyTree

from .._tree import batch_of
from ..dynamics import (
    AbstractIntegrator,
    AbstractSplitting,
    AbstractStepNoise,
    GridBrownianPath,
    Timetable,
)
from ..system import AbstractSystem

LIBRARY = ("conv_general_dilated", "triangular_solve", "fft")  # calls of one, path after path


class Workload(NamedTuple):
    """The work of one device."""

    paths: int
    coordinates: int  # of a path
    itemsize: int  # bytes of a number
    draws: int  # normals of a step, per coordinate
    controls: int  # numbers of a control
    devices: int
    scheduled: bool  # whether the bath changes in time
    products: bool  # whether the energy multiplies by a matrix, or the like
    forward_mode: bool  # whether the energy has a derivative in forward mode, too
    splitting: bool  # whether a splitting takes normals that can each be drawn by itself

    @property
    def numbers(self) -> int:
        return self.paths * self.coordinates


def workload_of(
    system: AbstractSystem,
    table: Timetable,
    path: AbstractStepNoise,
    integrator: AbstractIntegrator,
    position: PyTree[Array],
    devices: int,
) -> Workload:
    """The work of one of `devices`, for a position of the whole batch; traces the energy once."""
    found = list(operations(system, table.control[0], position))
    leaves, batch = jax.tree.leaves(position), batch_of(position)
    counted = isinstance(path, GridBrownianPath)
    return Workload(
        paths=batch // devices,
        coordinates=sum(leaf.size for leaf in leaves) // batch,
        itemsize=max(leaf.dtype.itemsize for leaf in leaves),
        draws=integrator.draws,
        controls=table.control[0].size,
        devices=devices,
        scheduled=table.scheduled,
        products=any(map(multiplies, found)),
        # A derivative of its own for reverse mode only refuses forward mode.
        forward_mode=not any(x.primitive.name.startswith("custom_vjp") for x in found),
        splitting=counted and isinstance(integrator, AbstractSplitting),
    )


def multiplies(operation: Any) -> bool:
    name = operation.primitive.name
    vectors = all(x.aval.ndim <= 1 for x in operation.invars)
    return name in LIBRARY or (name == "dot_general" and not vectors)


def operations(system: AbstractSystem, control, position: PyTree[Array]) -> Iterator[JaxprEqn]:
    """All that the energy and the drive of one path compute."""
    sample = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), position)

    def motion(x):
        driven = None if system.drive is None else system.drive(x, control)
        return system.potential.energy(x, control), driven

    def within(jaxpr):
        yield from jaxpr.eqns
        for inner in subjaxprs(jaxpr):
            yield from within(inner)

    yield from within(jax.make_jaxpr(motion)(sample).jaxpr)
