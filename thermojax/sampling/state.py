"""Where a batch of paths is, and what a run returns."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from .._arguments import is_real
from .._component import AbstractComponent, known, shown
from ..estimate import Estimate, weighted_mean
from ..ledger import Ledger
from .burn_in import BurnInReport


class State(AbstractComponent):
    """Positions and momenta of a batch: every leaf has the batch as its first axis.

    An overdamped state carries the hidden momentum of its integrator, in units of sqrt(mass).
    """

    position: PyTree[Array]
    momentum: PyTree[Array]


class Snapshots(AbstractComponent):
    """What was saved along the way: `values` with a leading axis of `times`.

    At time 0 after the first jump and kick, at the end after the last. `control` `(times, ...)` is
    what the potential holds there: that of the middle of the coming step, and at the end the last.
    """

    times: Float[Array, " times"]
    control: Array
    values: Any


class Result(AbstractComponent):
    """What `tj.simulate` returns. Arrays of the batch have it as their first axis.

    - `position`, `momentum`: at the end. `ledger`: a `tj.Ledger`, energies `(batch,)`.
    - `log_weight`, `(batch,)`: -(beta_1 H_1 - beta_0 H_0) - bath_entropy; with one temperature
      it is -beta (total work), and <exp(log_weight)> = Z_1 / Z_0 at any step.
    - `score`, `(batch,)`: zero, but its gradient carries the dependence of the initial law on
      parameters where draws do not; every mean taken here uses it.
    - `saved`: `tj.Snapshots`, or None. `burn_in`: a `tj.BurnInReport`, or None where the start
      was exact or given.
    - `antithetic`: whether the paths 2j and 2j + 1 had opposite noise, as errors must know.
    """

    position: PyTree[Array]
    momentum: PyTree[Array]
    ledger: Ledger
    log_weight: Float[Array, " batch"]
    score: Float[Array, " batch"]
    saved: Snapshots | None
    burn_in: BurnInReport | None
    antithetic: bool = eqx.field(static=True, default=False)

    @property
    def state(self) -> State:
        return State(self.position, self.momentum)

    @property
    def weights(self) -> Float[Array, " batch"]:
        """1 for paths that survived, 0 for those that diverged, with the score's gradient."""
        return self.ledger.alive * jnp.exp(self.score)

    def mean(self, values: ArrayLike) -> Estimate:
        """The mean over the surviving paths of `(batch, ...)` values, with its standard error.

        nan where no path survived, its error where fewer than two did; outside of jit it warns.

        **Raises:** ValueError for values that are not one for each path.
        """
        batch = self.log_weight.shape[0]
        if not is_real(values) or np.shape(values)[:1] != (batch,):
            came = f"an array of shape {np.shape(values)}" if is_real(values) else shown(values)
            raise ValueError(f"values = {came}: expected real numbers of shape ({batch}, ...)")
        found = weighted_mean(jnp.asarray(values), self.weights, self.antithetic)
        if (count := known(found.count)) is not None and count < min(batch, 2):
            told = (
                "all paths diverged, and no mean is left"
                if count == 0
                else ("one path survived, and no error can be stated")
            )
            warnings.warn(f"{told} ({batch} paths): take a smaller dt", stacklevel=3)
        return found

    @property
    def diverged(self) -> Int[Array, ""]:
        """How many paths left the range of finite numbers."""
        return jnp.sum(self.ledger.diverged)


class Chain(AbstractComponent):
    """Persistent paths for a training loop: `tj.start` makes one, `tj.advance` moves it on.

    Positions and momenta have the batch as their first axis, energies are `(batch,)`.
    `control` is the value that the potential holds now, `step` the absolute step since the start,
    `words` the noise key: the chain is a pytree to carry through jit, scan and checkpoints.
    """

    position: PyTree[Array]
    momentum: PyTree[Array]
    ledger: Ledger
    control: Array
    time: Float[Array, ""]
    step: Int[Array, ""]
    words: tuple[Array, Array]

    @property
    def state(self) -> State:
        return State(self.position, self.momentum)


def as_state(initial) -> State | None:
    """The state in anything that holds one."""
    if isinstance(initial, State):
        return initial
    return initial.state if isinstance(initial, Result | Chain) else None
