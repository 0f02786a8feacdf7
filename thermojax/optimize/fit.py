"""The fit loop: stochastic gradient descent on a cost of the paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from ..checkpoint import AbstractCheckpoint
from ..dynamics import BAOAB, AbstractSplitting
from ..estimate import Estimate
from ..sampling.grid import count_steps
from ..sampling.initial import checked_start, prepare_start
from ..sampling.simulate import check_key, run
from ..system import AbstractSystem
from .objectives import AbstractObjective
from .trainable import projected, split
from .training import Training, fingerprint, resumed

LARGEST_DIVERGED = 0.1  # share of a batch above which training stops
COMPARISONS = 5  # fresh batches on which the final candidates are compared
AVERAGING = 8.0  # iterates are weighted with about step^8: a memory of the last ninth


class Progress(NamedTuple):
    """What a callback sees after each training step."""

    step: int  # from 1
    steps: int  # planned
    loss: Estimate  # of this batch, before the update
    diverged: int
    system: AbstractSystem  # after the update


class Fit(eqx.Module):
    """What `tj.optimize` returns.

    - `system`: the averaged iterate, or the last, the one of lowest loss or the start where that
      is better beyond doubt, on fresh keys with common noise.
    - `value`: its cost, on yet other fresh keys: no winner's curse.
    - `history`: arrays over the training steps: `loss`, `error`, `diverged`.
    - `candidates`: the costs that were compared, by name; `chosen`: which won.
    - `stopped`: why training ended, in words.
    """

    system: AbstractSystem
    value: Estimate
    history: dict[str, np.ndarray]
    candidates: dict[str, Estimate]
    chosen: str = eqx.field(static=True)
    stopped: str = eqx.field(static=True)


def optimize(
    system: AbstractSystem,
    objective: AbstractObjective,
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    *,
    dt: float | None = None,
    time_steps: int | None = None,
    batch: int | None = None,
    steps: int,
    initial: Any = None,
    integrator: AbstractSplitting = BAOAB(),
    trainable: Callable | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
    patience: int | None = None,
    checkpoint: AbstractCheckpoint | None = None,
) -> Fit:
    """Train a protocol: gradients of the objective run back through the paths.

    **Arguments:**

    - `system`: its protocol is where training starts. `objective`: for example `tj.MeanWork()`.
    - `optimizer`: any optax transformation. `steps`: training steps.
    - `dt` or `time_steps`, `batch`, `initial`, `integrator`: as in `tj.simulate`. Step i draws its
      paths with `fold_in(key, i)`.
    - `trainable`: picks the leaves that train; by default the protocol's values and kicks.
    - `callback(progress)`: called after each step with a `Progress`; True ends training.
    - `patience`: end when the smoothed loss has not fallen for so many steps.
    - `checkpoint`: a `tj.Checkpoint`, from where training goes on if it was killed, and which it
      keeps up to date. The callback sees the steps that are still to be done.

    Bounds of the protocol are kept by projection after each update. Training also ends, the best
    kept, when the loss is no longer finite or more than a tenth of a batch diverges.

    **Returns:** a `tj.Fit`. **Raises:** ValueError where nothing trains, or for a run that
    `tj.simulate` would refuse, or for a checkpoint of another training. **Cost:** per step about
    3-5 runs of the batch; memory grows with the square root of the number of time steps.
    """
    check_key(key)
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps = {steps}: expected a positive number of training steps")
    if not isinstance(objective, AbstractObjective):
        kind = type(objective).__name__
        raise ValueError(f"objective is a {kind}: expected one such as tj.MeanWork()")
    count = count_steps(system.protocol.duration, dt, time_steps)
    start = prepare_start(system, initial, batch)
    system = checked_start(system, start)
    params, rest = split(system, trainable)

    def cost(params, key):
        trial = eqx.combine(params, rest)
        result = run(trial, key, start, count, integrator, None, None, None, jnp.float32)
        estimate = objective(trial, result)
        return estimate.value, (estimate, result.diverged)

    @eqx.filter_jit
    def update(params, state, average, key, step):
        (_, (loss, diverged)), gradient = eqx.filter_value_and_grad(cost, has_aux=True)(params, key)
        change, state = optimizer.update(gradient, state, params)
        moved = projected(eqx.combine(eqx.apply_updates(params, change), rest))
        mask = jax.tree.map(lambda leaf: leaf is not None, params, is_leaf=lambda x: x is None)
        params = eqx.filter(moved, mask)
        weight = (AVERAGING + 1) / (step + AVERAGING)
        average = jax.tree.map(lambda a, p: a + (weight * (p - a)).astype(p.dtype), average, params)
        return params, state, average, loss, diverged

    evaluate = eqx.filter_jit(lambda params, key: cost(params, key)[1][0])
    now = Training.begin(params, optimizer.init(params), key, steps)
    if checkpoint is not None:
        parts = (system, objective, start, count, integrator)
        now = resumed(checkpoint, now.marked(fingerprint(parts)))
    stopped = f"all {steps} steps done"
    for step in range(now.step + 1, steps + 1):
        before = now
        moved, state, average, loss, diverged = update(
            now.params, now.state, now.average, jax.random.fold_in(key, step), jnp.float32(step)
        )
        value = float(loss.value)
        if not np.isfinite(value) or not all_finite(moved):
            stopped = f"the loss was not finite at step {step}"
            kept = average if all_finite(average) else before.params
            now = dataclasses.replace(before, average=kept)
            break
        now = before.after(moved, state, average, (value, float(loss.error), int(diverged)))
        if int(diverged) > LARGEST_DIVERGED * start.batch:
            stopped = f"{int(diverged)} of {start.batch} paths diverged at step {step}: smaller dt"
            now = dataclasses.replace(now, params=before.params, best=before.best)
            break
        if callback is not None:
            seen = Progress(step, steps, loss, int(diverged), eqx.combine(moved, rest))
            if callback(seen):
                stopped = f"the callback ended training at step {step}"
                break
        if patience is not None and now.since >= patience:
            stopped = f"no progress for {patience} steps, at step {step}"
            break
        if checkpoint is not None:
            checkpoint.save(now, last=step == steps)

    trials = {"averaged": now.average, "last": now.params, "lowest loss": now.best, "start": params}
    fresh = jax.random.fold_in(key, 0)
    costs = {
        name: [evaluate(trial, jax.random.fold_in(fresh, i)) for i in range(COMPARISONS)]
        for name, trial in trials.items()
    }
    chosen = choose({name: [float(c.value) for c in runs] for name, runs in costs.items()})
    candidates = {name: pooled(runs) for name, runs in costs.items()}
    confirm = jax.random.split(fresh, COMPARISONS)
    value = pooled([evaluate(trials[chosen], k) for k in confirm])
    return Fit(eqx.combine(trials[chosen], rest), value, now.history, candidates, chosen, stopped)


def choose(costs: dict[str, list[float]]) -> str:
    """The averaged iterate, unless another is lower by two standard errors of the difference.

    The runs of all candidates share their noise, so differences are far sharper than costs. Taking
    simply the lowest would prefer the lucky to the good.
    """
    reference = np.asarray(costs["averaged"])
    chosen, gain = "averaged", 0.0
    for name, values in costs.items():
        difference = reference - np.asarray(values)
        error = np.std(difference, ddof=1) / np.sqrt(difference.size)
        sure = difference.mean() - 2 * error
        if not np.all(np.isfinite(reference)) and np.all(np.isfinite(values)):
            sure = -np.mean(values)
            gain = -np.inf if chosen == "averaged" else gain
        if np.isfinite(sure) and sure > gain:
            chosen, gain = name, sure
    return chosen


def pooled(runs: list[Estimate]) -> Estimate:
    """One estimate from runs of equal size."""
    values = jnp.stack([run.value for run in runs])
    errors = jnp.stack([run.error for run in runs])
    count = sum(run.count for run in runs)
    return Estimate(jnp.mean(values), jnp.sqrt(jnp.sum(errors**2)) / len(runs), jnp.asarray(count))


def all_finite(tree) -> bool:
    return all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(tree))
