"""The samples of a machine, and the heat that each cost."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._arguments import real
from .._component import AbstractComponent
from ..estimate import Estimate, weighted_mean


class Generated(AbstractComponent):
    r"""Samples of a `tj.generate.Computer`; arrays have the batch as their first axis.

    - `position`, `(batch, units)`: all units at the end.
    - `heat`, `(batch,)`: V(x_0) - V(x_end), released to the bath while the machine ran. It is the
      ledger's heat of the positions less the shadow work of its steps.
    - `switching_on`, `switching_off`, `(batch,)`: the work of the couplings' V - V_0 at the start,
      and of taking it away at the end.
    - `alive`, `(batch,)`: 0 for samples that diverged; all means leave them out.
    - `times`, `(save,)`, and `snapshots`, `(save, batch, units)`: where asked for, or None.
    """

    position: Float[Array, "batch units"]
    heat: Float[Array, " batch"]
    switching_on: Float[Array, " batch"]
    switching_off: Float[Array, " batch"]
    alive: Float[Array, " batch"]
    temperature: Float[Array, ""]
    times: Float[Array, " save"] | None
    snapshots: Float[Array, "save batch units"] | None
    bits: int = eqx.field(static=True)  # the number of visible units, one bit each

    @property
    def visible(self) -> Float[Array, "batch visible"]:
        """The visible units at the end."""
        return self.position[:, : self.bits]

    @property
    def hidden(self) -> Float[Array, "batch hidden"]:
        """The hidden units at the end."""
        return self.position[:, self.bits :]

    @property
    def mean_heat(self) -> Estimate:
        """The heat of a sample in kT."""
        return self.mean_in_kt(self.heat)

    @property
    def mean_switching_on(self) -> Estimate:
        """The work of switching the couplings on, in kT."""
        return self.mean_in_kt(self.switching_on)

    @property
    def cycle_work(self) -> Estimate:
        """The work of switching on and off in kT, which is the heat of the whole cycle.

        After a run the couplings are taken away and units relax to where they began, so that over a
        cycle all work becomes heat; on average it is not negative.
        """
        return self.mean_in_kt(self.switching_on + self.switching_off)

    @property
    def diverged(self) -> Int[Array, ""]:
        """The number of samples that left the range of finite numbers."""
        return jnp.sum(self.alive == 0)

    def heat_per_bit(self, bits: float | None = None) -> Estimate:
        """The mean heat in kT ln 2 per bit: 1 is Landauer's price of one erased bit.

        **Arguments:** `bits`, a number: information of a sample; by default one per visible unit.
        Of one class among k it would be log2(k). **Raises:** ValueError unless it is positive.
        """
        count = self.bits if bits is None else bits
        real("bits", count, "a positive number of bits", lambda x: (x > 0) & (x < math.inf))
        heat, unit = self.mean_heat, math.log(2) * count
        return Estimate(heat.value / unit, heat.error / unit, heat.count)

    def mean_in_kt(self, energies: Float[Array, " batch"]) -> Estimate:
        """The mean over those that did not diverge, in kT."""
        kept = jnp.where(self.alive > 0, energies, 0)
        return weighted_mean(kept / self.temperature, self.alive)
