"""The training of an annealer: the loop that trains protocols, on the loss of an annealer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from .._arguments import choice, function, instance, whole
from .._calls import alone
from .._keys import Purpose, check_key, part_key
from ..checkpoint import AbstractCheckpoint
from ..estimate import Estimate, weighted_mean
from ..optimization.descent import COMPARISONS, AbstractTask, Until, compare_candidates, descend
from ..optimization.training import Training, fingerprint, resumed
from .annealer import Annealer, check_density, loss_of
from .objectives import LOSSES


class AnnealerProgress(NamedTuple):
    """The state of a training that a callback gets after each step."""

    step: int  # from 1
    steps: int  # planned
    loss: Estimate  # of this batch, before the update
    diverged: int
    annealer: Annealer  # after the update


class AnnealerFit(eqx.Module):
    """The trained annealer and its history, from `tj.anneal.fit`.

    - `annealer`: the averaged iterate, or the last, the one of lowest loss or the start where that
      is better beyond doubt, on fresh keys with common noise.
    - `elbo`: its lower bound of ln Z, on yet other fresh keys: no winner's curse.
    - `history`: arrays over the training steps: `loss`, `error`, `diverged`, and `slope`, the
      largest entry of the gradient.
    - `candidates`: the losses that were compared, by name; `chosen`: which won.
    - `stopped`: why training ended, in words.
    """

    annealer: Annealer
    elbo: Estimate
    history: dict[str, np.ndarray]
    candidates: dict[str, Estimate]
    chosen: str = eqx.field(static=True)
    stopped: str = eqx.field(static=True)


def fit(
    annealer: Annealer,
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    *,
    batch: int,
    steps: int,
    objective: str = "elbo",
    callback: Callable[[AnnealerProgress], bool | None] | None = None,
    patience: int | None = None,
    checkpoint: AbstractCheckpoint | None = None,
) -> AnnealerFit:
    """Train an annealer to waste less: the loop of `tj.optimize` on `Annealer.loss`.

    A rate that falls to zero and a bound on the gradient serve it well:
    `optax.chain(optax.clip_by_global_norm(50), optax.adam(optax.cosine_decay_schedule(6e-3, n)))`.

    **Arguments:**

    - `annealer`: where training starts; what trains is `annealer.split()[0]`.
    - `optimizer`: any optax transformation. `steps`: training steps; `batch`: paths of each.
    - `objective`: as in `Annealer.loss`; candidates are compared by the ELBO whatever it is.
    - `callback(progress)`: called after each step with an `AnnealerProgress`; True ends training.
    - `patience`: end when the smoothed loss has not fallen for so many steps.
    - `checkpoint`: a `tj.Checkpoint`, from where training goes on if it was killed.

    Training also ends, the best kept, when the loss is no longer finite or more than a tenth of a
    batch diverges, as where the target is unbounded below.

    **Returns:** an `AnnealerFit`. **Raises:** ValueError, in one sentence with the cure, or for a
    checkpoint of another training. **Cost:** per step that of `Annealer.loss` and its gradient.
    """
    instance("annealer", annealer, Annealer, "a tj.anneal.Annealer(...)")
    kind = "an optax transformation such as optax.adam(0.01)"
    instance("optimizer", optimizer, optax.GradientTransformation, kind)
    check_key(key)
    batch, steps = whole("batch", batch, 2), whole("steps", steps)
    choice("objective", objective, tuple(LOSSES))
    check_density(annealer, objective)
    if callback is not None:
        function("callback", callback, "a function of an AnnealerProgress, or None")
    if patience is not None:
        whole("patience", patience)
    if checkpoint is not None:
        instance("checkpoint", checkpoint, AbstractCheckpoint, "a tj.Checkpoint, or None")
    params, rest = annealer.split()
    task = AnnealingTask(rest, batch, objective)
    training = Training.begin(params, optimizer.init(params), key, steps, 0.9)
    if checkpoint is not None:
        training = resumed(checkpoint, training.marked(fingerprint((annealer, task))))

    def report(step, loss, diverged, moved):
        if callback is None:
            return False
        trained = eqx.combine(moved, rest)
        return callback(AnnealerProgress(step, steps, loss, diverged, trained))

    def draw(step):
        return part_key(key, Purpose.TRAINING, step)

    def ready(key):
        yield from ()
        return AnnealingTask(rest, batch, "elbo")

    def computation():
        until = Until(steps, batch, patience, None, report)
        last, stopped = yield from descend(task, optimizer, training, draw, until, checkpoint)
        found = yield from compare_candidates(last, params, key, ready, COMPARISONS)
        value = Estimate(-found.value.value, found.value.error, found.value.count)
        trained = eqx.combine(found.params, rest)
        return AnnealerFit(trained, value, last.history, found.candidates, found.chosen, stopped)

    return alone(computation())


class AnnealingTask(AbstractTask):
    """The loss of an annealer of which `rest` does not train."""

    rest: Annealer
    batch: int = eqx.field(static=True)
    objective: str = eqx.field(static=True)

    def __call__(self, params, key):
        annealer = eqx.combine(params, self.rest)
        value, (weights, alive) = loss_of(annealer, key, self.batch, self.objective)
        error = weighted_mean(jnp.where(alive > 0, weights, 0), alive)
        return value, (Estimate(value, error.error, error.count), jnp.sum(alive == 0))

    def value_and_grad(self, params, key, step):
        del step
        return jax.value_and_grad(self, has_aux=True)(params, key)

    def bounded(self, params):
        return params

    def refused(self, start, params):
        del start, params
        return None

    def independent(self):
        return (
            "the loss does not depend on what trains, its gradient is exactly zero: look whether "
            "the target depends on the position"
        )
