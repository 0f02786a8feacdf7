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

from .noise import GridBrownianPath
from .terms import DriftTerm, NoiseTerm, on_arrays

# The axis of an array that is cut into shares; None where every device has the whole.
BATCH, LATER_BATCH, WHOLE = 0, 1, None


def shares_of(sharding: NamedSharding | None) -> int:
    """Into how many parts the batch is cut."""
    if sharding is None:
        return 1
    return math.prod(sharding.mesh.shape[name] for name in axes_of(sharding))


def axes_of(sharding: NamedSharding) -> tuple[str, ...]:
    """The axes of the mesh that share the batch."""
    first = sharding.spec[0]
    return first if isinstance(first, tuple) else (first,)


def copied(drift: DriftTerm, sharding: NamedSharding | None) -> DriftTerm:
    """The drift with a copy of every array for each share of the batch, on its own device."""
    if sharding is None:
        return drift
    shares = shares_of(sharding)

    def copies(leaf):
        leaf = jnp.broadcast_to(leaf, (shares, *jnp.shape(leaf)))
        return jax.lax.with_sharding_constraint(leaf, sharding)

    return dataclasses.replace(on_arrays(copies, drift), copies=True)


def as_copy(own: DriftTerm, like: DriftTerm) -> DriftTerm:
    """A derivative by `like.own()`, shaped as one by `like`."""
    if not like.copies:
        return own
    return dataclasses.replace(on_arrays(lambda leaf: leaf[None], own), copies=True)


def path_of(device, path: GridBrownianPath) -> GridBrownianPath:
    """The noise of the paths of one device, which knows of no other."""
    shares = shares_of(path.sharding)
    return dataclasses.replace(path.share(device, shares), sharding=None, shares=shares)


def own_path(path: GridBrownianPath) -> GridBrownianPath:
    """The noise of the paths of the device at hand, inside of shard_map."""
    assert path.sharding is not None
    return path_of(jax.lax.axis_index(axes_of(path.sharding)), path)


def by_device(function, drift: DriftTerm, noise: NoiseTerm, arguments: tuple, axes, out_axes):
    """`function(drift, noise, *arguments)` on every device, with what is its own of all of them.

    **Arguments:** `drift`: as `copied` returns it; `axes`, `out_axes`: the axis that is cut, for
    each of `arguments` and in what comes back, or for whole subtrees of both.
    """
    sharding = noise.path.sharding
    if sharding is None:
        return function(drift, noise, *arguments)

    def spec(axis: int | None) -> PartitionSpec:
        return PartitionSpec() if axis is None else PartitionSpec(*(None,) * axis, sharding.spec[0])

    specs = lambda axes: jax.tree.map(spec, axes, is_leaf=lambda axis: axis is None)
    dynamic, static = eqx.partition((drift, noise.path, arguments), eqx.is_array)

    def on_device(dynamic):
        drift, path, arguments = eqx.combine(dynamic, static)
        drift = drift.own()
        own = NoiseTerm(drift.system, drift.table, own_path(path), noise.traits)
        return function(drift, own, *arguments)

    run: Any = jax.shard_map(
        on_device,
        mesh=sharding.mesh,
        in_specs=(specs((BATCH, WHOLE, axes)),),
        out_specs=specs(out_axes),
        check_vma=False,
    )
    return run(dynamic)
