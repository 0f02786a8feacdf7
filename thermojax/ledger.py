"""The record that every path fills: work, heat, and what the integrator itself did."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._component import AbstractComponent


class Ledger(AbstractComponent):
    r"""Energies of every path, each `(batch,)`; the first law holds path by path to rounding:

        energy - energy_start = work + shadow_work + drive_work + kick_work - heat.

    - `work`: done ON the system by the protocol at fixed x, jumps at the ends included (and by
      a mass that changes at fixed p).
    - `heat`: released TO the bath, booked in the friction-and-noise substep.
    - `shadow_work`: what the deterministic substeps change beyond work and drive; it vanishes
      with the step and is summed from its own pieces, never as a remainder (Sivak, Chodera,
      Crooks, PRX 3, 011007 (2013)).
    - `drive_work`: of a non-conservative force. `kick_work`: of momentum kicks.
    - `bath_entropy`: sum of beta_i Q_i, the entropy the bath takes up.
    - `energy_start`, `energy`: H before the first jump and now, kinetic part included.
    - `alive`: 1 while the path is finite; a path that diverges is frozen there and set to 0.
    """

    work: Float[Array, " batch"]
    heat: Float[Array, " batch"]
    shadow_work: Float[Array, " batch"]
    drive_work: Float[Array, " batch"]
    kick_work: Float[Array, " batch"]
    bath_entropy: Float[Array, " batch"]
    energy_start: Float[Array, " batch"]
    energy: Float[Array, " batch"]
    alive: Float[Array, " batch"]

    @classmethod
    def opened(cls, energy: Float[Array, " batch"]) -> Ledger:
        """The empty ledger of paths that start with these energies."""
        zero = jnp.zeros_like(energy)
        return cls(zero, zero, zero, zero, zero, zero, energy, energy, jnp.ones_like(energy))

    @property
    def total_work(self) -> Float[Array, " batch"]:
        """W + W_shadow + W_drive + W_kick = Delta H + Q: the work of the discrete dynamics.

        This is the work for which <exp(-beta W)> = exp(-beta Delta F) is exact at any step.
        """
        return self.work + self.shadow_work + self.drive_work + self.kick_work

    @property
    def diverged(self):
        """Which paths left the range of finite numbers, `(batch,)` of bools."""
        return self.alive == 0
