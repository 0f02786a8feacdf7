"""The pilot: few walkers that find the way from prior to posterior, and what it looks like."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..potential import AbstractPotential
from ..sampling import systematic
from .coordinates import Coordinates, InCoordinates
from .stage import STEPS, Books, Stages, closed, momenta, one_stage, seen, slopes_of

WALKERS = 128
OVERLAP = 0.6  # the effective share that a sudden switch to the next rung leaves
MOST = 400  # rungs
REACH = 1.0  # the angle that the stiffest mode turns in one step
WIDE = 512  # dimensions, beyond which steps are shorter: their errors add up as dim * dt^4
WINDOW = 0.125  # of the width of a coordinate's law, by which it may change over rungs in a mean
PROBES, ITERATIONS = 8, 12  # walkers whose stiffest mode is looked for, by so many products


class Way(eqx.Module):
    """The way from prior to posterior as rungs of a ladder: `(rungs,)`, `(rungs, ...)`.

    - `control`: lambda at each, from 0 to 1. `length`: how far it is from the prior in standard
      deviations of the log likelihood, int spread dlambda.
    - `dt`: the step in the coordinates of the rung.
    """

    control: Float[Array, " rungs"]
    length: Float[Array, " rungs"]
    dt: Float[Array, " rungs"]
    coordinates: Coordinates


@eqx.filter_jit
def stiffest(potential: AbstractPotential, like: PyTree[Array], x, coordinates, control):
    """The largest frequency in these coordinates where the walkers are; mass 1."""
    energy = InCoordinates(potential, coordinates, like)
    force = jax.grad(lambda z: energy.energy(z, control))

    def frequency_squared(z, v):
        for _ in range(ITERATIONS):
            bent = jax.jvp(force, (z,), (v / jnp.linalg.norm(v),))[1]
            v = bent
        return jnp.linalg.norm(v)

    z = coordinates.inward(x[:PROBES])
    start = jax.random.normal(jax.random.key(0), z.shape, z.dtype)
    found = jax.vmap(frequency_squared)(z, start)
    return jnp.sqrt(jnp.max(jnp.where(jnp.isfinite(found), found, 0)))


def step_of(potential, like, x, coordinates, control):
    """A step in which the stiffest mode turns by REACH, and which is at most that of a unit."""
    reach = REACH * min(1.0, (WIDE / x.shape[1]) ** 0.25)
    return reach / jnp.maximum(stiffest(potential, like, x, coordinates, control), 1.0)


def control_after(control: float, slopes: np.ndarray) -> float:
    """The control to which a sudden switch would leave OVERLAP of the walkers effective."""

    def overlap(step):
        w = np.exp(-step * (slopes - slopes.min()))
        return np.mean(w) ** 2 / np.mean(w**2)

    low, high = 0.0, 1.0 - control
    if overlap(high) >= OVERLAP:
        return 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if overlap(middle) >= OVERLAP else (low, middle)
    return control + low


def pilot(
    potential: AbstractPotential,
    like: PyTree[Array],
    key: PRNGKeyArray,
    x: Float[Array, "n dim"],
    dense: bool,
) -> tuple[Way, Float[Array, "n dim"], int]:
    """The way, walkers at its end, and the gradients that were spent."""
    n, dtype = len(x), x.dtype
    even = jnp.ones(n, dtype)
    control, length = 0.0, 0.0
    coordinates = Coordinates.of(x, even, dense)
    dt = step_of(potential, like, x, coordinates, jnp.zeros((), dtype))
    rungs, probes = [(control, length, dt, coordinates)], [x[:PROBES]]
    gradients = 0
    while control < 1:
        key, move_key, draw_key = jax.random.split(key, 3)
        here = jnp.asarray(control, dtype)
        slopes = np.asarray(slopes_of_compiled(potential, like, x, here), float)
        slopes = np.where(np.isfinite(slopes), slopes, np.inf)
        ahead = control_after(control, slopes)
        part = Stages(here, jnp.asarray(ahead, dtype), dt, coordinates)
        p_key, move_key = jax.random.split(move_key)
        p, books = momenta(p_key, x, Books.opened(n, dtype), dt)
        x, p, books = one_stage(potential, like, move_key, x, p, books, part)
        books = closed(books, p, dt)
        found = seen_compiled(potential, like, x, books, part.end, dense)
        coordinates = found.coordinates
        x = x[systematic(draw_key, books.kept_log_weight)]
        dt = step_of(potential, like, x, coordinates, part.end)
        spread = float(np.std(slopes[np.isfinite(slopes)]))
        length += 0.5 * (ahead - control) * (spread + float(found.spread))
        control = ahead
        rungs.append((control, length, dt, coordinates))
        probes.append(x[:PROBES])
        gradients += n * STEPS + 2 * PROBES * ITERATIONS
        if len(rungs) > MOST:
            raise ValueError(
                f"the pilot has come to lambda = {control:.3g} in {MOST} rungs: the likelihood "
                "changes too steeply where the prior is; standardize the data, or pass a prior "
                "whose draws the likelihood does not rule out"
            )
    way = Way(
        *jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x, dtype) for x in leaves]), *rungs)
    )
    if not dense:
        way = smoothed(potential, like, way, probes)
        gradients += 2 * PROBES * ITERATIONS * len(rungs)
    return way, x, gradients


def smoothed(potential, like, way: Way, probes: list) -> Way:
    """The way in coordinates that are means over neighboring rungs.

    Widths from few walkers scatter, by an eighth of 128; what a step loses to widths that are off
    adds up over dimensions and stages. The law of one of many coordinates hardly changes from one
    rung to the next: along a length of sqrt(dim) by about its width.
    """
    between = jnp.abs(way.length[:, None] - way.length) / math.sqrt(probes[0].shape[1])
    near = jnp.maximum(1 - between / WINDOW, 0)
    near = near / jnp.sum(near, axis=1, keepdims=True)
    center, factor = way.coordinates.center, way.coordinates.factor
    coordinates = Coordinates(near @ center, jnp.exp(near @ jnp.log(factor)))
    each = (jax.tree.map(lambda leaf, k=k: leaf[k], coordinates) for k in range(len(probes)))
    steps = [
        step_of(potential, like, x, at, control)
        for x, at, control in zip(probes, each, way.control, strict=True)
    ]
    return Way(way.control, way.length, jnp.stack(steps), coordinates)


slopes_of_compiled = eqx.filter_jit(slopes_of)
seen_compiled = eqx.filter_jit(seen)
