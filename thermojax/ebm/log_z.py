"""ln Z of a trained model, by walkers that have had no part in its training."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._arguments import instance, whole
from .._keys import check_key
from ..estimate import Estimate
from .losses import log_z_of
from .model import Model, as_data, check_model, log_z_offset, potential_of
from .moves import Moves
from .walkers import base_of, check_memory, from_base


def log_z(
    model: Model,
    data: PyTree[Array],
    key: PRNGKeyArray,
    *,
    moves: Moves,
    walkers: int = 1024,
    ramp: int = 100,
) -> Estimate:
    r"""ln Z of the data's law, from fresh walkers that a ramp takes from the base to the model.

        ln p(x) = -U(x) - ln Z,   Z = Z_base <exp(-W)>,

    W the total work of a straight ramp of `ramp` moves from the law in which walkers of this model
    begin: the Gaussian of the data's moments, or that of `NeuralEnergy` or of a spin field. It is
    unbiased in Z for any model, however it was trained; an error that is large, or that shrinks
    less than it should with more walkers, asks for a longer ramp.

    **Arguments:** `data`, with a leading axis; `moves`, a `tj.ebm.Moves`. **Returns:** an
    `Estimate` of a scalar. **Raises:** ValueError for what does not fit.
    **Cost:** ramp * moves.steps gradients for each walker.
    **Source:** R. M. Neal, Stat. Comput. 11, 125 (2001); C. Jarzynski, PRL 78, 2690 (1997).
    """
    check_model(model)
    data = as_data(model, data)
    check_key(key)
    instance("moves", moves, Moves, "a tj.ebm.Moves(dt=..., steps=...)")
    check_memory(whole("walkers", walkers, 2), base_of(model, data)[1])
    return annealed(model, data, key, moves, walkers, whole("ramp", ramp))


@eqx.filter_jit
def annealed(model: Model, data, key, moves: Moves, walkers: int, ramp: int) -> Estimate:
    """The compiled part of `log_z`."""
    base, template = base_of(model, data)
    chain = from_base(moves, base, potential_of(model), template, walkers, ramp, key)
    found = log_z_of(chain)
    return Estimate(found.value - log_z_offset(model), found.error, found.count)
