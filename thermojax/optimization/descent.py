"""The loop of every training: descent on a noisy cost, whatever it is the cost of."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from .._calls import Call, Computation
from .._keys import Purpose, part_key
from ..checkpoint import AbstractCheckpoint
from ..estimate import Estimate
from .choose import choose, pool_runs
from .trainable import inward
from .training import Training

LARGEST_DIVERGED = 0.1  # fraction of a batch above which training stops
COMPARISONS = 5  # fresh batches on which the final candidates are compared
CANDIDATES = ("averaged", "last", "lowest loss", "start")
AVERAGING = 8.0  # iterates are weighted with about step^8: a memory of the last ninth


class AbstractTask(eqx.Module):
    """A function that is minimized over parameters, a pytree of arrays."""

    @abc.abstractmethod
    def __call__(self, params, key) -> tuple[Any, tuple[Estimate, Any]]:
        """(the cost, (its estimate, how many paths diverged))."""

    @abc.abstractmethod
    def value_and_grad(self, params, key, step) -> tuple[tuple[Any, tuple[Estimate, Any]], Any]:
        """((the cost, (its estimate, how many paths diverged)), the gradient), at a step."""

    @abc.abstractmethod
    def bounded(self, params):
        """The parameters within their bounds."""

    @abc.abstractmethod
    def refused(self, start, params) -> tuple[str, str] | None:
        """Why training may not go on from `params`, and the cure, in words; None where it may.

        **Arguments:** `start`, the parameters that it began with.
        """

    @abc.abstractmethod
    def independent(self) -> str:
        """The sentence for a cost that nothing that trains enters, with the cure."""


class Until(NamedTuple):
    """When a descent ends, and who looks on.

    - `steps`: at the latest. `patience`, `tolerance`: as in `tj.optimize`.
    - `paths`: of a batch, of which a tenth may diverge; 0 where there are none.
    - `report(step, loss, diverged, params)`: after each step; True ends it.
    """

    steps: int
    paths: int = 0
    patience: int | None = None
    tolerance: float | None = None
    report: Callable[[int, Estimate, int, Any], bool | None] | None = None


def descend(
    task: AbstractTask,
    optimizer: optax.GradientTransformation,
    training: Training,
    draw: Callable[[int], PRNGKeyArray | None],
    until: Until,
    checkpoint: AbstractCheckpoint | None = None,
) -> Computation[tuple[Training, str]]:
    """The training at its end, and why it ended, in words.

    **Arguments:** `training`, where it begins or goes on; `draw(step)`, the key of a step.
    **Raises:** ValueError for a cost that does not depend on the parameters.
    """
    start, steps = training.params, until.steps
    for step in range(training.step + 1, steps + 1):
        previous = training
        moved, state, average, (loss, diverged), slope, finite = yield Call(
            update,
            (
                task,
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
        if step == 1 and slope == 0 and np.isfinite(value):
            require_dependence(task, perturbed(start), draw(1))
        moved_finite, average_finite = np.asarray(finite)
        if not np.isfinite(value) or not moved_finite:
            kept = average if average_finite else previous.params
            training = dataclasses.replace(previous, average=kept)
            return training, not_finite(step, int(diverged), until.paths)
        seen = (value, float(loss.error), int(diverged), slope)
        training = previous.after(moved, state, average, seen)
        if refused := task.refused(start, moved):
            reason, cure = refused
            return previous, f"{reason} at step {step}; the best before is kept: {cure}"
        if int(diverged) > LARGEST_DIVERGED * until.paths:
            training = dataclasses.replace(training, params=previous.params, best=previous.best)
            words = f"{int(diverged)} of {until.paths} paths diverged at step {step}: smaller dt"
            return training, words
        if until.report is not None and until.report(step, loss, int(diverged), moved):
            return training, f"the callback ended training at step {step}"
        if until.patience is not None and training.since >= until.patience:
            return training, f"no progress for {until.patience} steps, at step {step}"
        if until.tolerance is not None and slope <= until.tolerance:
            return training, f"the gradient fell below {until.tolerance:g} at step {step}"
        if checkpoint is not None:
            checkpoint.save(training, last=step == steps)
    return training, f"all {steps} steps done"


class Comparison(NamedTuple):
    """The candidates of a training on fresh keys."""

    params: Any  # of the chosen one
    chosen: str
    candidates: dict[str, Estimate]
    value: Estimate  # the cost of the chosen one, on yet other keys


def compare_candidates(
    training: Training,
    start: Any,
    key: PRNGKeyArray | None,
    ready: Callable[[PRNGKeyArray | None], Computation[AbstractTask]],
    draws: int = COMPARISONS,
    compared: Callable[[int, int], Any] | None = None,
) -> Computation[Comparison]:
    """The averaged iterate, the last, the one of lowest loss or the start: see `choose`.

    **Arguments:** `ready(key)`, the task on a fresh key, which all candidates share; `draws`, how
    many keys; `compared(done, of)`, called after each run.
    """
    trials: dict[str, Any] = dict(
        zip(CANDIDATES, (training.average, training.params, training.best, start), strict=True)
    )
    fresh = [part_key(key, Purpose.COMPARISON, i) for i in range(2 * draws)]
    costs: dict[str, list] = {name: [] for name in trials}
    done, of = 0, draws * (len(trials) + 1)

    def count_run(run):
        nonlocal done
        done += 1
        if compared is not None:
            jax.block_until_ready(run)
            compared(done, of)

    def second(arguments):
        return arguments[1]

    for k in fresh[:draws]:
        task = yield from ready(k)
        for name, trial in trials.items():
            costs[name].append((yield Call(evaluate_cost, (task, trial, k), own=second)))
            count_run(costs[name][-1])
    chosen = choose({name: [float(c.value) for c in runs] for name, runs in costs.items()})
    candidates = {name: pool_runs(runs) for name, runs in costs.items()}
    final = []
    for k in fresh[-draws:]:
        task = yield from ready(k)
        final.append((yield Call(evaluate_cost, (task, trials[chosen], k), own=second)))
        count_run(final[-1])
    return Comparison(trials[chosen], chosen, candidates, pool_runs(final))


# Outside of the loop, so that a second call with the same shapes and the same optimizer object
# (the durations of a frontier, the rows of a table) finds the program compiled.
@eqx.filter_jit
def update(task: AbstractTask, optimizer, params, state, average, key, step):
    """One training step: (parameters, optimizer state, average, (loss, diverged), slope, whether
    parameters and average are finite)."""
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
    finite = jnp.stack([is_finite_tree(params), is_finite_tree(average)])
    return params, state, average, aux, largest(gradient), finite


@eqx.filter_jit
def evaluate_cost(task: AbstractTask, params, key) -> Estimate:
    return task(params, key)[1][0]


@eqx.filter_jit
def slope_of(task: AbstractTask, params, key):
    return largest(task.value_and_grad(params, key, 1.0)[1])


def not_finite(step: int, diverged: int, paths: int) -> str:
    """Why training ended with a loss that is no number."""
    why = f", {diverged} of {paths} paths diverged" if diverged else ""
    cure = ": smaller dt, or a lower learning rate" if diverged else ""
    return f"the loss was not finite at step {step}{why}; the best before is kept{cure}"


def largest(gradient):
    return jnp.max(jnp.abs(ravel_pytree(gradient)[0]))


def perturbed(params):
    """The parameters moved a little, each by another amount."""
    flat, restore = ravel_pytree(params)
    return restore(flat + 0.01 * (1 + jnp.abs(flat)) * jnp.cos(jnp.arange(flat.size) + 1.0))


def require_dependence(task: AbstractTask, params, key) -> None:
    """Refuse a cost whose gradient is zero at perturbed parameters: nothing that trains enters it.

    **Raises:** ValueError.
    """
    if float(slope_of(task, params, key)) == 0:
        raise ValueError(task.independent())


def is_finite_tree(tree):
    return jnp.all(jnp.isfinite(ravel_pytree(tree)[0]))
