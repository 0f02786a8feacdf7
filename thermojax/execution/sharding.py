"""A batch that lies on several devices: each takes its own paths through a block.

Paths never speak to each other. Every device works as one alone would, with a copy of its own of
all that the motion reads, so that derivatives are summed over devices once, at the end of a run.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from ..dynamics import DriftTerm, GridBrownianPath, NoiseTerm
from .drawing import cut_path

# The axis of an array that is cut, a slice for each device; None where every device has the whole.
BATCH, LATER_BATCH, WHOLE = 0, 1, None


def device_count(sharding: NamedSharding | None) -> int:
    """The number of devices over which the batch is cut."""
    if sharding is None:
        return 1
    return math.prod(sharding.mesh.shape[name] for name in axes_of(sharding))


def axes_of(sharding: NamedSharding) -> tuple[str, ...]:
    """The axes of the mesh over which the batch is cut."""
    first = sharding.spec[0]
    return first if isinstance(first, tuple) else (first,)


def on_arrays(function, tree):
    """`function` of every array of a tree, the rest as it is."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.tree.map(function, arrays), rest)


class CopiedDrift(eqx.Module):
    """A drift whose every array has a leading axis, with a copy for each device."""

    drift: DriftTerm

    def own(self) -> DriftTerm:
        """The first copy; on each device it is the only one."""
        return on_arrays(lambda leaf: leaf[0], self.drift)


def copied(drift: DriftTerm, sharding: NamedSharding | None) -> DriftTerm | CopiedDrift:
    """The drift with a copy of every array for each device, on that device."""
    if sharding is None:
        return drift
    devices = device_count(sharding)

    def copies(leaf):
        leaf = jnp.broadcast_to(leaf, (devices, *jnp.shape(leaf)))
        return jax.lax.with_sharding_constraint(leaf, sharding)

    return CopiedDrift(on_arrays(copies, drift))


def as_copy(derivative: DriftTerm) -> CopiedDrift:
    """A derivative by the drift of one device, shaped as one by its copy."""
    return CopiedDrift(on_arrays(lambda leaf: leaf[None], derivative))


def cut_noise(noise: NoiseTerm, number, count: int) -> NoiseTerm:
    """The noise of slice `number` of `count` of the batch, which knows of no other."""
    if count == 1:
        return noise
    assert isinstance(noise.path, GridBrownianPath)
    return dataclasses.replace(noise, path=cut_path(noise.path, number, count))


def by_device(
    function,
    sharding: NamedSharding | None,
    drift: DriftTerm | CopiedDrift,
    noise: NoiseTerm,
    arguments: tuple,
    axes,
    out_axes,
):
    """`function(drift, noise, *arguments)` on every device, with what is its own of all of them.

    **Arguments:** `drift`: as `copied` returns it; `axes`, `out_axes`: the axis that is cut, for
    each of `arguments` and in what comes back, or for whole subtrees of both.
    """
    if sharding is None:
        return function(drift, noise, *arguments)

    def spec(axis: int | None) -> PartitionSpec:
        return PartitionSpec() if axis is None else PartitionSpec(*(None,) * axis, sharding.spec[0])

    specs = lambda axes: jax.tree.map(spec, axes, is_leaf=lambda axis: axis is None)
    dynamic, static = eqx.partition((drift, noise.path, arguments), eqx.is_array)

    def on_device(dynamic):
        drift, path, arguments = eqx.combine(dynamic, static)
        drift = drift.own()
        noise = NoiseTerm(drift.system, drift.table, path)
        noise = cut_noise(noise, jax.lax.axis_index(axes_of(sharding)), device_count(sharding))
        return function(drift, noise, *arguments)

    run: Any = jax.shard_map(
        on_device,
        mesh=sharding.mesh,
        in_specs=(specs((BATCH, WHOLE, axes)),),
        out_specs=specs(out_axes),
        check_vma=False,
    )
    return run(dynamic)
