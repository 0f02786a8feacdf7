"""The check that an energy is quadratic, and a drive linear, where the law of the system lies."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree

from .._arguments import exceeds
from .._tree import like_position
from ..protocol import AbstractProtocol, values_at
from ..system import AbstractSystem

FRACTIONS = (0.02, 0.27, 0.5, 0.77, 0.98)  # of the duration, where the control is looked at
REACHES = (1.0, 3.0, 9.0)  # how far from the center of the law, in its widths
FINE, COARSE = 1e-8, 1e-4  # what rounding may make of zero, in float64 and in float32


def require_quadratic(system: AbstractSystem, template, controls=None) -> None:
    r"""Refuse an energy that is not quadratic, or a drive not linear; skipped while tracing.

    At several controls the second derivative is compared between the center of the equilibrium
    and places drawn from it, up to nine times as wide, entry by entry relative to
    sqrt(U_ii U_jj), so that a stiff coordinate does not hide a soft one; so are the first
    derivative and the energy with what they should be. In float64, whatever the system computes
    in, where its code allows that.

    **Arguments:** `controls`, `(n, *control)`; those before, along and after the protocol when
    left out.

    **Raises:** ValueError with what to use instead.
    """
    if any(isinstance(x, Tracer) for x in jax.tree.leaves((system, template))):
        return
    with jax.ensure_compile_time_eval():
        controls = np.asarray(
            controls_along(system.protocol) if controls is None else jnp.stack(controls)
        )
        energy, drive, dtype = departures_in_double(system, template, controls) or departures(
            system, template, controls
        )
    tolerance = FINE if dtype == np.float64 else COARSE
    for name, found in (("energy", energy), ("drive", drive)):
        worst = np.max(np.asarray(found), axis=0)
        if not exceeds(worst, tolerance):
            continue
        if name == "drive":
            raise ValueError(
                f"drive is not linear in the position (its derivative moves by a share of "
                f"{np.max(worst):.3g} of itself where the law lies): the moment equations hold for "
                "linear drives only; use tj.simulate"
            )
        what = ("second derivative", "slope", "energy")[int(np.argmax(worst > tolerance))]
        raise ValueError(
            f"{type(system.potential).__name__} is not quadratic (its {what} departs by a share of "
            f"{np.max(worst):.3g} from that of a quadratic energy where the law lies): the moment "
            "equations are exact only for quadratic energies; use tj.FokkerPlanck in one or two "
            "dimensions, or tj.simulate"
        )


@eqx.filter_jit
def controls_along(protocol: AbstractProtocol):
    """Controls before, along and after the protocol, `(n, *control)`."""
    during = values_at(
        protocol, jnp.asarray(FRACTIONS, protocol.duration.dtype) * protocol.duration
    )
    return jnp.concatenate(
        [jnp.asarray(protocol.initial)[None], during, jnp.asarray(protocol.final)[None]]
    )


def departures_in_double(system: AbstractSystem, template, controls):
    """The departures in float64; None where the code of the energy does not run in it."""
    double = [cast_up(tree) for tree in (system, template, controls)]
    with jax.enable_x64(True):
        try:
            *found, dtype = departures(*double)
        except (TypeError, ValueError):  # for example a loop that carries float32 of its own
            return None
    return (*found, dtype) if dtype == np.float64 else None


def cast_up(tree):
    """The tree with its floating arrays in float64."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if is_floating(x) else x, tree)


def is_floating(x) -> bool:
    return eqx.is_array(x) and jnp.issubdtype(x.dtype, jnp.floating)


class LocalEnergy(NamedTuple):
    """The energy, its first two derivatives, the drive and its derivative at some positions."""

    energy: np.ndarray
    slope: np.ndarray
    bend: np.ndarray
    push: np.ndarray
    push_slope: np.ndarray

    def scaled(self, width, kt) -> LocalEnergy:
        """The same numbers in units of a width `(dim,)` and of kT."""
        twice = lambda x: width[:, None] * (x / kt) * width
        once = lambda x: width * (x / kt)
        return LocalEnergy(
            self.energy / kt,
            once(self.slope),
            twice(self.bend),
            once(self.push),
            twice(self.push_slope),
        )

    def at(self, index) -> LocalEnergy:
        return LocalEnergy(*(values[index] for values in self))


@eqx.filter_jit
def local_energies(system: AbstractSystem, template, controls, places):
    """The fields of a `LocalEnergy` at flat positions `(controls, places, dim)`."""
    _, restore = ravel_pytree(template)
    drive = system.drive or (lambda x, control: jax.tree.map(jnp.zeros_like, x))

    def one(control, q):
        slope = jax.value_and_grad(lambda q: system.potential.energy(restore(q), control))
        (value, first), bend = jax.linearize(slope, q)
        push, push_slope = jax.linearize(lambda q: ravel_pytree(drive(restore(q), control))[0], q)
        eye = jnp.eye(len(q), dtype=q.dtype)
        return value, first, jax.vmap(bend)(eye)[1], push, jax.vmap(push_slope, out_axes=1)(eye)

    return jax.lax.map(lambda row: jax.vmap(one, (None, 0))(row[0], row[1]), (controls, places))


def departures(system: AbstractSystem, template, controls):
    """The departures of second derivative, slope and value from those of a quadratic energy.

    **Returns:** fractions `(controls, 3)` of the energy and `(controls, 2)` of the drive, and the
    dtype.
    """
    start = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(template)])
    kt, diffused = thermal_scales(system, template)
    look = lambda places: LocalEnergy(
        *map(np.asarray, local_energies(system, template, controls, places))
    )
    places = np.broadcast_to(start, (len(controls), len(REACHES) + 2, start.size)).copy()
    first, widths = look(places), np.zeros((len(controls), start.size))
    around = np.random.default_rng(0).normal(size=(len(REACHES), start.size))
    around = around * np.array(REACHES)[:, None]
    with np.errstate(all="ignore"):
        for i in range(len(controls)):
            here = first.at((i, 0))
            stiff = np.diagonal(here.bend)
            widths[i] = width = np.where(
                stiff > 0, np.sqrt(kt) / np.sqrt(np.where(stiff > 0, stiff, 1)), diffused
            )
            here, center, drawn = here.scaled(width, kt), start, around
            if is_positive_definite(here.bend):
                root = np.linalg.cholesky(here.bend)
                center = start - width * np.linalg.solve(here.bend, here.slope)
                drawn = np.linalg.solve(root.T, around.T).T
            places[i, 0], places[i, 2:] = center, center + width * drawn
        found = look(places)
        each = [
            departures_at(found.at(i).scaled(widths[i], kt), (places[i] - places[i, 0]) / widths[i])
            for i in range(len(controls))
        ]
    energy, drive = (np.stack(values) for values in zip(*each, strict=True))
    return energy, drive, found.energy.dtype


def is_positive_definite(matrix: np.ndarray) -> bool:
    return bool(np.all(np.isfinite(matrix)) and np.all(np.linalg.eigvalsh(matrix) > 0))


def thermal_scales(system: AbstractSystem, template):
    """The highest kT, and the root mean square displacement by diffusion in the run, `(dim,)`."""
    bath = system.bath
    outside = lambda value: [getattr(value, end, value) for end in ("initial", "final")]
    kt = float(np.max([np.asarray(x) for x in outside(bath.temperature)]))
    friction = jax.tree.map(np.asarray, outside(bath.friction)[0])
    spread = lambda v, x: np.ravel(np.broadcast_to(v, x.shape))
    friction = jax.tree.map(spread, like_position(friction, template), template)
    friction = np.concatenate(jax.tree.leaves(friction))
    return kt, np.sqrt(kt) * np.sqrt(np.asarray(system.protocol.duration) / friction)


def departures_at(shape: LocalEnergy, away: np.ndarray):
    """The departures of (second derivative, slope, energy) from those of a quadratic energy, and
    of the drive's (derivative, push) from those of a linear one, as fractions of their size."""
    expected = away @ shape.slope[0] + 0.5 * np.einsum("pi,ij,pj->p", away, shape.bend[0], away)
    sizes = 1 + np.abs(shape.energy) + np.abs(shape.energy[0]) + np.abs(expected)
    value = np.max(np.abs(shape.energy - shape.energy[0] - expected) / sizes)
    return [*largest_departures(shape.bend, shape.slope, away), value], largest_departures(
        shape.push_slope, shape.push, away
    )


def largest_departures(bends, slopes, away):
    """The largest departures of a derivative and of the slope, from those at the first place."""
    largest = np.max(np.abs(bends), axis=0)
    own = np.sqrt(np.diagonal(largest))
    bend = largest_ratio(bends - bends[0], np.maximum(largest, own[:, None] * own))
    expected = slopes[0] + away @ bends[0].T
    sizes = np.abs(slopes[0]) + np.abs(away) @ np.abs(bends[0]).T
    return bend, largest_ratio(slopes - expected, np.maximum(sizes, np.max(np.abs(slopes), axis=0)))


def largest_ratio(change, size):
    """The largest |change| / size; 0/0 counts as zero."""
    some = size > 0
    return np.max(np.abs(change) / np.where(some, size, 1))
