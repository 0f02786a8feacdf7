"""The process of an annealing: the driven system of its numbers, its paths, and their weights."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._component import AbstractComponent
from .._keys import Purpose, purpose_key
from ..dynamics import AbstractSplitting
from ..potential import AbstractPotential
from ..sampling import Result, State, simulate
from ..system import Bath, TwoSidedDrive, Underdamped
from .base import AbstractBase
from .drive import AbstractDrive, Steering
from .energy import RampEnergy
from .schedule import GridProtocol, Schedule, StepProtocol


class AbstractAnnealer(AbstractComponent):
    """The numbers of an annealing, and the system that they make."""

    base: eqx.AbstractVar[AbstractBase]
    terms: eqx.AbstractVar[tuple[AbstractPotential, ...]]
    schedule: eqx.AbstractVar[Schedule]
    log_mass: eqx.AbstractVar[Float[Array, " dim"]]
    drive: eqx.AbstractVar[AbstractDrive | None]
    template: eqx.AbstractVar[PyTree[Array]]
    integrator: eqx.AbstractVar[AbstractSplitting]

    @property
    def steps(self) -> int:
        """K."""
        return self.schedule.steps

    def system(self) -> Underdamped:
        """The driven system whose run is the annealing; of the coordinates z of the base.

        Run it by `tj.simulate(annealer.system(), key, dt=annealer.schedule.values().dt, ...)`.
        """
        _, dt, rate = self.schedule.values()
        mass, duration, rows = jnp.exp(self.log_mass), jnp.sum(dt), self.rows
        protocol = GridProtocol(rows, duration, jnp.zeros_like(rows[0]), jnp.ones_like(rows[0]))
        friction = StepProtocol(rate[:, None] * mass, duration)
        drive = None if self.drive is None else TwoSidedDrive(Steering(self.drive))
        return Underdamped(self.ramp, protocol, Bath(1.0, friction, mass), drive)

    @property
    def rows(self) -> Float[Array, "steps_plus_1 k"]:
        """The controls at the grid points: couplings, and behind them s, from 0 to 1."""
        couplings = self.schedule.values().couplings
        s = jnp.linspace(0, 1, self.steps + 1, dtype=couplings.dtype)
        return jnp.column_stack([couplings, s])

    @property
    def ramp(self) -> RampEnergy:
        """The energy of the coordinates z, from the base's to the target's."""
        return RampEnergy(self.base, self.terms, self.template)


def momenta(annealer: AbstractAnnealer, key: PRNGKeyArray, batch: int) -> Float[Array, "batch dim"]:
    """Momenta of the equilibrium, which move with the masses."""
    like = annealer.log_mass
    normal = jax.random.normal(purpose_key(key, Purpose.MOMENTUM), (batch, like.size), like.dtype)
    return jnp.exp(0.5 * like) * normal


def kinetic_energy(
    annealer: AbstractAnnealer, momentum: Float[Array, "... dim"]
) -> Float[Array, "..."]:
    return 0.5 * jnp.sum(momentum**2 * jnp.exp(-annealer.log_mass), axis=-1)


def paths(annealer: AbstractAnnealer, key: PRNGKeyArray, start: State, **options) -> Result:
    """The run of the system from a start; its work has no derivative."""
    system, dt = without_books(annealer.system()), annealer.schedule.values().dt
    return simulate(system, key, dt=dt, initial=start, integrator=annealer.integrator, **options)


def without_books(system: Underdamped) -> Underdamped:
    """The system whose work has no derivative: a weight needs the energies at both ends alone."""
    ramp = system.potential
    assert isinstance(ramp, RampEnergy)
    return system.replace(potential=dataclasses.replace(ramp, work_differentiable=False))


def forward_paths(annealer: AbstractAnnealer, key, batch: int, **options) -> tuple[State, Result]:
    """The start in the base, and the run from it."""
    z = annealer.base.draw(purpose_key(key, Purpose.POSITION), batch)
    start = State(z.astype(annealer.log_mass.dtype), momenta(annealer, key, batch), "underdamped")
    return start, paths(annealer, key, start, **options)


def log_weights(annealer: AbstractAnnealer, start: State, out: Result) -> Float[Array, " batch"]:
    """-(H_1 - H_0) - Q of every path, differentiable; of a path that diverged that of another."""
    alive = out.ledger.alive > 0
    # What a diverged path has come to may have no derivative.
    survivor = jnp.argmax(alive)
    own = lambda x: jnp.where(alive[:, None], x, x[survivor])
    z, p = own(out.position), own(out.momentum)
    end = jax.vmap(annealer.ramp.target)(z) + kinetic_energy(annealer, p)
    begin = jax.vmap(annealer.base.energy)(start.position)
    begin = begin + kinetic_energy(annealer, start.momentum)
    return begin - end - jnp.where(alive, out.ledger.bath_entropy, 0)
