"""The ensemble's ledger through time, from paths."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._component import known
from ..distribution import EnsembleLedger
from ..estimate import Estimate, weighted_mean
from ..potential import batched_energy
from ..protocol import AbstractProtocol
from ..sampling import Result
from ..system import AbstractSystem, Overdamped
from .entropy import check_run, entropy_terms, free_energies_start, warn_of_ties
from .exponential import exponential_average


def ensemble_ledger(
    system: AbstractSystem, result: Result, free_energy_start=None
) -> EnsembleLedger:
    r"""The ledger of the distribution through time, as of `tj.FokkerPlanck`, estimated from paths.

    W, Q and <H> are means; F_eq(t) = F_eq(0) - kT ln <exp(-beta W_t)> (Jarzynski, at every
    instant); the entropy comes from nearest neighbors (`tj.knn_entropy`), and with it F, the
    divergence KL = beta (F - F_eq) and the entropy production beta (W - Delta F).

    **Arguments:** `system`, at a constant temperature, and the `tj.Result` of its run from
    equilibrium with `save=`, the default `observe`; `free_energy_start`, a number, -kT ln of the
    configuration integral before the first jump, where the potential does not know it itself.

    **Returns:** a `tj.EnsembleLedger` whose entries are `tj.Estimate`s of shape `(times,)`; the
    entropy is nan, and a warning says so, where paths repeat each other.

    **Raises:** ValueError for a run without snapshots or with diverged paths, a temperature that
    changes, or an unknown free energy.

    **Cost:** in one dimension a sort of the batch per snapshot; beyond that O(batch^2).
    """
    check_run(system, result)
    if isinstance(system.bath.temperature, AbstractProtocol):
        raise ValueError("the temperature changes in time: ensemble_ledger needs a constant one")
    saved = result.saved
    if saved is None or not isinstance(saved.values, tuple):
        raise ValueError("the run has no snapshots: pass save=50 to tj.simulate, without observe=")
    lost = known(result.diverged)
    if lost is not None and lost > 0:
        raise ValueError(f"{int(lost)} paths diverged: take a smaller dt, so that all survive")
    state, ledger = saved.values
    first = jax.tree.map(lambda leaf: leaf[0], state.position)
    configuration, momentum = free_energies_start(system, first, free_energy_start)
    overdamped = isinstance(system, Overdamped)
    start = configuration if overdamped else configuration + momentum
    kt, protocol = system.bath.temperature, system.protocol
    last = jnp.arange(len(saved.times)) == len(saved.times) - 1
    ended = last & (saved.times >= protocol.duration * (1 - 1e-6))

    def one(snapshot):
        time, held, ended, state, book = snapshot
        inside = protocol(jnp.minimum(time, protocol.duration))
        control = jnp.where(ended, protocol.final, inside)
        energy = batched_energy(system.potential, state.position, control)
        # Between steps the potential already holds the middle of the next: take that back.
        shift = energy - batched_energy(system.potential, state.position, held)
        work = book.total_work + shift
        if overdamped:
            flat, heat = flattened(state.position), book.configurational_heat
        else:
            flat = jnp.concatenate([flattened(state.position), flattened(state.momentum)], axis=1)
            energy, heat = energy + book.kinetic, book.heat
        entropy = entropy_terms(flat)
        level = exponential_average(-work / kt).log_ratio
        free = energy - kt * entropy
        mean = lambda values: weighted_mean(values, jnp.ones_like(values))
        equilibrium = Estimate(start - kt * level.value, kt * level.error, level.count)
        of_free = mean(free)
        divergence = Estimate(
            (of_free.value - equilibrium.value) / kt,
            jnp.hypot(of_free.error, equilibrium.error) / kt,
            of_free.count,
        )
        production = mean((work - free + start) / kt)
        return (
            *(mean(values) for values in (work, heat, energy, entropy)),
            of_free,
            equilibrium,
            divergence,
            mean(heat / kt),
            production,
        )

    entries = jax.lax.map(one, (saved.times, saved.control, ended, state, ledger))
    warn_of_ties(entries[3].value, "positions of paths")
    return EnsembleLedger(saved.times, *entries)


def flattened(tree):
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate(leaves, axis=1)
