"""A system split in two: the leaves that train, and the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._component import shown
from ..protocol import AbstractProtocol, values_at
from ..system import AbstractSystem

SAMPLES = 65  # times at which a schedule of the bath is looked at


def split_trainable(system: AbstractSystem, trainable: Callable | None) -> tuple[Any, Any]:
    """(what trains, the rest); `eqx.combine` puts them together again.

    By default the protocol's own choice trains: its values and kicks. Else `trainable(system)`
    returns the leaf, or tuple of leaves, as in `lambda s: (s.protocol.values, s.bath.friction)`.

    **Raises:** ValueError where nothing trains.
    """
    names = system.protocol.trainable()
    if trainable is None and not names:
        kind = type(system.protocol).__name__
        raise ValueError(
            f"{kind} has nothing to train: use tj.PiecewiseLinear.between(...) as the protocol, "
            "or name the leaves with trainable=lambda system: ..."
        )

    def chosen(s):
        if trainable is None:
            return [getattr(s.protocol, name) for name in names]
        picked = trainable(s)
        return list(picked) if isinstance(picked, tuple | list) else [picked]

    leaves = {id(leaf) for leaf in jax.tree.leaves(system)}
    for part in chosen(system):
        if any(eqx.is_array(x) and id(x) not in leaves for x in jax.tree.leaves(part)):
            raise ValueError(
                f"trainable returned {shown(part)}, which was computed and is no part of the "
                "system: return its leaves themselves, such as lambda s: s.bath.friction"
            )
        if not any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(part)):
            raise ValueError(
                f"trainable picked {part!r}, which is no array of floats: pick array leaves"
            )
    mask = jax.tree.map(lambda _: False, system)
    # What was chosen may be a part, such as a network: then all arrays of floats in it train.
    mask = eqx.tree_at(chosen, mask, replace=chosen(jax.tree.map(eqx.is_inexact_array, system)))
    return eqx.partition(system, mask)


def projected(system: AbstractSystem) -> AbstractSystem:
    """Every protocol in the system within its bounds."""
    is_protocol = lambda x: isinstance(x, AbstractProtocol)
    return jax.tree.map(lambda x: x.project() if is_protocol(x) else x, system, is_leaf=is_protocol)


def inward(bounded: Callable, params, gradient):
    """The gradient, zero where a step against it would only be taken back by a bound."""
    ahead = bounded(jax.tree.map(lambda p, g: p - g, params, gradient))
    return jax.tree.map(lambda p, a, g: jnp.where(a == p, 0, g), params, ahead, gradient)


def not_positive(start, params, rest: AbstractSystem) -> str:
    """The name of a trained temperature, friction or mass that is not positive, else empty."""
    bath = eqx.combine(params, rest).bath
    for name in ("temperature", "friction", "mass"):
        if not jax.tree.leaves(getattr(start.bath, name)):
            continue
        value = getattr(bath, name)
        if isinstance(value, AbstractProtocol):
            value = values_at(value, jnp.linspace(0, 1, SAMPLES) * value.duration)
        if not all(jnp.all(leaf > 0) for leaf in jax.tree.leaves(value)):
            return name
    return ""
