"""Energy against error at a fixed time: the front of what can be had of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._component import known
from ..dynamics import BAOAB, AbstractSplitting
from ..estimate import Estimate
from ..sampling import Equilibrium, simulate
from ..system import AbstractSystem
from .fit import Fit, optimize
from .frontier import stacked
from .objectives import AbstractObjective


class Weighed(AbstractObjective):
    """cost + weight * error. The errors of both add: they share their paths."""

    cost: AbstractObjective
    error: AbstractObjective
    weight: Float[Array, ""]

    def __call__(self, system, result):
        cost, error = self.cost(system, result), self.error(system, result)
        spread = jnp.asarray(cost.error) + self.weight * error.error
        return Estimate(cost.value + self.weight * error.value, spread, cost.count)


class Pareto(eqx.Module):
    """What `tj.pareto` returns: two costs against each other, arrays over the weights.

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
    key: PRNGKeyArray,
    *,
    weights: Any,
    dt: float | None = None,
    time_steps: int | None = None,
    batch: int | None = None,
    steps: int,
    initial: Any = None,
    integrator: AbstractSplitting = BAOAB(),
    trainable: Callable | None = None,
    patience: int | None = None,
    evaluation: int | None = None,
) -> Pareto:
    r"""The front of two costs at fixed time: the least of cost + weight * error for each weight.

    Each training starts from the protocol that the last weight found. A front that bulges the
    other way has points that no weight finds.

    **Arguments:** `system`, `optimizer`, `key`, `steps` and the rest as in `tj.optimize`; `cost`
    and `error`, objectives, such as `tj.MeanWork()` and a distance from the state that is wanted;
    `weights`, `(weights,)`, not negative, increasing; `evaluation`: how many fresh paths measure
    each protocol, 4 batches when left out.

    **Returns:** a `tj.Pareto`.

    **Raises:** ValueError for weights that are negative or do not increase, or what `tj.optimize`
    refuses.
    """
    given = known(weights)
    increasing = lambda w: w[0] >= 0 and np.all(np.isfinite(w)) and np.all(np.diff(w) > 0)
    if given is None or given.ndim != 1 or given.size == 0 or not increasing(given):
        raise ValueError(
            f"weights = {weights}: expected numbers from 0 on, each once and in increasing order"
        )
    if initial is None or isinstance(initial, Equilibrium):
        evaluation = 4 * batch if evaluation is None and batch is not None else evaluation
    else:
        evaluation = batch
    fresh = jax.random.fold_in(key, given.size)
    fits, costs, errors = [], [], []
    for i, weight in enumerate(given.tolist()):
        fit = optimize(
            system,
            Weighed(cost, error, weight),
            optimizer,
            jax.random.fold_in(key, i),
            dt=dt,
            time_steps=time_steps,
            batch=batch,
            steps=steps,
            initial=initial,
            integrator=integrator,
            trainable=trainable,
            patience=patience,
        )
        system = fit.system
        out = simulate(
            system,
            fresh,
            dt=dt,
            time_steps=time_steps,
            batch=evaluation,
            initial=initial,
            integrator=integrator,
        )
        fits.append(fit)
        costs.append(cost(system, out))
        errors.append(error(system, out))
    return Pareto(jnp.asarray(given), stacked(costs), stacked(errors), tuple(fits))
