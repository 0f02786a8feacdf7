"""Third order along every path: diffrax's QUICSORT, with time and the work as coordinates.

diffrax asks its Langevin solvers for a force grad_f(x), without time. A clock repairs that: a
coordinate s with velocity 1, without friction, force or noise. The work is one more velocity,
w with dw/dt = dU/dt at fixed q, so that it is as accurate as the momentum.
"""

import math
from typing import ClassVar, Literal

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._arguments import choice
from .._tree import like_position
from ..potential import batched_energy
from ..protocol import AbstractProtocol, require_no_jumps, value_at
from ..system import AbstractSystem, Overdamped, TwoSidedDrive
from .integrator import AbstractIntegrator
from .noise import TREE_DEPTH, TreeNoise
from .path_state import PathState, StepEnergies
from .step import Step, drive_work

LEFT, RIGHT = 0.5 - math.sqrt(3) / 6, 0.5 + math.sqrt(3) / 6  # where QUICSORT asks for the force


class QUICSORT(AbstractIntegrator):
    r"""The path-accurate integrator: strong order 3 in position, momentum and work.

    Third order needs a bath that is constant in time and a protocol that is smooth within each
    step; jumps and kinks at grid points, both ends included, cost nothing. Two gradients per step
    and three normals per coordinate (increment and two Levy areas of the Brownian path).

    The friction and the noise are not a substep of their own, so the heat is not seen: it is
    W + W_drive - Delta H of each step, and `shadow_work` is zero. The first law holds by that
    definition, and the Jarzynski equality only to the order of the step: use `tj.BAOAB()` where
    it must hold at any step. The work of a drive is of second order.

    **Arguments:** `path`: "grid", noise that is a pure function of (key, step), for work; or
    "tree", `diffrax.VirtualBrownianTree`, slow: the same key gives the same Brownian path at every
    dt, for studies of convergence with `tj.simulate` in float64.

    **Raises:** ValueError for an overdamped system, a bath with schedules, a `path` that is not
    one of the two; for "tree" also for float32, for `tj.advance`, for `sharding`, and for more than
    16,384 steps.

    Source: Foster, Lyons, Oberhauser, arXiv:2101.03446 (2021), definition 1.2 (SORT), as changed
    in `diffrax.QUICSORT` after UBU (Chada, Leimkuhler, Paulin, Whalley, arXiv:2311.05025 (2023)).
    """

    path: Literal["grid", "tree"] = eqx.field(static=True, default="grid")
    draws: ClassVar[int] = 3
    ou_fraction: ClassVar[float] = 1.0
    weak_order: ClassVar[int] = 3
    strong_order: ClassVar[float] = 3.0

    def __check_init__(self):
        choice("path", self.path, ("grid", "tree"))

    def begin(self, forces, position, control_after, control):
        del control
        return None, batched_energy(forces.system.potential, position, control_after), None

    def prepare(self, system, table, position):
        """diffrax's coefficients of a step, and when the run begins."""
        if isinstance(system, Overdamped):
            raise ValueError(
                "QUICSORT integrates momenta and takes no overdamped system: use tj.BAOAB(), or "
                "tj.Underdamped"
            )
        if system.bath.scheduled:
            raise ValueError(
                "QUICSORT needs a bath that is constant in time: use tj.BAOAB() for schedules of "
                "temperature, friction or mass"
            )
        require_no_jumps(system.protocol, "QUICSORT")
        if isinstance(system.drive, TwoSidedDrive):
            raise ValueError("QUICSORT has no half kicks for a tj.TwoSidedDrive: use tj.BAOAB()")
        h, sample = table.h, jax.tree.map(lambda x: x[0], position)
        terms = langevin_terms(system, sample, lambda q, s: (q, s), None)
        start = clocked(sample, h), clocked(sample, h)
        return solver(h).init(terms, jnp.zeros_like(h), h, start, None), table.start

    def brownian_path(self, path, table):
        if self.path == "grid":
            return path
        if table.start is not None:
            raise ValueError("path = 'tree' spans one run of tj.simulate: use path='grid' here")
        if table.h.dtype != jnp.float64:
            raise ValueError(
                f"path = 'tree' loses its Levy areas in {table.h.dtype}: set jax_enable_x64 and "
                "pass float64 positions, or use path='grid'"
            )
        if table.steps > 2 ** (TREE_DEPTH - 1):
            raise ValueError(
                f"path = 'tree' resolves {2 ** (TREE_DEPTH - 1)} steps, not {table.steps}: take a "
                "larger dt, or path='grid'"
            )
        return TreeNoise(path.words, path.shape, table.steps)

    def substep(self, step, state, normals):
        system, h = step.forces.system, step.h
        assert step.prepared is not None
        coefficients, start = step.prepared
        potential, mass = system.potential, like_position(system.bath.mass, state.position)
        control = control_within(system.protocol, step, start)
        opening, closing = control(jnp.zeros_like(h)), control(h)
        sizes = (jnp.sqrt(h * scale) for scale in (1.0, 1 / 12, 1 / 720))
        levy = [
            jax.tree.map(lambda leaf, size=size: size * leaf, z)
            for z, size in zip(normals, sizes, strict=True)
        ]

        def force(q, s):
            """((grad U - f) / kT, dU/ds) of one sample at the time s of the step."""
            at_s = control(s)
            gradient = jax.grad(potential.energy)(q, at_s)
            if system.drive is not None:
                gradient = jax.tree.map(jnp.subtract, gradient, system.drive(q, at_s))
            gradient = jax.tree.map(lambda g: g / system.bath.temperature, gradient)
            _, power = jax.jvp(lambda s: potential.energy(q, control(s)), (s,), (jnp.ones_like(s),))
            return gradient, power

        def move(q, p, *levy):
            """One sample through one step: position, momentum, and the work within."""
            velocity = jax.tree.map(jnp.divide, p, mass)
            noise = Increment(*(clocked(z, h) for z in levy), dt=h)
            terms = langevin_terms(system, q, force, noise)
            begin = clocked(q, h), (velocity, jnp.ones_like(h), jnp.zeros_like(h))
            (x, v), *_ = solver(h).step(
                terms, jnp.zeros_like(h), h, begin, None, coefficients, False
            )
            return x[0], jax.tree.map(jnp.multiply, v[0], mass), v[2]

        x0 = state.position
        x, p, within = jax.vmap(move)(x0, state.momentum, *levy)
        # The ledger's potential holds the middle of the step, as the splittings need it; switched
        # there and back at the grid points, the detour cancels.
        opened = batched_energy(potential, x0, opening) - state.potential_energy
        energy = batched_energy(potential, x, step.control_after)
        work = opened + within + (energy - batched_energy(potential, x, closing))
        forces = step.forces
        driven = drive_work(forces.drive(x0, opening), forces.drive(x, closing), x0, x)
        new = PathState(x, p, None, energy, None, step.kinetic(p), state.alive, state.pace)
        change = work if driven is None else work + driven
        heat = change - (new.energy - state.energy)
        return new, StepEnergies(work, heat, jnp.zeros_like(work), driven)


def control_within(protocol: AbstractProtocol, step: Step, start):
    """The control as a function of the time s within a step, from 0 to h.

    It is the cubic with the value and the slope of the protocol at the two points where the
    solver asks. The protocol is never asked at a grid point, where it may jump: the ends of
    the cubic are its one-sided limits to fourth order, and since Gauss quadrature of the slope
    is exact on a cubic, the booked changes of the control add up to the whole.
    """
    h, index = step.h, step.index
    assert index is not None

    def read(t):
        return protocol(t) if start is None else value_at(protocol, start.after(t))

    def value_and_slope(t):
        value, slope = jax.jvp(read, (t,), (jnp.ones_like(t),))
        return jnp.asarray(value, h.dtype), jnp.asarray(slope, h.dtype)

    a, da = value_and_slope((index + LEFT).astype(h.dtype) * h)
    b, db = value_and_slope((index + RIGHT).astype(h.dtype) * h)
    gap = (RIGHT - LEFT) * h

    def control(s):
        u = (s - LEFT * h) / gap
        ends = a * (1 + 2 * u) * (1 - u) ** 2 + b * (3 - 2 * u) * u**2
        return ends + gap * u * (1 - u) * (da * (1 - u) - db * u)

    return control


def solver(h) -> dfx.QUICSORT:
    """diffrax's, its Taylor threshold as it advises for this precision.

    Never zero: the clock has h * friction = 0, for which only the Taylor series is defined.
    """
    return dfx.QUICSORT(0.01 if h.dtype == jnp.float64 else 0.1)


def clocked(position, h):
    """The position with a clock and a work beside it, both at zero."""
    return position, jnp.zeros_like(h), jnp.zeros_like(h)


def langevin_terms(system: AbstractSystem, sample, force, noise) -> dfx.MultiTerm:
    """diffrax's terms for one sample: f = U/kT, u = kT/m, a rate of friction gamma/m.

    The coordinates are (position, clock, work). The work w has no friction and u = 1: its
    "force" -dU/dt makes its VELOCITY the work done since the start of the step.
    """
    bath = system.bath
    mass, friction = like_position(bath.mass, sample), like_position(bath.friction, sample)
    spread = lambda value, x: jnp.broadcast_to(value, x.shape)
    rate = jax.tree.map(lambda x, g, m: spread(g / m, x), sample, friction, mass)
    scale = jax.tree.map(lambda x, m: spread(bath.temperature / m, x), sample, mass)
    # Python constants: sqrt(2 gamma u) of a traced zero has an infinite derivative.
    gamma, u = (rate, 0.0, 0.0), (scale, 0.0, 1.0)

    def grad_f(x, args):
        position, clock, _ = x
        gradient, power = force(position, clock)
        return gradient, jnp.zeros_like(clock), -power

    return dfx.MultiTerm(
        dfx.UnderdampedLangevinDriftTerm(gamma, u, grad_f),
        dfx.UnderdampedLangevinDiffusionTerm(gamma, u, noise),
    )


class Increment(dfx.AbstractBrownianPath):
    """The Brownian increment of one step and its Levy areas, already drawn."""

    W: PyTree[Array]
    H: PyTree[Array]
    K: PyTree[Array]
    dt: Array
    levy_area: ClassVar[type] = dfx.SpaceTimeTimeLevyArea

    @property
    def t0(self):
        return 0.0

    @property
    def t1(self):
        return self.dt

    def evaluate(self, t0, t1=None, left=True, use_levy=False):
        del t0, t1, left
        if not use_levy:
            return self.W
        span = jax.tree.map(lambda _: self.dt, self.W)
        return dfx.SpaceTimeTimeLevyArea(dt=span, W=self.W, H=self.H, K=self.K)
