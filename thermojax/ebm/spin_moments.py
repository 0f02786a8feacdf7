"""Moments of spins from their field, with errors, ln Z, and how slowly the field mixes."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .. import diagnostics
from .._arguments import instance, whole
from .._component import known
from .._keys import check_key
from .._tree import cast
from ..estimate import Estimate, weighted_mean
from .losses import log_z_of
from .moves import Moves
from .spins import AbstractSpinModel
from .walkers import base_of, from_base

ENOUGH = 20  # autocorrelation times of a run that says how long they are


class SpinMoments(eqx.Module):
    """Moments of a spin model, from `tj.ebm.spin_moments`.

    - `mean`, `(n,)`: <s_i>. `product`, `(n, n)`: <s_i s_j>, 1 on the diagonal. `log_z`: of the
      spins.
    - `spins`, `(walkers, n)`: draws, of -1 and 1, with `weights`, `(walkers,)`.
    - `relaxation`: the integrated autocorrelation time of the field's slowest mode, in moves;
      `slowdown`, over that of the weakest, which no coupling holds back.
    """

    mean: Estimate
    product: Estimate
    log_z: Estimate
    spins: Float[Array, "walkers n"]
    weights: Float[Array, " walkers"]
    relaxation: Estimate
    slowdown: Float[Array, ""]
    moves: int = eqx.field(static=True)

    @property
    def doubt(self) -> str | None:
        """A sentence where the field mixes slowly, else None."""
        time = known(self.relaxation.value)
        if time is None or not time * ENOUGH > self.moves:
            return None
        return (
            f"the slowest mode of the field forgets itself in about {float(time):.2g} moves, "
            f"{float(self.slowdown):.2g} times slower than an uncoupled one, and the run was "
            f"{self.moves} moves: walkers are still where the ramp has put them; take more of both"
        )


class Average(NamedTuple):
    """Sums over moves, of each walker."""

    mean: Float[Array, "walkers n"]
    product: Float[Array, "walkers n n"]


def spin_moments(
    model: AbstractSpinModel,
    key: PRNGKeyArray,
    *,
    walkers: int = 1024,
    ramp: int = 50,
    moves: int = 100,
    move: Moves | None = None,
) -> SpinMoments:
    r"""Moments and ln Z of spins by Langevin dynamics of the field that makes them independent.

        <s_i> = <tanh a_i>,   <s_i s_j> = <tanh a_i tanh a_j> for i != j,   a = bias + R z,

    exact for any shift. Walkers come from independent normal fields in a ramp, whose weights give
    ln Z, and then move at rest; each counts by its weight, with the mean over its moves, and errors
    are those of independent walkers.

    **Arguments:** `model`, a `tj.ebm.Ising` or a `RestrictedBoltzmann`; `walkers`; `ramp` and
    `moves`, numbers of moves, each of them `move`, a `tj.ebm.Moves` that is adjusted; None for 4
    steps of 0.5 at friction 1.
    **Returns:** a `SpinMoments`. **Raises:** ValueError for anything else.
    **Cost:** (ramp + moves) * move.steps gradients of n^2 each, for each walker.
    """
    instance("model", model, AbstractSpinModel, "a spin model such as tj.ebm.Ising(...)")
    check_key(key)
    walkers, ramp = whole("walkers", walkers, 2), whole("ramp", ramp)
    moves = whole("moves", moves, 4)
    move = Moves(dt=0.5, steps=4, friction=1.0, adjusted=True) if move is None else move
    if not instance("move", move, Moves, "a tj.ebm.Moves(dt=..., steps=...)").adjusted:
        raise ValueError("move.adjusted = False: expected moves without a bias, adjusted=True")
    found, slowest, weakest = measured(model, key, walkers, ramp, moves, move)
    relaxation = diagnostics.autocorrelation_time(slowest)
    slowdown = relaxation.value / diagnostics.autocorrelation_time(weakest).value
    return SpinMoments(*found, relaxation, jnp.asarray(slowdown), moves)


@eqx.filter_jit
def measured(model: AbstractSpinModel, key, walkers: int, ramp: int, moves: int, move: Moves):
    """(the first entries of `SpinMoments`; the field's slowest and weakest mode after each move).

    Modes are `(moves, walkers)`.
    """
    start_key, spin_key = jax.random.split(key)
    field = model.potential()
    base, template = base_of(model, None)
    chain = from_base(move, base, field, template, walkers, ramp, start_key)
    log_z = log_z_of(chain)
    # Columns of the root along the eigenvectors of the coupling: the last is the strongest.
    _, _, modes = jnp.linalg.svd(field.root)

    def step(carry, _):
        chain, total = carry
        chain = move.advance(field, chain)
        m = jax.vmap(field.mean_spins)(chain.position)
        total = Average(total.mean + m, total.product + m[:, :, None] * m[:, None, :])
        return (chain, total), chain.position @ modes[jnp.array([0, -1])].T

    n = field.bias.size
    none = Average(jnp.zeros((walkers, n)), jnp.zeros((walkers, n, n)))
    weights = jnp.exp(chain.log_weight - jnp.max(chain.log_weight))
    (chain, total), seen = jax.lax.scan(
        step, (chain, cast(none, chain.position.dtype)), None, moves
    )
    mean = weighted_mean(total.mean / moves, weights)
    product = weighted_mean(total.product / moves, weights)
    one = jnp.eye(n, dtype=bool)
    product = Estimate(
        jnp.where(one, 1, product.value), jnp.where(one, 0, product.error), product.count
    )
    log_z = Estimate(log_z.value - model.log_z_offset(), log_z.error, log_z.count)
    spins = field.draw_spins(spin_key, chain.position)
    return (mean, product, log_z, spins, weights), seen[..., 0], seen[..., 1]
