"""Samples of a model move between two changes of its parameters."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from .._arguments import flag, real, whole
from .._component import positive
from ..potential import AbstractPotential
from ..protocol import AbstractProtocol, Constant
from ..sampling import Chain, advance
from ..system import AbstractSystem, Bath, Overdamped, Underdamped


class Moves(eqx.Module):
    """`steps` steps of Langevin dynamics at kT = 1, corrected or not.

    **Arguments:** `dt`, time; `steps`; `friction`, a number for underdamped dynamics of unit mass,
    None for overdamped dynamics of unit mobility; `adjusted`, whether the steps together are
    accepted by Metropolis, so that they have no bias at any `dt`. Without it their shadow work is
    part of the weights of nonequilibrium training, and a bias elsewhere.
    **Raises:** ValueError for numbers out of range.
    """

    dt: Any
    steps: int = eqx.field(static=True)
    friction: Any = None
    adjusted: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        real("dt", self.dt, "a positive time step", positive)
        whole("steps", self.steps)
        if self.friction is not None:
            real("friction", self.friction, "a positive number, or None", positive)
        flag("adjusted", self.adjusted)

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

    def advance(self, potential: AbstractPotential, chain: Chain, sharding=None) -> Chain:
        """The chain after these steps."""
        return advance(
            self.system(potential),
            chain,
            dt=self.dt,
            steps=self.steps,
            adjusted=self.adjusted,
            sharding=sharding,
        )
