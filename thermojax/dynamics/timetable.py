"""Everything that depends on time, tabulated once per solve: controls and bath coefficients.

Grid points are t_i = start + i h, i = 0..n, or the sums of the steps where these have sizes of
their own: a step of size s h is one of size h in which positions and momenta move at s times the
rate, and the bath acts for s h. The potential holds the control of the middle of a step
while the step lasts, and switches at the grid points, where forces are evaluated at the control of
the grid point itself.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._tree import like_position, one_each
from ..ledger import energy_limit
from ..protocol import AbstractProtocol, value_at
from ..system import AbstractSystem, Overdamped
from .clock import Clock


class BathCoefficients(eqx.Module):
    r"""The bath in one step. Pytrees like the position, each leaf broadcastable.

    The underdamped and the overdamped system differ in these numbers only. Underdamped:
    dx/dt = p / m. Overdamped: BAOAB with the whole momentum redrawn and m = gamma h / 2, which is
    the scheme of Leimkuhler and Matthews (AMRX 2013, 34); its momentum is kept in units of
    sqrt(m), so that a friction schedule does no work on it.
    """

    drift: PyTree[Array]  # dx/dt = drift * p
    push: PyTree[Array]  # dp/dt = push * force
    inverse_mass: PyTree[Array]  # kinetic energy = sum p^2 inverse_mass / 2
    damping: PyTree[Array]  # p <- damping p + noise z, the exact OU step
    noise: PyTree[Array]
    beta: Array

    def at_pace(self, pace: Array, position: PyTree[Array]) -> BathCoefficients:
        """Coefficients of steps `pace` (batch,) times as long, for a batch like `position`.

        Damping and noise stay: the momentum forgets as much in a step of any length, as it does
        with friction / pace.
        """
        along = lambda a, x: one_each(pace, x) * a
        drift, push = (jax.tree.map(along, one, position) for one in (self.drift, self.push))
        return dataclasses.replace(self, drift=drift, push=push)

    def stretched(self, size: Array) -> BathCoefficients:
        """Coefficients for a step of `size` times the size of a step of the timetable.

        Damping and noise are those of the whole step already.
        """
        times = lambda tree: jax.tree.map(lambda leaf: size * leaf, tree)
        return dataclasses.replace(self, drift=times(self.drift), push=times(self.push))


class StepCoefficients(eqx.Module):
    """One step's entries of the timetable; of several steps, each leaf has a leading axis."""

    control_before: Array  # of the potential while the step lasts
    control_after: Array  # of the potential from its end on
    control: Array  # of the forces at its end
    bath: BathCoefficients | None  # None where it is one for the whole run
    inverse_mass_after: PyTree[Array] | None  # None where masses are constant


class Timetable(eqx.Module):
    """Controls and coefficients of `steps` steps of size `h`, on average where they differ."""

    h: Float[Array, ""]
    steps: int = eqx.field(static=True)
    middles: Float[Array, "steps_plus_2 *control"]  # before the run, mid-step, after it
    control: Float[Array, "steps_plus_1 *control"]  # at the grid points, from inside at the ends
    bath: BathCoefficients  # one set, or, where `scheduled`, a leading axis of `steps`
    scheduled: bool = eqx.field(static=True)
    # Inverse masses that the kinetic energy switches through, as `middles`; None if constant.
    inverse_masses: PyTree[Array] | None
    temperature_ends: tuple[Array, Array]  # before and after
    start: Clock | None  # the time a segment of a chain begins, None for a whole run
    limit: Float[Array, ""]  # the energy beyond which a path has diverged

    def bath_at(self, i) -> BathCoefficients:
        """The coefficients of the bath in step i."""
        return jax.tree.map(lambda leaf: leaf[i], self.bath) if self.scheduled else self.bath

    def steps_from(self, first, count: int) -> StepCoefficients:
        """The coefficients of `count` steps, the first of them step `first`."""
        sliced = lambda leaf, at=0: jax.lax.dynamic_slice_in_dim(leaf, first + at, count)
        masses = self.inverse_masses
        return StepCoefficients(
            sliced(self.middles, 1),
            sliced(self.middles, 2),
            sliced(self.control, 1),
            jax.tree.map(sliced, self.bath) if self.scheduled else None,
            None if masses is None else jax.tree.map(lambda leaf: sliced(leaf, 2), masses),
        )


def safe_sqrt(x):
    """sqrt with the gradient 0 at 0 (a frictionless coordinate has no noise)."""
    ok = x > 0
    return jnp.where(ok, jnp.sqrt(jnp.where(ok, x, 1.0)), 0.0)


def bath_coefficients(
    system: AbstractSystem, position, h, temperature, friction, mass
) -> BathCoefficients:
    """The coefficients of a step of size h at fixed temperature, friction and mass."""
    spread = lambda value: like_position(value, position)
    one = jax.tree.map(jnp.ones_like, spread(friction))
    if isinstance(system, Overdamped):
        rate = jax.tree.map(lambda g: safe_sqrt(2 / g) / jnp.sqrt(h), spread(friction))
        zero = jax.tree.map(jnp.zeros_like, one)
        noise = jax.tree.map(lambda x: jnp.sqrt(temperature) * x, one)
        return BathCoefficients(rate, rate, one, zero, noise, 1 / temperature)
    mass = spread(mass)
    inverse = jax.tree.map(lambda m: 1 / m, mass)
    rate = jax.tree.map(lambda g, m: g / m * h, spread(friction), mass)
    damping = jax.tree.map(lambda r: jnp.exp(-r), rate)
    noise = jax.tree.map(lambda r, m: safe_sqrt(-temperature * m * jnp.expm1(-2 * r)), rate, mass)
    return BathCoefficients(inverse, one, inverse, damping, noise, 1 / temperature)


def timetable(
    system: AbstractSystem,
    position,
    h,
    steps: int,
    *,
    start: Clock | None = None,
    held=None,
    ou_fraction=1.0,
    sizes: Float[Array, " steps"] | None = None,
) -> Timetable:
    """Tabulate a solve of `steps` steps of size h, or of `sizes`, whose mean is h.

    A whole run (`start` None) begins before the first jump and ends after the last. A segment of a
    chain begins at time `start` with the control `held` and ends holding that of its last middle.
    `ou_fraction` is the share of h that one OU substep of the integrator covers.
    """
    protocol, bath = system.protocol, system.bath
    begin = Clock.at(jnp.zeros((), h.dtype)) if start is None else start
    if sizes is None:
        index = jnp.arange(steps + 1, dtype=h.dtype)
        grid, middle = begin.after(index * h), begin.after((index[:-1] + 0.5) * h)
    else:
        grid = grid_times(sizes)
        middle = grid[:-1] + 0.5 * sizes

    def read(schedule, times):
        if start is None:
            tabulated = schedule.tabulated if sizes is None else schedule.tabulated_unevenly
            return tabulated(times)
        return jax.vmap(lambda t: value_at(schedule, t))(times)

    def along(schedule, held_value=None):
        mid_step = read(schedule, middle)
        before = schedule.initial if start is None else held_value
        after = schedule.final if start is None else mid_step[-1]
        return jnp.concatenate([jnp.asarray(before)[None], mid_step, jnp.asarray(after)[None]])

    middles = along(protocol, held)
    temperature, friction, mass = (
        along(x, value_at(x, begin.time)) if isinstance(x, AbstractProtocol) else x
        for x in (bath.temperature, bath.friction, bath.mass)
    )
    members = (bath.temperature, bath.friction, bath.mass)
    changing = tuple(isinstance(x, AbstractProtocol) for x in members)
    fraction = 1.0 if isinstance(system, Overdamped) else ou_fraction

    def build(t, g, m, size):
        table = bath_coefficients(system, position, size * fraction, t, g, m)
        return table if sizes is None else table.stretched(size / h)

    values = (temperature, friction, mass)
    scheduled = any(changing) or sizes is not None
    if scheduled:
        t, g, m = (v[1:-1] if c else v for v, c in zip(values, changing, strict=True))
        axes = *(0 if c else None for c in changing), None if sizes is None else 0
        each = h if sizes is None else sizes
        table = jax.vmap(build, in_axes=axes, axis_size=steps)(t, g, m, each)
    else:
        table = build(temperature, friction, mass, h)
    inverse_masses = None
    if changing[2] and not isinstance(system, Overdamped):
        inverse_masses = like_position(1 / mass, position)
    ends = (temperature[0], temperature[-1]) if changing[0] else (temperature, temperature)
    return Timetable(
        h,
        steps,
        middles,
        read(protocol, grid),
        table,
        scheduled,
        inverse_masses,
        ends,
        start,
        energy_limit(temperature, h.dtype),
    )


def grid_times(sizes: Float[Array, " steps"]) -> Float[Array, " steps_plus_1"]:
    """The times of the grid points of steps of these sizes."""
    return jnp.concatenate([jnp.zeros_like(sizes[:1]), jnp.cumsum(sizes)])
