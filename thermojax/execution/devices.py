"""One batch on many devices, of one host or of many: its first axis is shared out among them.

Paths never speak to each other, so nothing is exchanged until somebody takes a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .._arguments import whole
from .._component import shown
from .sharding import device_count


def batch_sharding(devices: int | Sequence[Any] | None = None) -> NamedSharding:
    """The sharding that spreads the batch axis over devices, for `sharding=` of `tj.simulate`.

    **Arguments:** `devices`: None for all of all hosts, a number for the first so many, or a list
    of `jax.Device`.

    **Returns:** a NamedSharding over a mesh with the one Auto axis "batch".

    **Raises:** ValueError for more devices than there are, or none.
    """
    present = jax.devices()
    if devices is None:
        devices = present
    elif isinstance(devices, list | tuple):
        if not devices:
            raise ValueError("devices is empty: name at least one, or leave it out for all")
        if not all(isinstance(device, jax.Device) for device in devices):
            raise ValueError(
                f"devices = {shown(devices)}: expected a number, or jax.Device in a list"
            )
    else:
        count = whole("devices", devices, cure="or a list of jax.Device")
        if count > len(present):
            raise ValueError(
                f"devices = {count}: expected 1 to {len(present)}, the number jax finds here"
            )
        devices = present[:count]
    mesh = Mesh(np.asarray(list(devices)), ("batch",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("batch"))


def check_sharding(sharding: NamedSharding | None, batch: int) -> None:
    """**Raises:** ValueError for what is no NamedSharding of the first axis, or does not divide."""
    if sharding is None:
        return
    if not isinstance(sharding, NamedSharding):
        raise ValueError(
            f"sharding is a {type(sharding).__name__}: expected a jax.sharding.NamedSharding, "
            "such as tj.batch_sharding()"
        )
    spec = tuple(sharding.spec)
    if not spec or spec[0] is None or any(axis is not None for axis in spec[1:]):
        raise ValueError(
            f"sharding has the spec {sharding.spec}: expected one that shards the first axis only, "
            'the batch, as PartitionSpec("batch")'
        )
    mesh, axes = sharding.mesh, spec[0] if isinstance(spec[0], tuple) else (spec[0],)
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if any(kinds[axis] != AxisType.Auto for axis in axes):
        raise ValueError(
            f"sharding has a mesh with the axis types {mesh.axis_types}: expected AxisType.Auto, "
            "as tj.batch_sharding() makes it"
        )
    devices = device_count(sharding)
    if batch % devices:
        raise ValueError(
            f"batch = {batch} does not divide over {devices} devices: take a multiple of {devices}"
        )


def check_layout(position, name: str) -> None:
    """**Raises:** ValueError for a batch whose layout is part of its type: an Explicit mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    if AxisType.Explicit not in mesh.axis_types:
        return
    for leaf in jax.tree.leaves(position):
        if any(axis is not None for axis in jax.typeof(leaf).sharding.spec):
            raise ValueError(
                f"{name} is laid out over the Explicit mesh of jax.set_mesh: expected a mesh of "
                "AxisType.Auto; leave jax.set_mesh out and pass sharding=tj.batch_sharding()"
            )


def spread(tree, sharding: NamedSharding | None):
    """Every leaf `(batch, ...)` of the tree laid out so; the same tree for None."""
    if sharding is None:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), tree)
