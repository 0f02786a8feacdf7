"""The starts of a training: drawn once where a draw is dear and nothing that trains moves them."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from .._calls import Call, Computation
from .._keys import Purpose, part_key
from .._tree import depends
from ..sampling.initial import Start, energy_of, law_of_start, warn_burn_in
from ..sampling.pool import Pool
from ..system import AbstractSystem, reverse
from .picture import Particles


def drawn_once(
    picture: Any,
    params: Any,
    rest: AbstractSystem,
    key: PRNGKeyArray | None,
    *,
    both_ways: bool,
    warn: bool = False,
) -> Computation[Any]:
    """The picture with a pool of starts, for the reverse runs as well where `both_ways`.

    What the potential samples exactly is drawn anew in every run, and so is a start that moves with
    what trains: those pictures are returned as they are.
    """
    if not isinstance(picture, Particles):
        return picture
    for index, name in enumerate(("start", "back") if both_ways else ("start",)):
        start: Start | None = getattr(picture, name)
        turned = reverse if name == "back" else lambda system: system
        law = lambda p, turned=turned: law_of_start(turned(eqx.combine(p, rest)))
        if start is None or not start.burns_in or depends(law, params):
            continue
        pool, report = yield Call(fill, (law(params), start, part_key(key, Purpose.POOL, index)))
        if warn:
            warn_burn_in(report, rest.potential)
        ready = dataclasses.replace(start, pool=pool)
        picture = dataclasses.replace(picture, **{name: ready})
    return picture


@eqx.filter_jit
def fill(law, start: Start, key: PRNGKeyArray):
    energy, temperature = energy_of(law)
    return Pool.filled(key, energy, start.template, start.batch, temperature)
