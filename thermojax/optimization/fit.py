"""The fit loop: descent on a cost of the paths, or of the law itself."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import equinox as eqx
import jax
import numpy as np
import optax
from jax.sharding import NamedSharding
from jaxtyping import PRNGKeyArray

from .._calls import Computation, alone
from .._keys import Purpose, part_key
from ..checkpoint import AbstractCheckpoint
from ..distribution import FokkerPlanck
from ..dynamics import BAOAB, AbstractSplitting
from ..estimate import Estimate
from ..system import AbstractSystem
from .arguments import check_training
from .descent import COMPARISONS, AbstractTask, Until, compare_candidates, descend
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
from .trainable import not_positive, projected, split_trainable
from .training import Training, fingerprint, resumed


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

    def report(step, loss, diverged, moved):
        if callback is None:
            return False
        return callback(Progress(step, steps, loss, diverged, eqx.combine(moved, rest)))

    until = Until(steps, paths, patience, tolerance, report)
    training, stopped = yield from descend(ready, optimizer, training, draw, until, checkpoint)

    def on_fresh_starts(k):
        """Starts of their own, which training has not seen, and the same for all candidates."""
        with_starts = yield from drawn_once(task.picture, params, rest, k, **ways)
        return dataclasses.replace(task, picture=with_starts)

    found = yield from compare_candidates(
        training, params, key, on_fresh_starts, COMPARISONS if noisy else 1, compared
    )
    trained = eqx.combine(found.params, rest)
    if isinstance(picture_of, GaussianLaw | GridLaw):
        warn_of_law(picture_of, trained, found.value)
    return Fit(trained, found.value, training.history, found.candidates, found.chosen, stopped)


class Task(AbstractTask):
    """The function that is minimized: the cost of a system of which `rest` does not train."""

    rest: AbstractSystem
    picture: Any
    objective: AbstractObjective
    gradient: AbstractGradient

    def __call__(self, params, key):
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

    def refused(self, start, params):
        negative = not_positive(start, params, self.rest)
        if not negative:
            return None
        cure = "train a schedule of it with lower=, or take smaller steps"
        return f"the {negative} was no longer positive", cure

    def independent(self):
        return (
            f"{type(self.objective).__name__} does not depend on what trains, its gradient is "
            "exactly zero: choose another objective, or other leaves with trainable="
        )


def warn_of_law(picture: GaussianLaw | GridLaw, system, value: Estimate) -> None:
    """Warn where the picture does not hold for the trained protocol, which tracing could hide."""
    try:
        picture.check(system, value)
    except ValueError as error:
        warnings.warn(f"the trained protocol does not fit the picture: {error}", stacklevel=3)
