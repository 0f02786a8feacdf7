"""One run of the protocol, start to end, for a batch of paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import function
from .._keys import Purpose, check_key, purpose_key
from .._tree import cast
from ..dynamics import (
    BAOAB,
    AbstractIntegrator,
    DriftTerm,
    GridBrownianPath,
    NoiseTerm,
    grid_times,
    key_words,
    timetable,
)
from ..execution import (
    Execution,
    check_adjoint,
    check_how,
    check_sharding,
    count_steps,
    forward_mode_in_words,
    require_splitting,
    snap,
    solve,
    spread,
    step_sizes,
)
from ..ledger import Ledger
from ..system import AbstractSystem, check_system
from .ends import enter, leave
from .initial import Start, checked_start, draw_start, prepare_start, warn_burn_in
from .resolution import warn_rounding
from .state import Result, Snapshots, State, dynamics_of


def simulate(
    system: AbstractSystem,
    key: PRNGKeyArray,
    *,
    dt: float | Array | None = None,
    time_steps: int | None = None,
    batch: int | None = None,
    initial: Any = None,
    integrator: AbstractIntegrator = BAOAB(),
    save: Any = None,
    observe: Callable | None = None,
    adjoint: Any = None,
    memory: int | None = None,
    noise_dtype: type = jnp.float32,
    sharding: NamedSharding | None = None,
) -> Result:
    """Drive a batch of paths through the whole protocol and keep their ledger.

    **Arguments:**

    - `system`: a `tj.Underdamped` or `tj.Overdamped`.
    - `key`: a typed key, `jax.random.key(seed)`. One key, one noise: whatever the block size,
      under jit or not, under `vmap` over systems (common random numbers).
    - `dt` or `time_steps`, exactly one: n = ceil(duration / dt) steps of duration / n. A traced
      duration needs `time_steps`. `dt` may also be the size of every step, `(n,)`, which must add
      up to the duration (nobody looks where they are traced): few steps, each where it is needed,
      and differentiable as any number.
    - `batch`: the number of paths. `initial`: `tj.Equilibrium(template)` (the default, without
      template), positions with a batch axis, a `tj.State`, or an earlier result.
    - `integrator`: `tj.BAOAB()`, `tj.OBABO()` or `tj.QUICSORT()`.
    - `save`: a number of snapshots, evenly spaced with both ends, or an array of times (snapped
      to the grid); `observe(time, state, ledger)` says what to keep of each, by default the last
      two. Whole numbers and booleans are kept as they are, exactly.
    - `adjoint`: a diffrax adjoint: RecursiveCheckpointAdjoint (default, memory O(sqrt(n)) besides
      the controls of n steps), ForwardMode for `jax.jvp` and `jax.jacfwd`, or DirectAdjoint, also
      for second derivatives such as `jax.hessian`.
    - `memory`: bytes that reverse mode may keep, of all devices together: block and checkpoints
      are chosen to fit, at the price of computing parts of the run more often. Snapshots and the
      start are not counted.
    - `noise_dtype`: the resolution of the noise, float32 also for float64 states unless told.
    - `sharding`: how the batch lies on several devices, `tj.batch_sharding()` for all of them: the
      same numbers on any number of devices, and nothing exchanged along the way.

    **Returns:** a `tj.Result`, its arrays in the dtype of the positions.

    **Raises:** ValueError, in one sentence with the cure, for steps, starts, potentials or save
    times that do not fit. A path that diverges raises nothing: it is frozen, counted, and, by the
    default adjoint, has no derivative.

    **Cost:** one gradient of the potential per step and path; differentiable in every array leaf
    of `system` at about 3-5 times that.
    """
    arguments = prepare_run(
        system,
        key,
        dt=dt,
        time_steps=time_steps,
        batch=batch,
        initial=initial,
        integrator=integrator,
        save=save,
        observe=observe,
        adjoint=adjoint,
        memory=memory,
        noise_dtype=noise_dtype,
        sharding=sharding,
    )
    with forward_mode_in_words():
        result = run_prepared(*arguments)
    if not warn_burn_in(result.burn_in, system.potential):
        warn_rounding(system, result.ledger)
    return result


def prepare_run(
    system: AbstractSystem,
    key: PRNGKeyArray,
    *,
    dt: float | Array | None = None,
    time_steps: int | None = None,
    batch: int | None = None,
    initial: Any = None,
    integrator: AbstractIntegrator = BAOAB(),
    save: Any = None,
    observe: Callable | None = None,
    adjoint: Any = None,
    memory: int | None = None,
    noise_dtype: type = jnp.float32,
    sharding: NamedSharding | None = None,
    block: int | None = None,
) -> tuple:
    """The arguments of `simulate`, checked and made ready: those of `run_prepared`.

    **Arguments:** as `simulate`; `block`, integration steps in one block, chosen when left out.

    **Raises:** ValueError, as `simulate`.
    """
    check_key(key)
    check_adjoint(adjoint, memory)
    check_system(system)
    check_how(integrator, noise_dtype)
    if observe is not None:
        function("observe", observe, "a function, observe(time, state, ledger) -> what to keep")
    duration = system.protocol.duration
    sizes = step_sizes(dt, duration)
    if sizes is None:
        steps = count_steps(duration, dt, time_steps)
    elif time_steps is None:
        require_splitting(integrator)
        steps = len(sizes)
    else:
        raise ValueError("dt is the size of every step and says how many: leave time_steps= out")
    save_steps = None if save is None else snap(save, duration, steps, sizes=sizes)
    start = prepare_start(system, initial, batch)
    check_sharding(sharding, start.batch)
    system = checked_start(system, start)
    frozen = None if save_steps is None else tuple(save_steps.tolist())
    memory = None if memory is None else int(memory)
    how = Execution(integrator, adjoint, noise_dtype, sharding, memory, block)
    return system, key, start, steps, how, frozen, observe, False, sizes


def keep_all(time, state: State, ledger: Ledger):
    return state, ledger


@eqx.filter_jit
def run_prepared(
    system: AbstractSystem,
    key,
    start: Start,
    steps: int,
    how: Execution,
    save_steps: tuple[int, ...] | None,
    observe: Callable | None,
    antithetic: bool = False,
    sizes: Float[Array, " steps"] | None = None,
) -> Result:
    """The compiled part of `simulate`, of what `prepare_run` returns.

    With `antithetic`, neighboring paths have opposite noise. `sizes`: of steps that differ.
    """
    state, score, report = draw_start(system, key, start, antithetic)
    integrator = how.integrator
    state, score = spread((cast(state, start.dtype), score), how.sharding)
    position, momentum = state.position, state.momentum
    sizes = None if sizes is None else jnp.asarray(sizes, start.dtype)
    h = jnp.asarray(system.protocol.duration / steps, start.dtype)
    h = h if sizes is None else jnp.mean(sizes)
    fraction = integrator.ou_fraction
    table = timetable(system, position, h, steps, ou_fraction=fraction, sizes=sizes)
    table = cast(table, start.dtype)
    shape = jax.eval_shape(lambda: position)
    words = key_words(purpose_key(key, Purpose.NOISE))
    path = GridBrownianPath(words, shape, h, 0, 0, integrator.draws, how.noise_dtype, antithetic)
    drift = DriftTerm(system, table)
    momentum, ledger = enter(drift, position, momentum)
    kind = dynamics_of(system)
    grid = None if sizes is None else grid_times(sizes)

    def observed(step, y):
        position, momentum, ledger = y
        time = step * h if grid is None else grid[jnp.asarray(step).astype(int)]
        return (observe or keep_all)(time, State(position, momentum, kind), ledger)

    indices = None if save_steps is None else np.asarray(save_steps)
    (position, momentum, ledger), values = solve(
        drift,
        NoiseTerm(system, table, path),
        (position, momentum, ledger),
        how,
        save_steps=indices,
        observe=observed,
    )
    momentum, ledger = leave(drift, position, momentum, ledger)
    if indices is not None and indices[-1] == steps and system.protocol.impulses() is not None:
        end = observed(steps, (position, momentum, ledger))
        values = jax.tree.map(lambda all_, last: all_.at[-1].set(last), values, end)
    before, after = (1 / t for t in table.temperature_ends)
    log_weight = -(after * ledger.energy - before * ledger.energy_start) - ledger.bath_entropy
    saved = None
    if indices is not None:
        times = jnp.asarray(indices) * h if grid is None else grid[indices]
        saved = Snapshots(times, table.middles[indices + 1], values)
    return Result(position, momentum, ledger, log_weight, score, saved, report, antithetic, kind)
