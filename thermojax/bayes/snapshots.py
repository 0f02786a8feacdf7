"""The law on its way from the prior to the posterior, as the paths of the ramps see it."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .stage import Books

INSTANTS = 9  # of a ramp, both ends among them
NUMBERS = 1_000_000  # of all positions that are kept, or so


class RampSnapshots(eqx.Module):
    r"""Paths of the ramps from the prior at some instants, from its start to its end.

    Weighted by exp(log_weight) the positions of an instant follow the law of its coupling lambda,
    p(x) p(y|x)^lambda / Z, whatever the speed of the ramp; without weights, the law that lags
    behind. The instants part the schedule evenly.

    - `control`: lambda, `(instants,)`. `position`: a pytree of `(instants, paths, ...)`.
    - `log_weight`: `(instants, paths)`, -inf for a path that has diverged.
    - `work`, `heat`: of each path until then, kT, `(instants, paths)`.
    """

    control: Float[Array, " instants"]
    position: PyTree[Array]
    log_weight: Float[Array, "instants paths"]
    work: Float[Array, "instants paths"]
    heat: Float[Array, "instants paths"]

    @property
    def weights(self) -> Float[Array, "instants paths"]:
        """exp(log_weight), normalized to a sum of 1 at each instant."""
        return jax.nn.softmax(self.log_weight, axis=1)


class Recorder:
    """Keeps a ramp at some of its stages; a new ramp takes the place of the one before."""

    def __init__(self):
        self.taken: list[tuple] = []

    def __call__(self, stage: int, stages: int, control, x: Float[Array, "n dim"], books: Books):
        """The state after so many of all stages; 0 at the start."""
        if stage == 0:
            self.taken = []
        if stage not in np.round(np.linspace(0, stages, INSTANTS)):
            return
        most = max(1, NUMBERS // (INSTANTS * x.shape[1]))
        state = (x, books.kept_log_weight, books.work, books.heat)
        self.taken.append((np.asarray(control), *(np.asarray(a[:most]) for a in state)))

    def snapshots(self, template: PyTree[Array]) -> RampSnapshots:
        """The states that were kept, their positions shaped as the template."""
        control, x, *rest = (jnp.asarray(np.stack(s)) for s in zip(*self.taken, strict=True))
        unravel = ravel_pytree(template)[1]
        return RampSnapshots(control, jax.vmap(jax.vmap(unravel))(x), *rest)
