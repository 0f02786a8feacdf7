"""Replica exchange: one potential at several temperatures, which trade places."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from .._arguments import instance, whole
from .._component import Numbers, finite, known, pytree_of_floats, require
from .._keys import check_key
from .._tree import batch_of, dtype_of
from ..potential import AbstractPotential, batched_energy
from ..sampling import advance, start
from .moves import Moves


class Exchanged(eqx.Module):
    """Replicas after their rounds, from `tj.ebm.replica_exchange`.

    - `position`: at each temperature, `(temperatures, walkers, ...)`. `samples`: those of the first
      temperature after each round, `(rounds, walkers, ...)`.
    - `energy`, `(rounds, temperatures, walkers)`. `acceptance`, `(temperatures,)`: of the moves.
    - `swap_rate`, `(temperatures - 1,)`: the share of exchanges between neighbors that happened.
    - `round_trips`, `(walkers,)`: ways of replicas from the first temperature to the last and back.
    """

    position: PyTree[Array]
    samples: PyTree[Array]
    energy: Float[Array, "rounds temperatures walkers"]
    acceptance: Float[Array, " temperatures"]
    swap_rate: Float[Array, " pairs"]
    round_trips: Int[Array, " walkers"]

    @property
    def doubt(self) -> str | None:
        """A sentence where replicas hardly trade places, else None."""
        rates, trips = known(self.swap_rate), known(self.round_trips)
        if rates is None or trips is None:
            return None
        if (least := float(np.min(rates))) < 0.05:
            pair = int(np.argmin(rates))
            return (
                f"{least:.1%} of the exchanges between temperatures {pair} and {pair + 1} "
                "happened: put another one between them"
            )
        if not np.any(trips):
            return "no replica has gone to the last temperature and back: take more rounds"
        return None


class Replicas(NamedTuple):
    """The state between two rounds; the first two axes of positions are temperature and walker."""

    position: Any
    label: Int[Array, "temperatures walkers"]  # which replica is there
    homeward: Array  # (temperatures, walkers) by replica: whether it has been at the last
    trips: Int[Array, " walkers"]
    swapped: Int[Array, " pairs"]
    accepted: Float[Array, " temperatures"]


def replica_exchange(
    potential: AbstractPotential,
    key: PRNGKeyArray,
    temperatures: Numbers,
    *,
    initial: PyTree[Array],
    moves: Moves,
    rounds: int,
) -> Exchanged:
    r"""Moves at each temperature, and exchanges between neighbors after each of the rounds.

    Replicas i and j trade places with probability min(1, exp((1/T_i - 1/T_j) (U_i - U_j))), pairs
    (0, 1), (2, 3), ... in one round and (1, 2), (3, 4), ... in the next, which lets replicas travel
    instead of diffuse. Each temperature keeps its equilibrium where moves are adjusted.

    **Arguments:** `potential`; `temperatures`, kT, increasing, at least two; `initial`, positions
    of the walkers, with a leading axis, from which each temperature begins; `moves`, a
    `tj.ebm.Moves`, whose time step is that of the first temperature, and longer with its root at
    the others; `rounds`.
    **Returns:** an `Exchanged`. **Raises:** ValueError for anything else.
    **Cost:** temperatures * rounds * moves.steps gradients for each walker.
    **Source:** K. Hukushima, K. Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996); S. Syed,
    A. Bouchard-Cote, G. Deligiannidis, A. Doucet, JRSS B 84, 321 (2022).
    """
    instance("potential", potential, AbstractPotential, "a potential")
    check_key(key)
    temperatures = finite("temperatures", temperatures)
    if temperatures.ndim != 1 or temperatures.size < 2:
        raise ValueError(f"temperatures has shape {temperatures.shape}: expected two or more")
    rising = lambda t: np.all(t > 0) & np.all(np.diff(t) > 0)
    require("temperatures", temperatures, rising, "positive and increasing numbers")
    initial = pytree_of_floats(initial, "initial")
    batch_of(initial, "initial")
    instance("moves", moves, Moves, "a tj.ebm.Moves(dt=..., steps=...)")
    return exchanged(potential, key, temperatures, initial, moves, whole("rounds", rounds))


@eqx.filter_jit
def exchanged(potential, key, temperatures, initial, moves: Moves, rounds: int) -> Exchanged:
    """The compiled part of `replica_exchange`."""
    count, walkers, dtype = len(temperatures), batch_of(initial), dtype_of(initial)
    temperatures = temperatures.astype(dtype)
    inverse = 1 / temperatures
    dt = jnp.asarray(moves.dt, dtype) * jnp.sqrt(temperatures / temperatures[0])

    def moved(key, position, temperature, dt):
        system = moves.system(potential, temperature=temperature)
        chain = start(system, key, initial=position)
        adjusted = moves.adjusted
        chain = advance(system, chain, dt=dt, steps=moves.steps, adjusted=adjusted)
        energy = batched_energy(potential, chain.position, jnp.zeros((), dtype))
        return chain.position, energy, chain.acceptance

    def step(replicas: Replicas, x):
        key, parity = x
        move_key, swap_key = jax.random.split(key)
        keys = jax.random.split(move_key, count)
        position, energy, taken = jax.vmap(moved)(keys, replicas.position, temperatures, dt)
        gain = (inverse[:-1] - inverse[1:])[:, None] * (energy[:-1] - energy[1:])
        drawn = jnp.log(jax.random.uniform(swap_key, gain.shape, dtype))
        turn = (jnp.arange(count - 1) % 2 == parity)[:, None]
        swap = turn & (drawn < gain)
        # Where each place gets its replica from: from above, from below, or its own.
        none = jnp.zeros((1, walkers), bool)
        place = jnp.arange(count)[:, None]
        source = place + jnp.concatenate([swap, none]) - jnp.concatenate([none, swap])
        pick = lambda x: jnp.take_along_axis(
            x, source.reshape(*source.shape, *[1] * (x.ndim - 2)), axis=0
        )
        position, energy = jax.tree.map(pick, position), pick(energy)
        label = pick(replicas.label)
        who = jnp.arange(walkers)
        home = replicas.homeward.at[label[-1], who].set(True)
        back = home[label[0], who]
        home = home.at[label[0], who].set(False)
        after = Replicas(
            position,
            label,
            home,
            replicas.trips + back,
            replicas.swapped + jnp.sum(swap, axis=1, dtype=jnp.int32),
            replicas.accepted + taken,
        )
        return after, (jax.tree.map(lambda x: x[0], position), energy)

    everywhere = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), initial)
    begun = Replicas(
        everywhere,
        jnp.broadcast_to(jnp.arange(count)[:, None], (count, walkers)),
        jnp.zeros((count, walkers), bool),
        jnp.zeros(walkers, jnp.int32),
        jnp.zeros(count - 1, jnp.int32),
        jnp.zeros(count, dtype),
    )
    xs = jax.random.split(key, rounds), jnp.arange(rounds) % 2
    last, (samples, energy) = jax.lax.scan(step, begun, xs)
    turns = walkers * ((rounds + 1 - jnp.arange(count - 1) % 2) // 2)
    return Exchanged(
        last.position,
        samples,
        energy,
        last.accepted / rounds,
        last.swapped / turns,
        last.trips,
    )
