"""Stages of a ramp: a short run each, in coordinates that fit its part of the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..potential import AbstractPotential
from ..protocol import Linear
from ..sampling import State, simulate
from ..system import Bath, Underdamped
from .coordinates import Coordinates, InCoordinates

STEPS = 16  # of every stage
DIVERGED = 1e3  # shadow work of a stage, kT: its weight is zero, and all means would be its own
FRICTION = 0.5  # of oscillators of mass and stiffness 1; measured, and flat from 0.3 to 1


class Stages(eqx.Module):
    """The stages of a ramp, one after the other: `(stages, ...)`.

    The control goes from `start` to `end` in STEPS steps of `dt`, all `(stages,)`.
    """

    start: Float[Array, " stages"]
    end: Float[Array, " stages"]
    dt: Float[Array, " stages"]
    coordinates: Coordinates

    @property
    def duration(self) -> Float[Array, ""]:
        return STEPS * jnp.sum(self.dt)

    def reversed(self) -> Stages:
        """The same way back."""
        flipped = jax.tree.map(lambda x: x[::-1], self)
        return Stages(flipped.end, flipped.start, flipped.dt, flipped.coordinates)


class Books(NamedTuple):
    """The weight, work and heat of every path of a ramp, `(n,)`: energies in kT."""

    log_weight: Float[Array, " n"]
    work: Float[Array, " n"]  # shadow work included
    shadow_work: Float[Array, " n"]
    heat: Float[Array, " n"]
    copied_energy: Float[Array, " n"]  # the change where a path became a copy of another
    alive: Float[Array, " n"]
    lost: Float[Array, " n"]  # how often it diverged: once, if nothing was copied in its place

    @classmethod
    def opened(cls, n: int, dtype) -> Books:
        zero = jnp.zeros(n, dtype)
        return cls(zero, zero, zero, zero, zero, zero + 1, zero)

    @property
    def kept_log_weight(self) -> Float[Array, " n"]:
        """The log weight of every path; -inf for one that has diverged."""
        return jnp.where(self.alive > 0, self.log_weight, -jnp.inf)

    @property
    def weights(self) -> Float[Array, " n"]:
        """Of sum 1; the paths that diverged have none."""
        return jax.nn.softmax(self.kept_log_weight)

    @property
    def effective_samples(self) -> float:
        """(sum w)^2 / sum w^2."""
        return float(1 / jnp.sum(self.weights**2))

    def mean(self, values: Float[Array, " n"]) -> Float[Array, ""]:
        """The mean over the surviving paths."""
        kept = self.alive > 0
        return jnp.sum(jnp.where(kept, values, 0)) / jnp.sum(kept)

    @property
    def dissipated(self) -> Float[Array, ""]:
        """<work> + ln<exp w> of the surviving paths."""
        log_mean = jax.nn.logsumexp(self.kept_log_weight) - jnp.log(jnp.sum(self.alive))
        return self.mean(self.work) + log_mean


class Seen(NamedTuple):
    """The law where weighted walkers are, as they see it."""

    coordinates: Coordinates
    spread: Float[Array, ""]  # the standard deviation of dU/dcontrol


@eqx.filter_jit
def one_stage(
    potential: AbstractPotential, like: PyTree[Array], key, x, p, books: Books, part: Stages
):
    """`x` and `p`, `(n, dim)` each, and the books after one stage."""
    energy = InCoordinates(potential, part.coordinates, like)
    ramp = Linear(part.start, part.end, STEPS * part.dt)
    system = Underdamped(energy, ramp, Bath(1.0, FRICTION))
    out = simulate(
        system, key, time_steps=STEPS, initial=State(part.coordinates.inward(x), p, "underdamped")
    )
    ledger = out.ledger
    alive = books.alive * ledger.alive * (ledger.shadow_work < DIVERGED)
    add = lambda total, new: jnp.where(alive > 0, total + new, total)
    books = Books(
        add(books.log_weight, out.log_weight),
        add(books.work, ledger.total_work),
        add(books.shadow_work, ledger.shadow_work),
        add(books.heat, ledger.heat),
        books.copied_energy,
        alive,
        books.lost + books.alive - alive,
    )
    kept = lambda new, old: jnp.where(alive[:, None] > 0, new, old)
    return kept(part.coordinates.outward(out.position), x), kept(out.momentum, p), books


def seen(potential, like, x, books: Books, control, dense: bool) -> Seen:
    """The law that the weighted walkers see where the control is `control`, a scalar."""
    weights = books.weights
    slopes = jnp.where(weights > 0, slopes_of(potential, like, x, control), 0)
    spread = jnp.sqrt(weights @ (slopes - weights @ slopes) ** 2)
    return Seen(Coordinates.of(x, weights, dense), spread)


def slopes_of(potential, like, x, control) -> Float[Array, " n"]:
    """dU/dcontrol of every walker, `(n,)`."""
    flat = InCoordinates(potential, Coordinates(jnp.zeros_like(x[0]), jnp.ones_like(x[0])), like)
    slope = jax.grad(flat.energy, 1)
    return jax.vmap(lambda one: slope(one, control))(x)


def along(
    potential: AbstractPotential,
    like: PyTree[Array],
    key: PRNGKeyArray,
    x: Float[Array, "n dim"],
    stages: Stages,
    between: Callable | None = None,
) -> Iterator[tuple[Float[Array, "n dim"], Float[Array, "n dim"], Books]]:
    """Positions, momenta and books after each stage: one program for any number of them.

    The books are not `closed` yet: momenta still have the mass of a steady run.

    `between` two of them walkers may be resampled: a function of the potential, `like`, a key, the
    positions, momenta and books, and the control, that returns new ones of the last but one.
    """
    p_key, key = jax.random.split(key)
    p, books = momenta(p_key, x, Books.opened(len(x), x.dtype), stages.dt[0])
    parts = jax.tree.map(np.asarray, stages)
    for k, one_key in enumerate(jax.random.split(key, len(stages.dt))):
        part = jax.tree.map(lambda leaf, k=k: leaf[k], parts)
        x, p, books = one_stage(potential, like, one_key, x, p, books, part)
        if between is not None and k + 1 < len(stages.dt):
            x, p, books = between(potential, like, one_key, (x, p, books), part.end)
        yield x, p, books


def ramp(
    potential: AbstractPotential,
    like: PyTree[Array],
    key: PRNGKeyArray,
    x: Float[Array, "n dim"],
    stages: Stages,
    between: Callable | None = None,
    watch: Callable[..., Any] | None = None,
) -> tuple[Float[Array, "n dim"], Books]:
    """Positions and books after all stages.

    **Arguments:** `watch(stage, stages, control, x, books)` is called at the start and after each.
    """
    count, last, books = len(stages.dt), x, Books.opened(len(x), x.dtype)
    if watch is not None:
        watch(0, count, stages.start[0], x, books)
    for k, (last, p, books) in enumerate(along(potential, like, key, x, stages, between)):
        if watch is not None or k + 1 == count:
            books = closed(books, p, stages.dt[k])
        if watch is not None:
            watch(k + 1, count, stages.end[k], last, books)
    return last, books


@jax.jit
def momenta(key, x, books: Books, dt):
    """Momenta `(n, dim)` as a steady run of steps `dt` holds them between two steps, and the books
    after the work that their mass of 1 takes.

    There BAOAB keeps the momentum of an oscillator of mass and stiffness 1 at a variance of
    1 - dt^2 / 4, and begun with 1 every coordinate loses dt^4 / 64 kT: much, in a thousand of them.
    """
    inverse_mass = 1 / (1 - dt**2 / 4)
    p = jax.random.normal(key, x.shape, x.dtype) / jnp.sqrt(inverse_mass)
    return p, switched_mass(books, p, inverse_mass, -1)


@jax.jit
def closed(books: Books, p, dt) -> Books:
    """The books after the mass has gone back to that of `momenta`."""
    return switched_mass(books, p, 1 / (1 - dt**2 / 4), 1)


def switched_mass(books: Books, p, inverse_mass, sign: int) -> Books:
    """The books after the inverse mass of `p` went from 1 to another (sign 1), or back (sign -1):
    the work at fixed momenta beyond the change of their free energy."""
    work = 0.5 * (inverse_mass - 1) * jnp.sum(p**2, axis=1)
    spent = sign * (work - 0.5 * p.shape[1] * jnp.log(inverse_mass))
    add = lambda total, new: jnp.where(books.alive > 0, total + new, total)
    return books._replace(
        log_weight=add(books.log_weight, -spent),
        work=add(books.work, spent),
        shadow_work=add(books.shadow_work, spent),
    )
