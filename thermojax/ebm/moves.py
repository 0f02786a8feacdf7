"""Samples of a model move between two changes of its parameters."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jax.sharding import NamedSharding
from jaxtyping import PRNGKeyArray

from .._arguments import flag, instance, real, whole
from .._component import positive
from ..potential import AbstractPotential
from ..protocol import AbstractProtocol, Constant
from ..sampling import Chain, advance, start
from ..system import AbstractSystem, Bath, Overdamped, Underdamped


class Moves(eqx.Module):
    """`steps` steps of Langevin dynamics at kT = 1, corrected or not.

    **Arguments:** `dt`, time; `steps`; `friction`, a number for underdamped dynamics of unit mass,
    None for overdamped dynamics of unit mobility; `adjusted`, whether the steps together are
    accepted by Metropolis, so that they have no bias at any `dt`. Without it their shadow work is
    part of the weights of nonequilibrium training, and a bias elsewhere. `sharding`, such as
    `tj.batch_sharding()`: the devices among which walkers are shared out.
    **Raises:** ValueError for numbers out of range.
    """

    dt: Any
    steps: int = eqx.field(static=True)
    friction: Any = None
    adjusted: bool = eqx.field(static=True, default=False)
    sharding: NamedSharding | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        real("dt", self.dt, "a positive time step", positive)
        whole("steps", self.steps)
        if self.friction is not None:
            real("friction", self.friction, "a positive number, or None", positive)
        flag("adjusted", self.adjusted)
        if self.sharding is not None:
            instance("sharding", self.sharding, NamedSharding, "tj.batch_sharding(), or None")

    def system(
        self,
        potential: AbstractPotential,
        protocol: AbstractProtocol | None = None,
        temperature: Any = 1.0,
    ) -> AbstractSystem:
        """The potential in a bath, at rest unless a protocol is given."""
        protocol = Constant(0.0) if protocol is None else protocol
        friction = 1.0 if self.friction is None else self.friction
        bath = Bath(temperature=temperature, friction=friction)
        kind = Overdamped if self.friction is None else Underdamped
        return kind(potential, protocol, bath)

    def begin(
        self, system: AbstractSystem, key: PRNGKeyArray, initial: Any, batch: int | None = None
    ) -> Chain:
        """A chain of walkers."""
        return start(system, key, batch=batch, initial=initial, sharding=self.sharding)

    def advance(self, potential: AbstractPotential, chain: Chain) -> Chain:
        """The chain after these steps."""
        return advance(
            self.system(potential),
            chain,
            dt=self.dt,
            steps=self.steps,
            adjusted=self.adjusted,
            sharding=self.sharding,
        )
