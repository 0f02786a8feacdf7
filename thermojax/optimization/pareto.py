"""Energy against error at a fixed time: the front of what can be had of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import instance, whole
from .._component import floating, known, shown
from .._keys import Purpose, part_key
from ..checkpoint import AbstractCheckpoint
from ..estimate import Estimate
from ..system import AbstractSystem
from .arguments import check_training
from .fit import Fit
from .frontier import is_vector, stacked
from .gradients import AbstractGradient, Pathwise
from .objectives import AbstractObjective
from .picture import RunOptions, fresh_cost
from .stages import trained_in_turn


class Pareto(eqx.Module):
    """Two costs against each other, arrays over the weights, from `tj.pareto`.

    - `weights`, `(weights,)`. `cost` and `error`: `Estimate`s of `(weights,)`, on paths that no
      training has seen, the same for all weights.
    - `fits`: the trainings, one `tj.Fit` for each weight.
    """

    weights: Float[Array, " weights"]
    cost: Estimate
    error: Estimate
    fits: tuple[Fit, ...]


def pareto(
    system: AbstractSystem,
    cost: AbstractObjective,
    error: AbstractObjective,
    optimizer: optax.GradientTransformation,
    key: PRNGKeyArray | None = None,
    *,
    weights: Any,
    steps: int,
    trainable: Callable | None = None,
    gradient: AbstractGradient = Pathwise(),
    patience: int | None = None,
    tolerance: float | None = None,
    evaluation: int | None = None,
    checkpoint: AbstractCheckpoint | None = None,
    common_noise: bool = False,
    **options: Unpack[RunOptions],
) -> Pareto:
    r"""The front of two costs at fixed time: the least of cost + weight * error for each weight.

    Each training starts from the protocol that the last weight found. A front that bulges the
    other way has points that no weight finds.

    **Arguments:** `system`, `optimizer`, `key`, `steps` and the rest as in `tj.optimize`; `cost`
    and `error`, objectives, such as `tj.MeanWork()` and a distance from the state that is wanted;
    `weights`, `(weights,)`, not negative, increasing; `evaluation`: how many fresh paths measure
    each protocol, 4 batches when left out; `checkpoint`: as in `tj.frontier`.

    **Returns:** a `tj.Pareto`.

    **Raises:** ValueError for weights that are negative or do not increase, or what `tj.optimize`
    refuses.
    """
    for name, what in (("cost", cost), ("error", error)):
        instance(name, what, AbstractObjective, "an objective such as tj.MeanWork()")
    training: dict[str, Any] = dict(
        gradient=gradient, patience=patience, tolerance=tolerance, common_noise=common_noise
    )
    check_training(
        system,
        cost,
        optimizer,
        key,
        steps=steps,
        trainable=trainable,
        checkpoint=checkpoint,
        **training,
        **options,
    )
    given = known(floating(weights, "weights"))
    increasing = lambda w: w[0] >= 0 and np.all(np.isfinite(w)) and np.all(np.diff(w) > 0)
    evaluation = None if evaluation is None else whole("evaluation", evaluation, 2)
    if given is None or not is_vector(given) or not increasing(given):
        raise ValueError(
            f"weights = {shown(weights)}: expected numbers from 0 on, each once and in increasing "
            "order"
        )
    fresh = part_key(key, Purpose.EVALUATION, 0)
    fits = trained_in_turn(
        [system] * given.size,
        [cost + weight * error for weight in given.tolist()],
        optimizer,
        key,
        follow=lambda system, found: found,
        steps=steps,
        trainable=trainable,
        checkpoint=checkpoint,
        training=training,
        options=options,
    )
    scored = lambda what: stacked(
        [fresh_cost(f.system, what, fresh, evaluation, **options) for f in fits]
    )
    return Pareto(jnp.asarray(given), scored(cost), scored(error), tuple(fits))
