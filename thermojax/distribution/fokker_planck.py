"""The Fokker-Planck equation on a grid: the distribution picture of one or two dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .._arguments import whole
from .._component import AbstractComponent, Numbers, floating, known, shown
from .._tree import cast
from ..execution import count_steps, snap
from ..protocol import AbstractProtocol, value_outside
from ..sampling import Equilibrium
from ..system import Overdamped
from .grid import Grid, check_cells, check_reach, dimension, natural_domain, sample_shape
from .ledger import EnsembleLedger
from .transport import move_density
from .verdict import COARSER, require_within_domain, warn_of_large_constant, warn_of_steps

CELLS = {1: 400, 2: 128}  # per direction, where not told
LOOKS = {1: 65, 2: 17}  # controls along the protocol at which the domain is checked


class Densities(AbstractComponent):
    """The densities and the ledger of a run, from `tj.FokkerPlanck.solve`.

    - `x`: the cell centres, `(cells,)`, in two dimensions `(n1, n2, 2)`; `volume`: of one cell.
    - `density`: `(times, *cells)`, at the times of `ledger`; `final`, `(*cells,)`: at the end.
    - `ledger`: a `tj.EnsembleLedger` of arrays `(times,)`.
    """

    x: Float[Array, "*cells_dim"]
    volume: Float[Array, ""]
    density: Float[Array, "times *cells"]
    final: Float[Array, "*cells"]
    ledger: EnsembleLedger
    grid: Grid

    def mean(self, observable: Callable[[Any], Array]) -> Float[Array, "times ..."]:
        """<observable(x)> at each of the times, `(times, ...)`; x is ONE sample.

        `out.mean(lambda x: x[0] > 0)` is the probability of the right-hand side.
        """
        values = jnp.asarray(self.grid.each(observable))
        return jnp.tensordot(self.density, values, axes=self.grid.dim) * self.volume


class FokkerPlanck(AbstractComponent):
    r"""Solves d rho/dt = div (1/gamma) (grad U rho + kT grad rho), overdamped, in 1-D or 2-D.

    The distribution picture of the physics that `tj.simulate` samples, without sampling error:
    conservative, never negative, of second order in the cells and in the step, with the
    equilibrium exp(-U/kT) exact on the grid, at any step.

    **Arguments:**

    - `lower`, `upper`: the ends of the domain, numbers or `(2,)`. Left out, they are found from
      the potential, so that no equilibrium along the protocol has mass outside.
    - `cells`: how many in each direction, a number or a pair; 400 in 1-D, 128 x 128 in 2-D.
    - `boundary`: `"natural"`: no flux leaves, and bounds that cut off more than 1e-8 of an
      equilibrium along the protocol are refused; `"reflecting"`: real walls, nothing is checked.

    **Raises:** ValueError for bounds, cells or a boundary that do not fit.
    """

    lower: Float[Array, "..."] | None
    upper: Float[Array, "..."] | None
    cells: int | tuple[int, ...] | None = eqx.field(static=True)
    boundary: Literal["natural", "reflecting"] = eqx.field(static=True)

    def __init__(
        self,
        lower: Numbers | None = None,
        upper: Numbers | None = None,
        cells: int | tuple[int, ...] | None = None,
        boundary: Literal["natural", "reflecting"] = "natural",
    ):
        self.lower = None if lower is None else floating(lower, "lower")
        self.upper = None if upper is None else floating(upper, "upper")
        self.cells = checked_cells(cells)
        self.boundary = boundary
        if not isinstance(boundary, str) or boundary not in ("natural", "reflecting"):
            raise ValueError(f"boundary = {shown(boundary)}: expected 'natural' or 'reflecting'")
        if (lower is None) != (upper is None):
            raise ValueError(
                f"lower = {shown(lower)} and upper = {shown(upper)}: pass both, or neither"
            )
        if lower is None and boundary == "reflecting":
            raise ValueError("boundary = 'reflecting' needs walls: pass lower= and upper=")
        for name, value in (("lower", self.lower), ("upper", self.upper)):
            if value is not None and value.shape not in ((), (1,), (2,)):
                raise ValueError(f"{name} has shape {value.shape}: expected a number or (2,)")
        low, high = (None if x is None else known(x) for x in (self.lower, self.upper))
        if low is not None and high is not None:
            ordered = np.isfinite(low) & np.isfinite(high) & (low < high)
            if not np.all(ordered):
                raise ValueError(f"lower = {low} and upper = {high}: expected lower below upper")

    def around(self, system: Overdamped) -> FokkerPlanck:
        """This solver with its domain found and checked for `system`, so that it can be traced.

        Inside of `jax.jit` and `jax.grad` no value is known, and no domain can be found.
        """
        grid = self.grid(system)
        lower, upper = (x if grid.dim > 1 else x[0] for x in (grid.lower, grid.upper))
        return FokkerPlanck(lower, upper, self.cells, self.boundary)

    def solve(
        self,
        system: Overdamped,
        times: Any = 2,
        *,
        dt: float | None = None,
        time_steps: int | None = None,
        initial: Float[Array, "*cells"] | Callable[[Any], Array] | Equilibrium | None = None,
    ) -> Densities:
        """Drive a density through the whole protocol and keep its ledger.

        The control is held at its value in the middle of each step while the density moves, and
        switches at the grid points at fixed density: that is the work, jumps at both ends included;
        what the energy loses as the density moves is the heat. So the first law is exact. An entry
        at an inner time t is that of the control at t itself (the switch from the last middle is
        then booked half way); `tj.simulate` books it whole, which agrees to second order.

        **Arguments:**

        - `system`: a `tj.Overdamped` in one or two dimensions, without a drive. Temperature and
          friction may be schedules; friction a number or `(dim,)`.
        - `times`: an array, snapped to the grid of steps, or how many, evenly spaced with both
          ends: 0 (after the first jump) and the end (after the last).
        - `dt` or `time_steps`, exactly one: n = ceil(duration / dt) steps of duration / n.
        - `initial`: a density `(*cells,)`, for example `out.final`, or a function of one sample;
          None or `tj.Equilibrium(template)`: the equilibrium before the first jump.

        **Returns:** a `tj.Densities`.

        **Raises:** ValueError, in one sentence with the cure, for systems, domains, densities or
        times that do not fit. Values that are being traced are not checked.

        **Cost:** O(cells) per step: one energy per cell, three tridiagonal solves in 1-D and nine
        in 2-D. Differentiable in every array leaf of `system` at about 5 times that, with memory
        O(sqrt(n) cells) and O(cells) for each of the times.
        """
        check_grid_system(system)
        steps = count_steps(system.protocol.duration, dt, time_steps)
        stops = tuple(snap(times, system.protocol.duration, steps, "times").tolist())
        given = initial is not None and not isinstance(initial, Equilibrium)
        if given and (isinstance(initial, type) or not callable(initial)):
            floating(initial, "initial")
        template = initial.template if isinstance(initial, Equilibrium) else None
        grid = self.grid(system, template)
        if initial is None or isinstance(initial, Equilibrium):
            density = None
        else:
            density = given_density(grid, initial)
        arrays = jax.tree.leaves(eqx.filter((system, grid, density), eqx.is_array))
        checked = not any(isinstance(x, Tracer) for x in arrays)
        out, coarse = drive_density(
            cast(system, grid.lower.dtype), grid, density, steps, stops, checked
        )
        if checked:
            kt = value_outside(system.bath.temperature, "initial")
            if not warn_of_large_constant(out.ledger.energy, kt, grid.lower.dtype, "the energies"):
                warn_of_steps(out.ledger, coarse, kt, steps)
            if self.boundary == "natural":
                require_within_domain(out)
        return out

    def grid(self, system: Overdamped, template=None) -> Grid:
        """The cells for this system; the domain is found or checked where values are known."""
        check_grid_system(system)
        potential, protocol = system.potential, system.protocol
        template = potential.template(protocol.initial) if template is None else template
        given = (x for x in (self.cells, self.lower, self.upper) if x is not None)
        given = [np.shape(x)[0] for x in given if np.ndim(x)]
        sample = sample_shape(potential, protocol.initial, template, max(given, default=None))
        dim = dimension(sample)
        cells = tuple(int(n) for n in np.broadcast_to(self.cells or CELLS[dim], (dim,)))
        friction = jnp.shape(value_outside(system.bath.friction, "initial"))
        if friction not in ((), (1,), (dim,)):
            raise ValueError(f"friction has shape {friction}: expected a number or ({dim},)")
        looks = look_along(system, LOOKS[dim])
        lower, upper = self.lower, self.upper
        if lower is None or upper is None:
            if looks is None:
                raise ValueError(
                    "lower and upper are left out while the system is being traced: pass them, or "
                    "use solver.around(system) outside of jit and grad"
                )
            lower, upper = natural_domain(potential, sample, *looks)
        with jax.ensure_compile_time_eval():
            spread = lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.result_type(float)), (dim,))
            grid = Grid(spread(lower), spread(upper), cells, sample)
        if looks is not None and known(grid.lower) is not None and known(grid.upper) is not None:
            check_cells(potential, grid, *looks)
            if self.boundary == "natural":
                check_reach(potential, grid, *looks)
        return grid


def check_grid_system(system) -> None:
    if not isinstance(system, Overdamped):
        raise ValueError(
            f"system is a {type(system).__name__}: tj.FokkerPlanck solves tj.Overdamped systems; "
            "use tj.simulate, or tj.moments for quadratic potentials, with momenta"
        )
    if system.drive is not None:
        raise ValueError(
            "drive is not None: tj.FokkerPlanck has no non-conservative forces; use tj.simulate"
        )
    if system.protocol.impulses() is not None:
        raise ValueError("kicks act on the momentum: an overdamped system takes none, use jumps")


def look_along(system: Overdamped, count: int):
    """(controls, temperatures) before, along and after the protocol; None where traced."""
    relevant = (system.potential, system.protocol, system.bath.temperature)
    if any(known(x) is None for x in jax.tree.leaves(eqx.filter(relevant, eqx.is_array))):
        return None

    with jax.ensure_compile_time_eval():
        controls, temperatures = tabulate(system.protocol, system.bath.temperature, count)
    return np.asarray(controls), np.asarray(temperatures)


@eqx.filter_jit
def tabulate(protocol: AbstractProtocol, temperature, count: int):
    times = jnp.linspace(0, 1, count) * protocol.duration

    def values(schedule):
        if not isinstance(schedule, AbstractProtocol):
            return jnp.broadcast_to(schedule, (count + 2,))
        outside = jnp.stack([value_outside(schedule, "initial"), value_outside(schedule, "final")])
        return jnp.concatenate([outside, schedule.tabulated(times)])

    return values(protocol), values(temperature)


def checked_cells(cells) -> int | tuple[int, ...] | None:
    """The number of cells in each direction.

    **Raises:** ValueError for anything but whole numbers of at least 8.
    """
    if cells is None:
        return None
    several = isinstance(cells, list | tuple) or (isinstance(cells, np.ndarray) and cells.ndim == 1)
    if several and len(cells) in (1, 2):
        return tuple(whole("cells", n, 8) for n in cells)
    return whole("cells", cells, 8, "or a pair of them")


def given_density(grid: Grid, initial) -> Float[Array, "*cells"]:
    """A density that the user passes, as probabilities of the cells.

    **Raises:** ValueError for another shape, negative values, or an integral that is not 1.
    """
    density = floating(grid.each(initial) if callable(initial) else initial, "initial")
    if density.shape != grid.cells:
        raise ValueError(f"initial has shape {density.shape}: expected the cells, {grid.cells}")
    values = known(density)
    if values is not None:
        if not np.all(np.isfinite(values)) or np.min(values) < 0:
            raise ValueError(
                f"initial reaches {np.min(values):.3g}: expected a density, finite and not negative"
            )
        integral = float(np.sum(values) * grid.volume)
        if abs(integral - 1) > 1e-3:
            raise ValueError(
                f"initial integrates to {integral:.6g} on the grid: expected 1; divide it by its "
                "sum times the volume of a cell, or widen the domain"
            )
    return density.astype(grid.lower.dtype) / jnp.sum(density)


def block_slots(stops: tuple[int, ...], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of steps that end at every stop: the steps in each, and whether they are to be taken.

    Blocks of near sqrt(n) steps, so that reverse mode keeps sqrt(n) densities and as many
    residuals. One shape for all: a block may have fewer steps than slots, the rest idle.
    """
    marks = np.unique([0, steps, *stops])
    spans, root = np.diff(marks), math.sqrt(steps)

    def cost(size):
        return np.sum(-(-spans // size)) * size / steps + 0.1 * abs(math.log(size / root))

    size = min(range(1, math.ceil(2 * root) + 1), key=cost)
    first = np.concatenate([np.arange(a, b, size) for a, b in pairwise(marks)])
    last = np.concatenate([first[1:], [steps]])
    slots = first[:, None] + np.arange(size)
    return np.minimum(slots, steps - 1), slots < last[:, None]


class GridAccount(eqx.Module):
    """The state of the steps: the probabilities of the cells, and the work and heat so far."""

    p: Float[Array, "*cells"]
    energy: Float[Array, "*cells"]  # of the control that the potential holds
    work: Float[Array, ""]
    heat: Float[Array, ""]
    bath_entropy: Float[Array, ""]


@eqx.filter_jit
def drive_density(
    system: Overdamped, grid: Grid, density, steps: int, stops: tuple[int, ...], checked: bool
) -> tuple[Densities, GridAccount | None]:
    """The compiled part of `FokkerPlanck.solve`.

    Where `checked`, the loop goes through the run a second time, in steps ten times as long, of
    which the last account is returned too.
    """
    protocol, bath = system.protocol, system.bath
    dtype, potential = grid.lower.dtype, system.potential
    h = protocol.duration / steps

    def at_middles(value, steps):
        if isinstance(value, AbstractProtocol):
            middles = (jnp.arange(steps, dtype=dtype) + 0.5) * (protocol.duration / steps)
            return value.tabulated(middles)
        return jnp.broadcast_to(value, (steps, *jnp.shape(value)))

    def step(y: GridAccount, slot):
        control, temperature, friction, h, active = slot
        energy = grid.energy(potential, control)
        friction = jnp.broadcast_to(friction, (grid.dim,))
        p = move_density(y.p, energy, grid.widths, temperature, friction, h)
        # A constant in the energy would meet what rounding leaves of sum(p) - sum(y.p).
        heat = jnp.sum((y.p - p) * (energy - jax.lax.stop_gradient(jnp.min(energy))))
        moved = GridAccount(
            p,
            energy,
            y.work + jnp.sum(y.p * (energy - y.energy)),
            y.heat + heat,
            y.bath_entropy + heat / temperature,
        )
        return jax.tree.map(lambda a, b: jnp.where(active, a, b), moved, y), None

    @partial(jax.checkpoint, prevent_cse=False)  # inside of a scan nothing can be merged
    def block(y: GridAccount, block):
        slots, again = block
        y = jax.tree.map(lambda a, b: jnp.where(again, a, b), start, y)
        y, _ = jax.lax.scan(step, y, slots)
        return y, eqx.tree_at(lambda y: y.energy, y, None)

    before = value_outside(protocol, "initial"), value_outside(bath.temperature, "initial")
    energy = grid.energy(potential, before[0])
    p = jax.nn.softmax(-energy / before[1], axis=None) if density is None else density
    zero = jnp.zeros((), dtype)
    start = GridAccount(p, energy, zero, zero, zero)
    indices, active = block_slots(stops, steps)
    schedules, size = (protocol, bath.temperature, bath.friction), indices.shape[1]
    tables = tuple(at_middles(value, steps) for value in schedules)
    slots = (
        *jax.tree.map(lambda x: x[indices], tables),
        jnp.broadcast_to(h, indices.shape),
        jnp.asarray(active),
    )
    again = np.zeros(len(indices), bool)
    if checked:
        fewer = -(-steps // COARSER)
        slot = np.arange(-(-fewer // size) * size).reshape(-1, size)
        coarse_tables = tuple(at_middles(value, fewer) for value in schedules)
        more = (
            *jax.tree.map(lambda x: x[np.minimum(slot, fewer - 1)], coarse_tables),
            jnp.broadcast_to(protocol.duration / fewer, slot.shape),
            jnp.asarray(slot < fewer),
        )
        slots = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), slots, more)
        again = np.concatenate([again, [True], np.zeros(len(slot) - 1, bool)])
    last, path = jax.lax.scan(block, start, (slots, jnp.asarray(again)))

    # The stops among the block ends, the start being the one before the first.
    done = np.concatenate([[0], indices[np.arange(len(active)), active.sum(1) - 1] + 1])
    at_stops = np.searchsorted(done, stops)
    opened = eqx.tree_at(lambda y: y.energy, start, None)
    stopped = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[at_stops], opened, path)
    held = jnp.concatenate([before[0][None], tables[0]])[np.asarray(stops)]
    times = jnp.asarray(stops, dtype) * h
    over = jnp.asarray(stops) == steps

    def report(t, over, y: GridAccount, held):
        control, temperature = (
            jnp.where(over, value_outside(x, "final"), x(t))
            if isinstance(x, AbstractProtocol)
            else x
            for x in (protocol, bath.temperature)
        )
        energy = grid.energy(potential, control)
        half_switch = jnp.sum(y.p * (energy - grid.energy(potential, held)))
        log_weight = -energy / temperature
        log_z = jax.nn.logsumexp(log_weight) + jnp.log(grid.volume)
        mean, entropy = jnp.sum(y.p * energy), entropy_of(y.p, grid.volume)
        return EnsembleLedger(
            times=t,
            work=y.work + half_switch,
            heat=y.heat,
            energy=mean,
            entropy=entropy,
            free_energy=mean - temperature * entropy,
            equilibrium_free_energy=-temperature * log_z,
            divergence=divergence_of(y.p, jax.nn.log_softmax(log_weight, axis=None)),
            bath_entropy=y.bath_entropy,
            entropy_production=entropy - entropy_of(p, grid.volume) + y.bath_entropy,
        )

    ledger = jax.vmap(report)(times, over, stopped, held)
    final = jax.tree.map(lambda leaf: leaf[len(indices) - 1], path)
    out = Densities(
        grid.samples if grid.dim == 2 else grid.axes[0],
        grid.volume,
        stopped.p / grid.volume,
        final.p / grid.volume,
        ledger,
        grid,
    )
    if not checked:
        return out, None
    closed = jnp.sum(
        last.p * (grid.energy(potential, value_outside(protocol, "final")) - last.energy)
    )
    return out, eqx.tree_at(lambda y: y.work, last, last.work + closed)


def safe_log(p):
    """ln p, and 0 with the derivative 0 where p = 0."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), 0)


def entropy_of(p, volume):
    """-int rho ln rho of the probabilities p of cells."""
    return -jnp.sum(p * (safe_log(p) - jnp.log(volume)))


def divergence_of(p, log_q):
    """KL(p || q), with every term positive: p ln(p/q) - p + q."""
    return jnp.sum(p * (safe_log(p) - log_q) - p + jnp.exp(log_q))
