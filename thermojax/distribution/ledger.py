"""The ledger of a distribution: what `tj.Ledger` is to one path, through time."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from .._repr import with_numbers


class EnsembleLedger(eqx.Module):
    r"""Averages over the whole ensemble, each `(times,)`; with k_B = 1 and beta the bath's:

        energy - energy[0-] = work - heat,                       the first law
        free_energy = energy - kT entropy,                       F[rho] = <H> - kT S[rho]
        free_energy - equilibrium_free_energy = kT divergence,   F - F_eq = kT KL(rho || pi)
        entropy_production = entropy - entropy[0-] + bath_entropy >= 0,   the second law

    - `times`: at 0 after the first jump, at the end after the last.
    - `work`: done ON the system (jumps, kicks, drive and shadow work included); `heat`: released
      TO the bath; both since before the first jump. `bath_entropy`: the integral of beta dQ.
    - `energy`: <H>; `entropy`: -int rho ln rho.
    - `divergence`: KL(rho_t || pi_t), in nats, from the equilibrium pi_t of the control at t.
    - `entropy_production`: Sigma, of system and bath together, in units of k_B.

    Underdamped, energy, entropy and both free energies are those of phase space; overdamped, of
    configuration. From `tj.moments` and `tj.FokkerPlanck` they are arrays; from
    `tj.ensemble_ledger`, which takes them from paths, each is a `tj.Estimate`.
    """

    times: Float[Array, " times"]
    work: Any
    heat: Any
    energy: Any
    entropy: Any
    free_energy: Any
    equilibrium_free_energy: Any
    divergence: Any
    bath_entropy: Any
    entropy_production: Any

    __pdoc__ = with_numbers
