"""Stages of a ramp: a short run each, in coordinates that fit its part of the way."""

from __future__ import annotations

from collections.abc import Callable
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
    alive: Float[Array, " n"]

    @classmethod
    def opened(cls, n: int, dtype) -> Books:
        zero = jnp.zeros(n, dtype)
        return cls(zero, zero, zero, zero, zero + 1)

    @property
    def weights(self) -> Float[Array, " n"]:
        """Of sum 1; the paths that diverged have none."""
        return jax.nn.softmax(jnp.where(self.alive > 0, self.log_weight, -jnp.inf))

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
        """ln<exp w> - <w> of the surviving paths."""
        kept = jnp.where(self.alive > 0, self.log_weight, -jnp.inf)
        log_mean = jax.nn.logsumexp(kept) - jnp.log(jnp.sum(self.alive))
        return log_mean - self.mean(self.log_weight)


class Seen(NamedTuple):
    """The law where weighted walkers are, as they see it."""

    coordinates: Coordinates
    spread: Float[Array, ""]  # the standard deviation of dU/dcontrol
    mean: Float[Array, ""]  # its mean


def stage(potential: AbstractPotential, like: PyTree[Array], key, x, p, books: Books, part: Stages):
    """`x` and `p`, `(n, dim)` each, and the books after one stage."""
    energy = InCoordinates(potential, part.coordinates, like)
    ramp = Linear(part.start, part.end, STEPS * part.dt)
    system = Underdamped(energy, ramp, Bath(1.0, FRICTION))
    out = simulate(
        system, key, time_steps=STEPS, initial=State(part.coordinates.inward(x), p, "underdamped")
    )
    ledger = out.ledger
    alive = books.alive * ledger.alive
    add = lambda total, new: jnp.where(alive > 0, total + new, total)
    books = Books(
        add(books.log_weight, out.log_weight),
        add(books.work, ledger.total_work),
        add(books.shadow_work, ledger.shadow_work),
        add(books.heat, ledger.heat),
        alive,
    )
    kept = lambda new, old: jnp.where(alive[:, None] > 0, new, old)
    return kept(part.coordinates.outward(out.position), x), kept(out.momentum, p), books


def seen(potential, like, x, books: Books, control, dense: bool) -> Seen:
    """The law that the weighted walkers see where the control is `control`, a scalar."""
    weights = books.weights
    slopes = slopes_of(potential, like, x, control)
    mean = weights @ slopes
    spread = jnp.sqrt(weights @ (slopes - mean) ** 2)
    return Seen(Coordinates.of(x, weights, dense), spread, mean)


def slopes_of(potential, like, x, control) -> Float[Array, " n"]:
    """dU/dcontrol of every walker, `(n,)`."""
    flat = InCoordinates(potential, Coordinates(jnp.zeros_like(x[0]), jnp.ones_like(x[0])), like)
    slope = jax.grad(flat.energy, 1)
    return jax.vmap(lambda one: slope(one, control))(x)


@eqx.filter_jit
def one_stage(potential, like, key, x, p, books, part: Stages):
    """The compiled `stage`."""
    return stage(potential, like, key, x, p, books, part)


def ramp(
    potential: AbstractPotential,
    like: PyTree[Array],
    key: PRNGKeyArray,
    x: Float[Array, "n dim"],
    stages: Stages,
    watch: Callable[..., Any] | None = None,
) -> tuple[Float[Array, "n dim"], Books]:
    """All stages, one after the other: one program for any number of them.

    **Arguments:** `watch(stage, stages, control, x, books)` is called at the start and after each.
    """
    p_key, key = jax.random.split(key)
    p, books = jax.random.normal(p_key, x.shape, x.dtype), Books.opened(len(x), x.dtype)
    parts = jax.tree.map(np.asarray, stages)
    count = len(stages.dt)
    if watch is not None:
        watch(0, count, parts.start[0], x, books)
    for k, one_key in enumerate(jax.random.split(key, count)):
        part = jax.tree.map(lambda leaf, k=k: leaf[k], parts)
        x, p, books = one_stage(potential, like, one_key, x, p, books, part)
        if watch is not None:
            watch(k + 1, count, part.end, x, books)
    return x, books
