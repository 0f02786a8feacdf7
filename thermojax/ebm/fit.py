"""The training of an energy-based model: one compiled step, its samples carried along."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._arguments import function, instance, whole
from .._component import known
from .._keys import Purpose, check_key, part_key
from .._tree import batch_of
from ..checkpoint import AbstractCheckpoint, CheckpointError
from ..estimate import Estimate
from ..optimization.training import fingerprint
from ..potential import AbstractPotential
from .methods import AbstractMethod, Seen
from .model import Model, as_data, check_model, data_energies

LARGEST_LOST = 0.1  # share of the walkers above which training stops
COLLAPSED = 0.1  # of the data's variance along its first principal axis: walkers with less warn
WIDEST = 2000  # coordinates up to which that axis is looked for
BLOCK = 64  # steps of one call of the program, at most, where nobody looks at each
PATIENCE = 0.25  # seconds that a call may take: it cannot be interrupted
COLUMNS = (*Seen._fields, "log_likelihood", "slope")


class EnergyProgress(NamedTuple):
    """The state of a training that a callback gets after each step."""

    step: int  # from 1
    steps: int  # planned
    seen: dict[str, float]  # the columns of `EnergyFit.history`
    model: Model  # after the update
    positions: Any  # (walkers of the potential, their weights), or None


class EnergyFit(eqx.Module):
    """The trained model and its history, from `tj.ebm.fit`.

    - `model`: after the last step that left everything finite.
    - `history`: arrays `(steps,)`: `loss`, `log_z` and `log_z_error` of the data,
      `effective_share` of the walkers, `lost`, the share of them that diverged; `log_likelihood`,
      the mean of ln p over the batch of the step, before the update; `slope`, the largest entry of
      the gradient. nan where a method does not know.
    - `log_z`: ln Z of the data's law under `model` itself, from the witnesses where they now are.
    - `positions`: (walkers of the model's potential, their weights), or None.
    - `stopped`: why training ended, in words.
    """

    model: Model
    history: dict[str, np.ndarray]
    log_z: Estimate
    positions: tuple[PyTree[Array], Array] | None
    stopped: str = eqx.field(static=True)

    def log_likelihood(self, data: PyTree[Array]) -> Estimate:
        """The mean of ln p over data by `log_z`, with its error; nan for most methods.

        **Raises:** ValueError for data that do not fit the model.
        """
        mean = jnp.mean(data_energies(self.model, as_data(self.model, data)))
        return Estimate(-mean - self.log_z.value, self.log_z.error, self.log_z.count)


def fit(
    model: Model,
    data: PyTree[Array],
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    *,
    method: AbstractMethod,
    batch: int,
    steps: int,
    callback: Callable[[EnergyProgress], bool | None] | None = None,
    checkpoint: AbstractCheckpoint | None = None,
) -> EnergyFit:
    r"""Fit exp(-U) / Z to data by the gradient of their likelihood, samples carried along.

    In each step: samples move under the model, the gradient is that of <U>_data - <U>_samples, the
    optimizer changes the parameters, and the samples are told. One program, whose buffers are given
    back to it.

    **Arguments:**

    - `model`: a potential, or a model such as `tj.ebm.Ising`, at kT = 1; its float arrays train.
    - `data`: with a leading axis; of spins -1 and 1. `batch` of them are drawn for each step.
    - `optimizer`: any optax transformation. `steps`: training steps.
    - `method`: where samples come from: `tj.ebm.Nonequilibrium`, `Persistent`,
      `ContrastiveDivergence` or `ScoreMatching`.
    - `callback(progress)`: called after each step with an `EnergyProgress`; True ends training.
    - `checkpoint`: a `tj.Checkpoint`, from where training goes on if it was killed.

    Training also ends, the last good model kept, when more than a tenth of the walkers diverge, as
    where the energy has no bound below, or when anything is not finite. It warns where walkers have
    collapsed: where they vary by less than a tenth of what the data do along their main direction.

    **Returns:** an `EnergyFit`. **Raises:** ValueError, in one sentence with the cure; for data
    that are not finite, too; or for a checkpoint of another training.
    **Cost:** per step `moves.steps + 1` gradients for each walker, and one of each datum.
    """
    check_model(model)
    data = checked_data(model, data)
    kind = "an optax transformation such as optax.adam(1e-3)"
    instance("optimizer", optimizer, optax.GradientTransformation, kind)
    check_key(key)
    instance("method", method, AbstractMethod, "a method such as tj.ebm.Persistent(...)")
    batch, steps = whole("batch", batch), whole("steps", steps)
    if callback is not None:
        function("callback", callback, "a function of an EnergyProgress, or None")
    if checkpoint is not None:
        instance("checkpoint", checkpoint, AbstractCheckpoint, "a tj.Checkpoint, or None")
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    if not jax.tree.leaves(params):
        raise ValueError("the model has no float arrays: there is nothing to train")
    samples = method.begin(model, data, part_key(key, Purpose.POOL, 0))
    training = ModelTraining(
        *own_copies((params, optimizer.init(params), samples)),
        record=np.zeros((steps, len(COLUMNS))),
        key=key,
        mark=fingerprint((model, method, batch, data)),
    )
    if checkpoint is not None:
        training = going_on(checkpoint, training)
    fixed = (rest, method, optimizer, data, batch)
    training, stopped = trained(training, fixed, callback, checkpoint)
    found = eqx.combine(training.params, rest)
    positions = method.positions(training.samples)
    warn_collapse(found, data, positions)
    log_z = method.log_z(found, training.samples)
    return EnergyFit(found, training.history, log_z, positions, stopped)


class ModelTraining(eqx.Module):
    """A training after `step` steps; `record`, `(steps, columns)`, zeros from there on."""

    params: Any
    state: Any
    samples: Any
    record: np.ndarray
    key: PRNGKeyArray
    step: int = 0
    mark: str = ""

    @property
    def history(self) -> dict[str, np.ndarray]:
        return dict(zip(COLUMNS, self.record[: self.step].T, strict=True))


def trained(training: ModelTraining, fixed, callback, checkpoint) -> tuple[ModelTraining, str]:
    """The training at its end, and why it ended."""
    rest, method = fixed[:2]
    steps, together = len(training.record), 1
    rows = jnp.zeros((BLOCK, len(COLUMNS)))
    while training.step < steps:
        begun = time.monotonic()
        first = training.step + 1
        count = min(together, steps - training.step)
        moving = (training.params, training.state, training.samples)
        (params, state, samples), rows, done, good = updates(
            (*fixed, training.key, (jnp.asarray(first), jnp.asarray(count))), (moving, rows)
        )
        step = training.step + int(done)
        record = training.record
        record[training.step : step] = np.asarray(rows)[: int(done)]
        training = dataclasses.replace(
            training, params=params, state=state, samples=samples, record=record, step=step
        )
        seen = dict(zip(COLUMNS, record[step - 1].tolist(), strict=True))
        if not bool(good):
            return training, reason(step, seen)
        if callback is not None:
            model = eqx.combine(own_copies(params), rest)
            walkers = own_copies(method.positions(samples))
            if callback(EnergyProgress(step, steps, seen, model, walkers)):
                return training, f"the callback ended training at step {step}"
        elif time.monotonic() - begun < PATIENCE:
            together = min(2 * together, BLOCK)
        if checkpoint is not None:
            checkpoint.save(training, last=step == steps)
    return training, f"all {steps} steps done"


def reason(step: int, seen: dict[str, float]) -> str:
    """Why training ended early."""
    if seen["lost"] > LARGEST_LOST:
        return (
            f"{seen['lost']:.0%} of the walkers diverged at step {step}: the energy may have no "
            "bound below where they went, or dt is too large for it; the model before is kept"
        )
    return f"the loss or its gradient was not finite at step {step}; the model before is kept"


@eqx.filter_jit(donate="all-except-first")
def updates(fixed, moving):
    """Several steps: (what moves, their rows of numbers, how many, whether all were taken).

    They end with one that is not taken. The largest number of them is an argument of the program,
    so that no result depends on it.
    """
    *fixed, key, numbers = fixed
    first, count = numbers

    def body(carry):
        moving, rows, done, _ = carry
        step_key = part_key(key, Purpose.TRAINING, first + done)
        moving, row, good = update((*fixed, step_key), moving)
        return moving, rows.at[done].set(row), done + 1, good

    going = lambda carry: (carry[2] < count) & carry[3]
    return jax.lax.while_loop(going, body, (*moving, jnp.zeros_like(count), jnp.ones((), bool)))


def update(fixed, moving):
    """One step: (what moves, the row of numbers, whether the step was taken)."""
    rest, method, optimizer, data, batch, key = fixed
    params, state, samples = moving
    keys = jax.random.split(key, 4)
    count = batch_of(data)
    which = jax.random.randint(keys[0], (batch,), 0, count)
    some = jax.tree.map(lambda x: x[which], data)
    old = eqx.combine(params, rest)
    after = method.move(old, samples, some, keys[1])

    def cost(params):
        return method.loss(eqx.combine(params, rest), after, some, keys[2])

    loss, slope = jax.value_and_grad(cost)(params)
    seen = method.seen(old, after, loss)
    changes, next_state = optimizer.update(slope, state, params)
    moved: Any = optax.apply_updates(params, changes)
    largest = jnp.max(jnp.abs(ravel_pytree(slope)[0]))
    finite = jnp.all(jnp.isfinite(ravel_pytree(moved)[0])) & jnp.isfinite(loss)
    good = finite & (seen.lost <= LARGEST_LOST)
    keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)
    moved, next_state = keep(moved, params), keep(next_state, state)
    carried = method.changed(after, old, eqx.combine(moved, rest), keys[3])
    likelihood = -jnp.mean(data_energies(old, some)) - seen.log_z
    row = jnp.stack([jnp.asarray(x, loss.dtype) for x in (*seen, likelihood, largest)])
    return (moved, next_state, carried), row, good


def own_copies(tree):
    """Arrays of their own, which may be given away."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)


def checked_data(model: Model, data) -> PyTree[Array]:
    """Data as arrays of floats. **Raises:** ValueError for what does not fit the model."""
    data = as_data(model, data)
    count = batch_of(data, "data")
    rows = np.zeros(count, bool)
    for leaf in (x for x in map(known, jax.tree.leaves(data)) if x is not None):
        rows |= ~np.all(np.isfinite(leaf.reshape(count, -1)), axis=1)
    if np.any(rows):
        raise ValueError(
            f"{np.sum(rows):,} of {count:,} data are not finite, the first in row "
            f"{int(np.argmax(rows))}: leave them out, or fill them in"
        )
    return data


def going_on(checkpoint: AbstractCheckpoint, start: ModelTraining) -> ModelTraining:
    """The training of a checkpoint, or the start. **Raises:** CheckpointError for another one."""
    found = checkpoint.load(start)
    if found is None:
        return start
    same = np.array_equal(jax.random.key_data(found.key), jax.random.key_data(start.key))
    if not same or found.mark != start.mark:
        what = "model, method or data" if same else "key"
        raise CheckpointError(
            f"the checkpoint is of a training with another {what}: remove its file, or call "
            "tj.ebm.fit as it was called there"
        )
    return found


def warn_collapse(model: Model, data, positions) -> None:
    """Warn where walkers fill little of what the data fill."""
    if positions is None or not isinstance(model, AbstractPotential):
        return
    flat = jax.vmap(lambda x: ravel_pytree(x)[0])
    seen, walkers = np.asarray(flat(data)), np.asarray(flat(positions[0]))
    weights = np.asarray(positions[1])
    if seen.shape[1] > WIDEST or not np.all(np.isfinite(walkers)) or len(seen) < 2:
        return
    # The first principal axis, by the smaller of both products.
    axis = np.linalg.svd(seen - seen.mean(0), full_matrices=False)[2][0]
    along, share = walkers @ axis, weights / weights.sum()
    inside = share @ (along - share @ along) ** 2
    outside = np.var(seen @ axis)
    if inside < COLLAPSED * outside:
        warnings.warn(
            f"the walkers vary by {inside / outside:.1%} of what the data do along their main "
            "direction: they have collapsed into a part of it; train more slowly, move them more "
            "(moves.steps), or keep more of them",
            stacklevel=3,
        )
