"""The fit loop: descent on a cost of the paths, or of the law itself."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import NamedSharding
from jaxtyping import PRNGKeyArray

from .._calls import Call, Computation, alone
from .._keys import Purpose, part_key
from ..checkpoint import AbstractCheckpoint
from ..distribution import FokkerPlanck
from ..dynamics import BAOAB, AbstractSplitting
from ..estimate import Estimate
from ..system import AbstractSystem
from .arguments import check_training
from .choose import choose, pool_runs
from .gradients import AbstractGradient, Pathwise
from .objectives import AbstractObjective
from .picture import (
    ExactMoments,
    GaussianLaw,
    GridLaw,
    Particles,
    RunOptions,
    Runs,
    prepare_picture,
)
from .starts import drawn_once
from .trainable import inward, not_positive, projected, split_trainable
from .training import Training, fingerprint, resumed

LARGEST_DIVERGED = 0.1  # fraction of a batch above which training stops
COMPARISONS = 5  # fresh batches on which the final candidates are compared
CANDIDATES = ("averaged", "last", "lowest loss", "start")
AVERAGING = 8.0  # iterates are weighted with about step^8: a memory of the last ninth


class Progress(NamedTuple):
    """The state of a training that a callback gets after each step."""

    step: int  # from 1
    steps: int  # planned
    loss: Estimate  # of this batch, before the update
    diverged: int
    system: AbstractSystem  # after the update


class Fit(eqx.Module):
    """The trained system and its history, from `tj.optimize`.

    - `system`: the averaged iterate, or the last, the one of lowest loss or the start where that
      is better beyond doubt, on fresh keys with common noise.
    - `value`: its cost, on yet other fresh keys: no winner's curse.
    - `history`: arrays over the training steps: `loss`, `error`, `diverged`, and `slope`, the
      largest entry of the gradient.
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
    key: PRNGKeyArray | None = None,
    *,
    dt: float | None = None,
    time_steps: int | None = None,
    batch: int | None = None,
    steps: int,
    initial: Any = None,
    integrator: AbstractSplitting = BAOAB(),
    picture: ExactMoments | FokkerPlanck | None = None,
    gradient: AbstractGradient = Pathwise(),
    trainable: Callable | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
    compared: Callable[[int, int], Any] | None = None,
    patience: int | None = None,
    tolerance: float | None = None,
    checkpoint: AbstractCheckpoint | None = None,
    sharding: NamedSharding | None = None,
    antithetic: bool = False,
    common_noise: bool = False,
    memory: int | None = None,
) -> Fit:
    """Train a protocol: gradients of the objective run back through the paths, or the law.

    **Arguments:**

    - `system`: its protocol is where training starts. `objective`: for example `tj.MeanWork()`.
    - `optimizer`: any optax transformation. `steps`: training steps.
    - `dt` or `time_steps`, `batch`, `initial`, `integrator`: as in `tj.simulate`. Each step draws
      paths of its own. Where a start takes a burn-in, and nothing that trains moves its law, it is
      drawn once for all steps, of which each moves it on; once more for each comparison.
    - `picture`: None for paths; `tj.ExactMoments()` for the exact law of a quadratic system, or a
      `tj.FokkerPlanck()` for the law on a grid (with `dt` or `time_steps`). These need no key and
      no batch, have no noise, and suit `optax.lbfgs()`.
    - `gradient`: `tj.Pathwise()`; for counts such as `tj.ErasureError` `tj.ScoreFunction()` or
      `tj.Smoothed(width)`; for few parameters `tj.ForwardMode()`.
    - `trainable`: picks what trains, leaves or whole parts; by default the protocol's values and
      kicks.
    - `callback(progress)`: called after each step with a `Progress`; True ends training.
    - `compared(done, of)`: called after each of the runs that compare the candidates in the end.
    - `patience`: end when the smoothed loss has not fallen for so many steps.
    - `tolerance`: end when no entry of the gradient is larger (but where a bound is in the way).
    - `checkpoint`: a `tj.Checkpoint`, from where training goes on if it was killed, and which it
      keeps up to date. The callback sees the steps that are still to be done.
    - `sharding`: `tj.batch_sharding()` lays each batch out on several devices.
    - `antithetic`: every other path takes the noise of its neighbor with the opposite sign. Where
      positions are linear in the noise (a dragged trap) the gradient of the mean work is then
      exact; where the work is even in it (a stiffness) the variance is twice what it was.
    - `common_noise`: every step sees the same noise. The cost is then a function, which
      `optax.lbfgs()` can follow; its optimum is that of these paths, off by about 1/batch.
      Costs in `candidates` and `value` are on fresh noise all the same.
    - `memory`: bytes that a gradient may keep, as in `tj.simulate`.

    Bounds of the protocol are kept by projection after each update. Training also ends, the best
    kept, when the loss is no longer finite, when temperature, friction or mass, should they train,
    are no longer positive, or when more than a tenth of a batch diverges.

    **Returns:** a `tj.Fit`. **Raises:** ValueError where nothing trains, for an objective that does
    not depend on what trains, for a run that `tj.simulate` would refuse, or for a checkpoint of
    another training. **Cost:** per step about 3-5 runs of the batch; memory grows with the square
    root of the number of time steps.
    """
    return alone(
        optimization(
            system,
            objective,
            optimizer,
            key,
            dt=dt,
            time_steps=time_steps,
            batch=batch,
            steps=steps,
            initial=initial,
            integrator=integrator,
            picture=picture,
            gradient=gradient,
            trainable=trainable,
            callback=callback,
            compared=compared,
            patience=patience,
            tolerance=tolerance,
            checkpoint=checkpoint,
            sharding=sharding,
            antithetic=antithetic,
            common_noise=common_noise,
            memory=memory,
        )
    )


def optimization(
    system: AbstractSystem,
    objective: AbstractObjective,
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray | None,
    *,
    steps: int,
    gradient: AbstractGradient = Pathwise(),
    trainable: Callable | None = None,
    callback: Callable[[Progress], bool | None] | None = None,
    compared: Callable[[int, int], Any] | None = None,
    patience: int | None = None,
    tolerance: float | None = None,
    checkpoint: AbstractCheckpoint | None = None,
    common_noise: bool = False,
    **options: Unpack[RunOptions],
) -> Computation[Fit]:
    """The computation of `tj.optimize`, which can share its programs with others of its kind.

    The optimizer must be the same object in all of them.
    """
    check_training(
        system,
        objective,
        optimizer,
        key,
        steps=steps,
        gradient=gradient,
        trainable=trainable,
        callback=callback,
        compared=compared,
        patience=patience,
        tolerance=tolerance,
        checkpoint=checkpoint,
        common_noise=common_noise,
        **options,
    )
    steps = int(steps)
    system, picture_of = prepare_picture(system, key, **options)
    noisy = isinstance(picture_of, Particles)
    paths = picture_of.start.batch if noisy else 0
    if noisy and objective.counts() and not gradient.sees_counts:
        raise ValueError(
            "the objective counts paths, and a count has no derivative along a path: pass "
            "gradient=tj.ScoreFunction() or tj.Smoothed(width), or train in an exact picture"
        )
    draw = lambda i: part_key(key, Purpose.TRAINING, 1 if common_noise else i)
    params, rest = split_trainable(system, trainable)
    task = Task(rest, gradient.picture(picture_of), objective, gradient)
    smoothing = 0.9 if noisy and not common_noise else 0.0
    training = Training.begin(params, optimizer.init(params), key, steps, smoothing)
    if checkpoint is not None:
        training = resumed(checkpoint, training.marked(fingerprint((system, task, common_noise))))
    ways = dict(both_ways=objective.runs_reverse())
    ready = task
    if training.step < steps:
        with_starts = yield from drawn_once(task.picture, params, rest, key, **ways, warn=True)
        ready = dataclasses.replace(task, picture=with_starts)
    stopped = f"all {steps} steps done"
    for step in range(training.step + 1, steps + 1):
        previous = training
        moved, state, average, (loss, diverged), slope = yield Call(
            update,
            (
                ready,
                optimizer,
                training.params,
                training.state,
                training.average,
                draw(step),
                jnp.float32(step),
            ),
            own=lambda arguments: arguments[2:5],
        )
        value, slope = float(loss.value), float(slope)
        if step == 1 and slope == 0:
            require_dependence(ready, perturbed(params), draw(1))
        if not np.isfinite(value) or not is_finite_tree(moved):
            stopped = f"the loss was not finite at step {step}; the best before is kept"
            kept = average if is_finite_tree(average) else previous.params
            training = dataclasses.replace(previous, average=kept)
            break
        seen = (value, float(loss.error), int(diverged), slope)
        training = previous.after(moved, state, average, seen)
        if negative := not_positive(params, moved, rest):
            stopped = (
                f"the {negative} was no longer positive at step {step}; the best before is kept: "
                "train a schedule of it with lower=, or take smaller steps"
            )
            training = previous
            break
        if int(diverged) > LARGEST_DIVERGED * paths:
            stopped = f"{int(diverged)} of {paths} paths diverged at step {step}: smaller dt"
            training = dataclasses.replace(training, params=previous.params, best=previous.best)
            break
        if callback is not None:
            progress = Progress(step, steps, loss, int(diverged), eqx.combine(moved, rest))
            if callback(progress):
                stopped = f"the callback ended training at step {step}"
                break
        if patience is not None and training.since >= patience:
            stopped = f"no progress for {patience} steps, at step {step}"
            break
        if tolerance is not None and slope <= tolerance:
            stopped = f"the gradient fell below {tolerance:g} at step {step}"
            break
        if checkpoint is not None:
            checkpoint.save(training, last=step == steps)

    trials: dict[str, Any] = dict(
        zip(CANDIDATES, (training.average, training.params, training.best, params), strict=True)
    )
    draws = COMPARISONS if noisy else 1
    fresh = [part_key(key, Purpose.COMPARISON, i) for i in range(2 * draws)]
    costs, second = {name: [] for name in trials}, itemgetter(1)
    done, of = 0, draws * (len(trials) + 1)

    def count_run(run):
        nonlocal done
        done += 1
        if compared is not None:
            jax.block_until_ready(run)
            compared(done, of)

    for k in fresh[:draws]:
        # Starts of their own, which training has not seen, and the same for all candidates.
        with_starts = yield from drawn_once(task.picture, params, rest, k, **ways)
        trial_task = dataclasses.replace(task, picture=with_starts)
        for name, trial in trials.items():
            costs[name].append((yield Call(evaluate_cost, (trial_task, trial, k), own=second)))
            count_run(costs[name][-1])
    chosen = choose({name: [float(c.value) for c in runs] for name, runs in costs.items()})
    candidates = {name: pool_runs(runs) for name, runs in costs.items()}
    final = []
    for k in fresh[-draws:]:
        with_starts = yield from drawn_once(task.picture, params, rest, k, **ways)
        trial_task = dataclasses.replace(task, picture=with_starts)
        final.append((yield Call(evaluate_cost, (trial_task, trials[chosen], k), own=second)))
        count_run(final[-1])
    found, value = eqx.combine(trials[chosen], rest), pool_runs(final)
    if isinstance(picture_of, GaussianLaw | GridLaw):
        warn_of_law(picture_of, found, value)
    return Fit(found, value, training.history, candidates, chosen, stopped)


class Task(eqx.Module):
    """The function that is minimized: the cost of a system of which `rest` does not train."""

    rest: AbstractSystem
    picture: Any
    objective: AbstractObjective
    gradient: AbstractGradient

    def __call__(self, params, key):
        """(the cost, (its estimate, how many paths diverged))."""
        runs = Runs(eqx.combine(params, self.rest), self.picture, key)
        estimate = self.objective.of(runs)
        return estimate.value, (estimate, runs.diverged)

    def value_and_grad(self, params, key, step):
        """((value, aux), gradient), of the cost where it has one, else of what replaces it."""
        stand_in = self.gradient.objective(self.objective, step)
        cost = eqx.tree_at(lambda task: task.objective, self, stand_in)
        (value, aux), gradient = self.gradient.value_and_grad(cost, params, key)
        if stand_in is not self.objective:
            value, aux = self(params, key)
        return (value, aux), gradient

    def bounded(self, params):
        """The parameters, projected into the bounds of their protocols."""
        mask = jax.tree.map(lambda x: x is not None, params, is_leaf=lambda x: x is None)
        return eqx.filter(projected(eqx.combine(params, self.rest)), mask)


# Outside of `optimize`, so that a second call with the same shapes and the same optimizer object
# (the durations of a frontier, the rows of a table) finds the program compiled.
@eqx.filter_jit
def update(task: Task, optimizer, params, state, average, key, step):
    """One training step: (parameters, optimizer state, average, (loss, diverged), slope)."""
    (value, aux), gradient = task.value_and_grad(params, key, step)
    gradient = inward(task.bounded, params, gradient)
    # A line search (that of optax.lbfgs) asks for the cost elsewhere, at the same noise.
    search = dict(value=value, grad=gradient, value_fn=lambda p: task(task.bounded(p), key)[0])
    change, state = optax.with_extra_args_support(optimizer).update(
        gradient, state, params, **search
    )
    params = task.bounded(eqx.apply_updates(params, change))
    weight = (AVERAGING + 1) / (step + AVERAGING)
    average = jax.tree.map(lambda a, p: a + (weight * (p - a)).astype(p.dtype), average, params)
    return params, state, average, aux, largest(gradient)


@eqx.filter_jit
def evaluate_cost(task: Task, params, key) -> Estimate:
    return task(params, key)[1][0]


@eqx.filter_jit
def slope_of(task: Task, params, key):
    return largest(task.value_and_grad(params, key, 1.0)[1])


def largest(gradient):
    return jnp.max(jnp.abs(ravel_pytree(gradient)[0]))


def perturbed(params):
    """The parameters moved a little, each by another amount."""
    flat, restore = ravel_pytree(params)
    return restore(flat + 0.01 * (1 + jnp.abs(flat)) * jnp.cos(jnp.arange(flat.size) + 1.0))


def require_dependence(task: Task, params, key) -> None:
    """Refuse a cost whose gradient is zero at perturbed parameters: nothing that trains enters it.

    **Raises:** ValueError.
    """
    if float(slope_of(task, params, key)) == 0:
        raise ValueError(
            f"{type(task.objective).__name__} does not depend on what trains, its gradient is "
            "exactly zero: choose another objective, or other leaves with trainable="
        )


def warn_of_law(picture: GaussianLaw | GridLaw, system, value: Estimate) -> None:
    """Warn where the picture does not hold for the trained protocol, which tracing could hide."""
    try:
        picture.check(system, value)
    except ValueError as error:
        warnings.warn(f"the trained protocol does not fit the picture: {error}", stacklevel=3)


def is_finite_tree(tree) -> bool:
    return all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(tree))
