"""The record that every path fills: work, heat, and what the integrator itself did."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._component import AbstractComponent
from ._tree import where_alive


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
    - `kinetic_start`, `kinetic`: the kinetic part of both; overdamped, that of the integrator's
      hidden momentum.
    - `alive`: 1 while the path is finite; a path that diverges is frozen there and set to 0, and
      so is one whose energy is not finite at the start or after a switch.
    """

    work: Float[Array, " batch"]
    heat: Float[Array, " batch"]
    shadow_work: Float[Array, " batch"]
    drive_work: Float[Array, " batch"]
    kick_work: Float[Array, " batch"]
    bath_entropy: Float[Array, " batch"]
    energy_start: Float[Array, " batch"]
    energy: Float[Array, " batch"]
    kinetic_start: Float[Array, " batch"]
    kinetic: Float[Array, " batch"]
    alive: Float[Array, " batch"]

    @classmethod
    def opened(
        cls, energy: Float[Array, " batch"], kinetic: Float[Array, " batch"], limit: Any = jnp.inf
    ) -> Ledger:
        """The empty ledger of paths that start with these energies, whole and kinetic.

        A path is alive where the energy is within the `limit`, a scalar.
        """
        zero, alive = jnp.zeros_like(energy), within(energy, limit).astype(energy.dtype)
        return cls(zero, zero, zero, zero, zero, zero, energy, energy, kinetic, kinetic, alive)

    def booked(
        self,
        *,
        energy: Float[Array, " batch"],
        kinetic: Float[Array, " batch"],
        alive: Float[Array, " batch"] | None = None,
        work: Any = 0.0,
        heat: Any = 0.0,
        shadow_work: Any = 0.0,
        drive_work: Any = 0.0,
        kick_work: Any = 0.0,
        bath_entropy: Any = 0.0,
    ) -> Ledger:
        """The ledger after these amounts, each a scalar or `(batch,)`: all that is booked, is here.

        `energy` and `kinetic` are H and its kinetic part afterwards, and `alive` who is (None: who
        was). With a leading axis on all of them, of sums up to each of several steps, the ledgers
        after each of these.
        """
        like = lambda x: jnp.broadcast_to(x, energy.shape)
        return Ledger(
            work=like(self.work + work),
            heat=like(self.heat + heat),
            shadow_work=like(self.shadow_work + shadow_work),
            drive_work=like(self.drive_work + drive_work),
            kick_work=like(self.kick_work + kick_work),
            bath_entropy=like(self.bath_entropy + bath_entropy),
            energy_start=like(self.energy_start),
            energy=energy,
            kinetic_start=like(self.kinetic_start),
            kinetic=kinetic,
            alive=self.alive if alive is None else alive,
        )

    def switched(
        self, work: Float[Array, " batch"], kinetic: Float[Array, " batch"], limit: Any = jnp.inf
    ) -> Ledger:
        """The ledger after H has changed at a fixed position and momentum, which is work.

        `kinetic` is the part of the new energy. A path whose new energy is beyond the `limit`, a
        scalar, is alive no more; of one that was not alive before nothing is booked.
        """
        energy = self.energy + work
        alive = jnp.where(within(energy, limit), self.alive, 0)
        after = self.booked(energy=energy, kinetic=kinetic, alive=alive, work=work)
        return where_alive(self.alive > 0, after, self)

    @property
    def total_work(self) -> Float[Array, " batch"]:
        """W + W_shadow + W_drive + W_kick = Delta H + Q: the work of the discrete dynamics.

        This is the work for which <exp(-beta W)> = exp(-beta Delta F) is exact at any step.
        """
        return self.work + self.shadow_work + self.drive_work + self.kick_work

    @property
    def kinetic_heat(self) -> Float[Array, " batch"]:
        """The heat that came out of the momenta: W_kick - Delta K."""
        return self.kick_work - (self.kinetic - self.kinetic_start)

    @property
    def configurational_heat(self) -> Float[Array, " batch"]:
        """The heat that came out of the positions: W + W_shadow + W_drive - Delta U.

        The work of a mass that changes in time is counted here.
        """
        return self.heat - self.kinetic_heat

    @property
    def diverged(self):
        """True for paths that left the range of finite numbers, `(batch,)`."""
        return self.alive == 0


def within(energy: Float[Array, " batch"], limit):
    """True for energies that are finite and below the limit; False for NaN."""
    return jnp.abs(energy) < limit


def energy_limit(temperature, dtype):
    """The energy beyond which a path has diverged, for the temperatures of a run.

    The fourth root of the largest number: far below overflow, so that not only the frozen values
    but also the derivatives of the discarded step are finite, and a diverged path cannot put NaN
    into the gradient of the others. So many kT where kT is large in the units at hand.
    """
    most = float(jnp.finfo(dtype).max)
    scale = jnp.maximum(jax.lax.stop_gradient(jnp.max(jnp.asarray(temperature, dtype))), 1)
    return jnp.minimum(most**0.25 * scale, most**0.75)
