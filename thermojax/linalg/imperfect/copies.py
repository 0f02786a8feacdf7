"""A device with imperfections: programmed with what its components make of A and b, and read so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ..._arguments import flag, instance, whole
from ...potential import Harmonic
from ...sampling import advance, start, switch
from ..device.answer import Answer
from ..device.device import Device, Plan, Reading, Scatter, window
from ..device.exact import Modes, at_rest, law_of, moved
from ..device.operator import Springs
from ..device.problem import Run
from ..device.relaxation import relaxation_of
from .floor import checked_extrapolation, floor_of_inverse, floor_of_solution, mean_program
from .imperfections import Imperfections, Programs, programs_of
from .readout import Readout, readout_of

STRONG = 0.5  # relative to A: errors for which a first order says little
OUT_OF_RANGE = 1e-3  # the share of read-outs at the ends of their range of which a user is warned


class Repeated(NamedTuple):
    """Imperfections, and what is done about them."""

    imperfections: Imperfections
    copies: int
    extrapolate: bool


def checked_copies(
    imperfections, copies: int, extrapolate: bool, rtol: float | None
) -> Repeated | None:
    """The wishes of a user for an imperfect device; None for a perfect one.

    **Raises:** ValueError for what does not fit, and for copies of a perfect device.
    """
    copies = whole("copies", copies, cure="programmed each on its own")
    flag("extrapolate", extrapolate)
    if imperfections is None:
        if copies > 1 or extrapolate:
            raise ValueError(
                "imperfections is None, and copies or extrapolate are given: a perfect device "
                "gains nothing by them; expected imperfections=, or trajectories="
            )
        return None
    instance("imperfections", imperfections, Imperfections, "a tj.linalg.Imperfections(...)")
    checked_extrapolation(imperfections, extrapolate)
    if rtol is not None:
        raise ValueError(
            "rtol and imperfections: no time brings an imperfect device below its floor; expected "
            "time=, or imperfections=None"
        )
    return Repeated(imperfections, copies, extrapolate)


class Copies(NamedTuple):
    """Readings of copies of a device, a copy on the first axis, and how often meters overflowed."""

    reading: Reading
    out_of_range: Array


def imperfect(
    run: Run,
    repeated: Repeated,
    key: PRNGKeyArray,
    of: Callable[[Array], Array],
) -> Answer:
    """The answer of imperfect devices: the mean over copies, extrapolated where that is asked for.

    **Arguments:** `of`: positions `(batch, dim)` -> what is averaged.
    """
    imperfections, copies, extrapolate = repeated
    problem = run.problem
    if not isinstance(problem.operator, lx.MatrixLinearOperator):
        raise ValueError(
            "A is known by its products alone, and imperfections are those of programmed entries: "
            "expected a matrix, or imperfections=None"
        )
    A, exact = problem.operator.matrix, problem.modes is not None
    keys = jax.random.split(key)
    programs = programs_of(imperfections, A, problem.b, copies, extrapolate, keys[0])
    require_stable_programs(imperfections, A, programs)
    found = read_copies(run, imperfections, programs, keys[1], of)
    share = float(jnp.mean(found.out_of_range))
    if share > OUT_OF_RANGE:
        warnings.warn(
            f"output_range = {imperfections.output_range:g}: {share:.1%} of all read-outs were at "
            "its ends, which biases the answer; expected a range that holds mean and noise",
            stacklevel=3,
        )
    exactly = exact and found.reading.value.ndim == 2  # errors by the law of the modes
    if not exactly:
        order = found.reading.value.ndim - 1
        found = found._replace(reading=run.grouped(found.reading, order, stacklevel=7))
    weights = jnp.asarray([2.0, -0.5, -0.5] if extrapolate else [1.0], A.dtype)
    weights = jnp.tile(weights, copies) / copies
    value = jnp.tensordot(weights, found.reading.value, 1)
    together = weights.reshape(copies, -1) * copies
    each = found.reading.value.reshape(*together.shape, *value.shape)
    each = jnp.einsum("ij,ij...->i...", together, each)
    error = jnp.sqrt(jnp.tensordot(weights**2, found.reading.error**2, 1))
    work, heat = found.reading.work.reshape(-1), found.reading.heat.reshape(-1)
    answer = run.answered(
        Reading(value, error, work, heat),
        vectors=len(work) * run.plan.samples if exact else 0,
    )
    floor_of = floor_of_solution if value.ndim == 1 else floor_of_inverse
    kt = jnp.asarray(run.device.bath.temperature, A.dtype)
    times, meters = window(run.device, run.plan), run.plan.averaged
    floor = floor_of(imperfections, A, problem.b, kt, times, copies, meters, extrapolate)
    count = len(programs.A)
    return eqx.tree_at(
        lambda a: (a.floor, a.copies, a.samples, a.products),
        answer,
        (floor, each, answer.samples * count, answer.products * (1 if exact else count)),
        is_leaf=lambda x: x is None,
    )


def require_stable_programs(imperfections: Imperfections, A: Array, programs: Programs) -> None:
    """**Raises:** ValueError where a program has no equilibrium, with the error that would do.

    Warns where errors are not small beside A, so that their floor is more than its first order.
    """
    lowest = np.asarray(jnp.linalg.eigvalsh(programs.A)[:, 0])
    if np.all(lowest > 0):
        mean = np.asarray(mean_program(imperfections, A))[None]
        relative = np.max(np.abs(relative_to(mean, np.asarray(programs.A) - mean)))
        if relative > STRONG:
            warnings.warn(
                f"imperfections change A by up to {relative:.2g} of itself along some direction, "
                "so that their floor, a second-order prediction, is a rough one",
                stacklevel=4,
            )
        return
    worst = int(np.argmin(lowest))
    rounded, errors = (np.asarray(x[worst], float) for x in (programs.rounded, programs.errors))
    if np.linalg.eigvalsh(rounded)[0] <= 0:
        raise ValueError(
            f"input_bits = {imperfections.input_bits}: A is no longer positive definite when "
            "rounded; expected more bits, or A plus a multiple of the identity"
        )
    most = -1 / np.min(relative_to(rounded[None], (rounded * errors)[None]))
    raise ValueError(
        f"component_error = {imperfections.component_error:g}: program {worst + 1} of "
        f"{len(lowest)} has an eigenvalue of {lowest[worst]:.2g}, and no equilibrium; expected "
        f"less than {most:.2g}, at which these errors make A singular, or A plus a multiple of "
        "the identity"
    )


def relative_to(matrices: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """The eigenvalues of A^(-1/2) dA A^(-1/2) of positive definite A."""
    low = np.linalg.cholesky(matrices)
    half = np.linalg.solve(low, changes)
    return np.linalg.eigvalsh(np.linalg.solve(low, np.swapaxes(half, -1, -2)))


def read_copies(
    run: Run,
    imperfections: Imperfections,
    programs: Programs,
    key: PRNGKeyArray,
    of: Callable[[Array], Array],
) -> Copies:
    """The readings of a device for each of some programs, one after the other or side by side."""
    problem, device, plan = run
    dtype = problem.b.dtype
    hotter = 1 + imperfections.excess_temperature
    bath = eqx.tree_at(lambda x: x.temperature, device.bath, device.bath.temperature * hotter)
    device = device._replace(bath=bath)
    readout, keys = readout_of(imperfections, dtype), jax.random.split(key, len(programs.A))
    each = jnp.asarray(plan.samples // plan.groups)  # traced, not a program for each
    if problem.modes is None:
        dt = jnp.asarray(device.dt, dtype)
        return by_steps(device, programs.A, programs.b, dt, plan, each, readout, keys, of)
    numbers = jnp.asarray([*window(device, plan), device.rest], dtype)
    layout = plan._replace(equilibration=0, spacing=0, samples=0)
    name = device.dynamics
    found = by_modes(programs.A, programs.b, name, bath, numbers, layout, each, readout, keys, of)
    if found.reading.value.ndim > 2:
        return found
    # The error of a mean position is known from the law of the modes.
    errors = jax.vmap(lambda a: position_variances(a, device, plan, readout))(programs.A)
    return found._replace(reading=found.reading._replace(error=jnp.sqrt(errors)))


def position_variances(A: Array, device: Device, plan: Plan, readout: Readout) -> Array:
    """The variances of mean positions of the samples, as they are read, of all trajectories."""
    values, vectors = jnp.linalg.eigh(A)
    memory, kt = relaxation_of(values, device), jnp.asarray(device.bath.temperature, A.dtype)
    modes = kt / values * memory.sampled(plan.spacing * device.dt, plan.samples)
    alone = (readout.white**2 + readout.apart**2 / 12) / plan.samples
    return ((vectors**2) @ modes + alone) / plan.averaged


@eqx.filter_jit
def by_modes(A, b, dynamics, bath, numbers, plan: Plan, each, readout: Readout, keys, of) -> Copies:
    """Each copy by the exact law of its modes; `numbers`: wait, time, stiffness at rest."""
    wait, time, stiffness = numbers
    device = Device(dynamics, bath, 0.0, 0.0, 0.0)
    apart = time / (each * plan.groups)

    def copy(A, b, key):
        modes = Modes(*jnp.linalg.eigh(A))
        first, step = (law_of(modes.values, device, t, integral=False) for t in (wait, apart))
        keys, rest = jax.random.split(key, 3), at_rest(modes, b, device, stiffness)
        z = rest.start(plan.trajectories, keys[0])
        began, work = rest.energy(z), rest.coupling_work(z)
        z = moved(first, z, keys[1])
        position = lambda z: (rest.center + z[..., 0]) @ modes.vectors.T
        z, scatter, out = averaged_readouts(
            z, lambda z, key: moved(step, z, key), position, plan, each, readout, wait, apart,
            keys[2], of,
        )  # fmt: skip
        work = work - rest.coupling_work(z)
        heat = work - (rest.energy(z) - began)
        return Copies(Reading(scatter.mean, scatter.error, work, heat), out)

    return jax.vmap(copy)(A, b, keys)


@eqx.filter_jit
def by_steps(device: Device, A, b, dt, plan: Plan, each, readout: Readout, keys, of) -> Copies:
    """Each copy by time steps, one after the other."""
    idle = device.system(Harmonic(device.rest, jnp.zeros_like(b[0])))

    def copy(program):
        A, b, key = program
        coupled, keys = device.system(Springs(lx.MatrixLinearOperator(A), b)), jax.random.split(key)
        chain = switch(start(idle, keys[0], batch=plan.trajectories), idle, coupled)
        chain = advance(coupled, chain, dt=dt, steps=plan.equilibration)
        chain, scatter, out = averaged_readouts(
            chain, lambda chain, _: advance(coupled, chain, dt=dt, steps=plan.spacing),
            lambda chain: chain.position, plan, each, readout, plan.equilibration * dt,
            plan.spacing * dt, keys[1], of,
        )  # fmt: skip
        ledger = switch(chain, coupled, idle).ledger
        heat = ledger.heat - ledger.shadow_work
        return Copies(Reading(scatter.mean, scatter.error, ledger.work, heat), out)

    return jax.lax.map(copy, (A, b, keys))


def averaged_readouts(
    state, move, position, plan: Plan, each, readout: Readout, wait, apart, key, of
):
    """Averages of what meters show of a moving device: the state at the end, averages, overflows.

    **Arguments:** `move`: (state, key) -> state, over the time `apart` between two samples;
    `position`: state -> `(trajectories, dim)`; `each`: the samples of a group, which may be traced.
    """
    side, keys = plan.groups_of_trajectories, jax.random.split(key)
    size = plan.trajectories // side
    like = jax.eval_shape(of, position(state)[:size])

    def sample(i, carry):
        state, offsets, total, out = carry
        moving, meters, noise = jax.random.split(jax.random.fold_in(keys[1], i), 3)
        state = move(state, moving)
        offsets = readout.moved(offsets, apart, meters)
        x, beyond = readout.read(position(state), offsets, wait + (i + 1) * apart, noise)
        read = jax.vmap(of)(x[: side * size].reshape(side, size, -1))
        return state, offsets, total + read, out + jnp.mean(beyond)

    def group(g, carry):
        state, offsets, scatter, out = carry
        zero = jnp.zeros((side, *like.shape), like.dtype)
        begin = state, offsets, zero, out
        state, offsets, total, out = jax.lax.fori_loop(g * each, (g + 1) * each, sample, begin)
        return state, offsets, scatter.joined(total / each), out

    offsets = readout.offsets(position(state).shape, keys[0])
    begin = state, offsets, Scatter.nothing(like), jnp.zeros((), like.dtype)
    state, _, scatter, out = jax.lax.fori_loop(0, plan.groups, group, begin)
    return state, scatter, out / (each * plan.groups)
