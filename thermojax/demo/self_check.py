"""The check that the page shows first: simulated against exact law, books against theory."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..sampling import Chain, Equilibrium, State, advance, start, switch
from ..system import Underdamped
from .law import GaussianLaw, equilibrium_law, law_moved, law_switched
from .oscillators import Knobs, bath_of, oscillator_energy, oscillator_system

PATHS = 20_000
DT, STEPS = 0.02, 50
BEFORE, AFTER = Knobs(), Knobs(temperature=1.5, friction=0.7, mass=0.8, coupling=1.0)
FIRST = (2.0, -1.0)  # where every path of the first part begins
MOST = 4.5  # standard errors


class Comparison(NamedTuple):
    """One number of the check: simulated with its standard error, and exact."""

    name: str
    simulated: float
    error: float
    exact: float

    @property
    def deviation(self) -> float:
        """In standard errors; infinite where nothing is finite."""
        z = (self.simulated - self.exact) / self.error if self.error > 0 else math.inf
        return z if math.isfinite(z) else math.inf

    @property
    def fine(self) -> bool:
        return abs(self.deviation) < MOST


class SelfCheck(NamedTuple):
    """All comparisons, and by how much the first law is missed in the worst of all paths, in kT."""

    comparisons: tuple[Comparison, ...]
    first_law: float

    @property
    def fine(self) -> bool:
        return all(x.fine for x in self.comparisons) and self.first_law < 1e-4


def self_check(key: PRNGKeyArray) -> SelfCheck:
    """Compare 20,000 paths with the exact law, on the way to equilibrium and in a quench.

    First from one point: mean and covariance of the positions after a time. Then from equilibrium:
    the temperature, the mass and the coupling jump, and work, heat, and the mean of Jarzynski's
    weight are compared as well.

    **Arguments:** `key`. **Returns:** a `SelfCheck`.
    """
    return SelfCheck(
        (
            *relaxation(jax.random.fold_in(key, 1)),
            *(found := quench(jax.random.fold_in(key, 2)))[0],
        ),
        found[1],
    )


@jax.jit
def advanced(system: Underdamped, chain: Chain) -> Chain:
    return advance(system, chain, dt=DT, steps=STEPS)


def exact_moved(law: GaussianLaw, knobs: Knobs) -> GaussianLaw:
    return law_moved(law, oscillator_energy(knobs), bath_of(knobs), DT * STEPS)


def relaxation(key: PRNGKeyArray) -> list[Comparison]:
    """The law of positions on the way from one point with momenta at rest."""
    system = oscillator_system(AFTER)
    begun = State(jnp.tile(jnp.array(FIRST), (PATHS, 1)), jnp.zeros((PATHS, 2)), "underdamped")
    chain = advanced(system, start(system, key, initial=begun))
    law = equilibrium_law(oscillator_energy(AFTER), bath_of(AFTER))
    law = law._replace(mean=jnp.array([*FIRST, 0, 0]), covariance=jnp.zeros((4, 4)))
    law = exact_moved(law, AFTER)
    x, time = np.asarray(chain.position), DT * STEPS
    away = x - np.asarray(law.mean)[:2]
    values = {
        f"mean of x1 at time {time:g}": (x[:, 0], law.mean[0]),
        f"mean of x2 at time {time:g}": (x[:, 1], law.mean[1]),
        f"variance of x1 at time {time:g}": (away[:, 0] ** 2, law.covariance[0, 0]),
        f"covariance of x1 and x2 at time {time:g}": (
            away[:, 0] * away[:, 1],
            law.covariance[0, 1],
        ),
    }
    return [compared(name, of_paths, exact) for name, (of_paths, exact) in values.items()]


def quench(key: PRNGKeyArray) -> tuple[list[Comparison], float]:
    """Work, heat, and the equilibrium at the end, of a sudden change of everything."""
    old, new = oscillator_system(BEFORE), oscillator_system(AFTER)
    chain = start(old, key, batch=PATHS, initial=Equilibrium(jnp.zeros(2)))
    chain = switch(chain, old, new)
    energies = oscillator_energy(BEFORE), oscillator_energy(AFTER)
    law = equilibrium_law(energies[0], bath_of(BEFORE))
    law = law_switched(law, energies, (BEFORE.mass, AFTER.mass))
    for _ in range(20):
        chain, law = advanced(new, chain), exact_moved(law, AFTER)
    book, x = chain.ledger, np.asarray(chain.position)
    # Z of phase space, kT (ln 2 pi kT / omega) for each mode, after over before.
    ratio = np.exp(log_partition(AFTER) - log_partition(BEFORE))
    inverse = np.linalg.inv(np.asarray(energies[1].stiffness))
    values = {
        "work of the quench": (book.total_work, law.work),
        "heat until equilibrium": (book.heat, law.heat),
        "mean of exp(log weight), Z'/Z": (np.exp(np.asarray(chain.log_weight)), ratio),
        "(A^-1)_11 from <x1 x1>/kT": (x[:, 0] ** 2 / AFTER.temperature, inverse[0, 0]),
        "(A^-1)_12 from <x1 x2>/kT": (x[:, 0] * x[:, 1] / AFTER.temperature, inverse[0, 1]),
    }
    missed = book.energy - book.energy_start - (book.total_work - book.heat)
    found = [compared(name, of_paths, exact) for name, (of_paths, exact) in values.items()]
    return found, float(jnp.max(jnp.abs(missed)))


def log_partition(knobs: Knobs) -> float:
    """ln Z of phase space but for constants: d ln kT + (d ln m - ln det A) / 2."""
    logdet = np.linalg.slogdet(np.asarray(oscillator_energy(knobs).stiffness))[1]
    return 2 * math.log(knobs.temperature) + math.log(knobs.mass) - 0.5 * float(logdet)


def compared(name: str, of_paths, exact) -> Comparison:
    values = np.asarray(of_paths, float)
    error = values.std(ddof=1) / math.sqrt(len(values))
    return Comparison(name, float(values.mean()), float(error), float(exact))
