"""Ways to train: where the samples of the model come from in each step."""

from __future__ import annotations

import abc
import math
import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._arguments import is_real, real, whole
from .._component import known, shown
from .._tree import batch_of, where_alive
from ..estimate import Estimate
from ..sampling import Chain, resample, switch
from .losses import contrast, likelihood_loss, log_z_of, require_positions, score_matching
from .model import Model, log_z_offset, positions_of, potential_of
from .moves import Moves
from .walkers import base_of, begun, check_memory, check_moves, from_base, lost_share

FAR = 0.05  # of the walkers: with fewer effective ones they begin far from the model
GROUPS = 16  # of witnesses, independent of each other
UNKNOWN = Estimate(math.nan, math.nan, 0)


class Seen(NamedTuple):
    """The numbers of one training step, each a scalar; nan where a method has none.

    - `loss`: <U>_data - <U>_samples, or the loss of the scores. `log_z`, `log_z_error`: of the
      data, before the update. `effective_share`: of the walkers, by their weights.
    - `lost`: the share of walkers (or witnesses, where it is larger) that diverged.
    """

    loss: Float[Array, ""]
    log_z: Float[Array, ""]
    log_z_error: Float[Array, ""]
    effective_share: Float[Array, ""]
    lost: Float[Array, ""]


class AbstractMethod(eqx.Module):
    """A way to train a model; `tj.ebm.fit` asks it in each step.

    Its samples are a pytree of arrays, of the same structure, shapes and dtypes in each step.
    """

    @abc.abstractmethod
    def begin(self, model: Model, data: PyTree[Array], key: PRNGKeyArray) -> Any:
        """The samples before the first step, a pytree."""

    @abc.abstractmethod
    def loss(self, model: Model, samples: Any, batch, key: PRNGKeyArray) -> Float[Array, ""]:
        """A scalar whose gradient by `model` trains it, at samples that have moved."""

    @abc.abstractmethod
    def move(self, model: Model, samples: Any, batch, key: PRNGKeyArray) -> Any:
        """The samples before the gradient is taken."""

    @abc.abstractmethod
    def changed(self, samples: Any, old: Model, new: Model, key: PRNGKeyArray) -> Any:
        """The samples after an update of the parameters."""

    @abc.abstractmethod
    def seen(self, model: Model, samples: Any, loss) -> Seen:
        """The numbers of a step."""

    @abc.abstractmethod
    def log_z(self, model: Model, samples: Any) -> Estimate:
        """ln Z of the data's law, of the model that the samples are under; nan if not known."""

    @abc.abstractmethod
    def positions(self, samples: Any) -> tuple[PyTree[Array], Float[Array, " batch"]] | None:
        """(walkers of the potential, their weights), or None where there are none."""


class ContrastiveDivergence(AbstractMethod):
    """Short runs from the data of each batch: fast, and blind to what is far from all data.

    **Arguments:** `moves`, a `tj.ebm.Moves`. **Raises:** ValueError for anything else.
    **Source:** G. E. Hinton, Neural Comput. 14, 1771 (2002).
    """

    moves: Moves

    def __check_init__(self):
        check_moves(self.moves)

    def begin(self, model, data, key):
        return None

    def move(self, model, samples, batch, key):
        near, run = jax.random.split(key)
        potential = potential_of(model)
        chain = begun(self.moves, potential, run, positions_of(model, near, batch))
        return self.moves.advance(potential, chain)

    def loss(self, model, samples, batch, key):
        return contrast(model, batch, samples.position, samples.ledger.alive)

    def changed(self, samples, old, new, key):
        return None

    def seen(self, model, samples, loss):
        none = jnp.full((), jnp.nan, loss.dtype)
        return Seen(loss, none, none, none, lost_share(samples))

    def log_z(self, model, samples):
        return UNKNOWN

    def positions(self, samples):
        return None


class Persistent(AbstractMethod):
    """Walkers that go on from step to step while the model changes under them, with replay.

    Of `buffer` walkers kept, as many as the batch of data has are moved in each step, drawn by
    chance, and put back; a share of them is `renewed` from the Gaussian of the data's moments (of
    `NeuralEnergy`, its own). Without weights they lag behind the model, by how much nobody knows.

    **Arguments:** `moves`, a `tj.ebm.Moves`; `buffer`, the number of walkers; `renewed`, between 0
    and 1. **Raises:** ValueError for anything else, and from `fit` for a buffer larger than memory.
    **Source:** T. Tieleman, ICML 2008; Y. Du, I. Mordatch, NeurIPS 2019.
    """

    moves: Moves
    buffer: int = eqx.field(static=True, default=4096)
    renewed: float = eqx.field(static=True, default=0.0)

    def __check_init__(self):
        check_moves(self.moves)
        whole("buffer", self.buffer)
        real("renewed", self.renewed, "a share, 0 to below 1", lambda x: (x >= 0) & (x < 1))

    def begin(self, model, data, key):
        base, template = base_of(model, data)
        check_memory(self.buffer, template)
        walkers = base.sample(key, None, 1.0, self.buffer, template)
        none = jnp.zeros((0,), jnp.int32)
        return walkers, none, None

    def move(self, model, samples, batch, key):
        walkers, _, _ = samples
        count = min(batch_of(batch), self.buffer)
        which_key, new_key, run_key, who_key = jax.random.split(key, 4)
        which = jnp.arange(count)
        if count < self.buffer:
            which = jax.random.choice(which_key, self.buffer, (count,), replace=False)
        positions = jax.tree.map(lambda x: x[which], walkers)
        if self.renewed:
            base, template = base_of(model, batch)
            fresh = base.sample(new_key, None, 1.0, count, template)
            again = jax.random.bernoulli(who_key, self.renewed, (count,))
            positions = where_alive(again, fresh, positions)
        potential = potential_of(model)
        chain = self.moves.advance(potential, begun(self.moves, potential, run_key, positions))
        # A walker that diverged stays where it was.
        back = where_alive(chain.ledger.alive > 0, chain.position, positions)
        walkers = jax.tree.map(lambda all_, some: all_.at[which].set(some), walkers, back)
        return walkers, which, chain

    def loss(self, model, samples, batch, key):
        _, _, chain = samples
        return contrast(model, batch, chain.position, chain.ledger.alive)

    def changed(self, samples, old, new, key):
        walkers, _, _ = samples
        return walkers, jnp.zeros((0,), jnp.int32), None

    def seen(self, model, samples, loss):
        none = jnp.full((), jnp.nan, loss.dtype)
        return Seen(loss, none, none, none, lost_share(samples[2]))

    def log_z(self, model, samples):
        return UNKNOWN

    def positions(self, samples):
        walkers = samples[0]
        return walkers, jnp.ones(batch_of(walkers))


class Nonequilibrium(AbstractMethod):
    r"""Walkers with weights: each update of the parameters is a step of a protocol.

        log w += -(U_new(x) - U_old(x)) at fixed x,  then x moves under U_new,

    the shadow work of moves that are not adjusted included. Weighted by w the walkers sample the
    model however fast it changes, so that the gradient has no bias from lag, and <w> is Z of the
    model over Z of where they began. `witnesses` are walkers that only look on: ln Z from them is
    unbiased also for parameters that the others have trained.

    They begin in the Gaussian of the data's moments (of `NeuralEnergy` and of spin fields, their
    own), and reach the model's first parameters in a ramp of `ramp` moves.

    **Arguments:** `moves`, a `tj.ebm.Moves`; `walkers` and `witnesses`, their numbers, of the
    latter a multiple of 16, the groups whose spread tells the error of ln Z; `resample_below`, the
    effective share below which walkers are drawn anew by their weights, 0 for never; `ramp`, moves
    between the base and the model, 0 where they are one.
    **Raises:** ValueError for anything else. Warns where fewer than a twentieth of the walkers are
    effective as they arrive.
    **Source:** D. Carbone, M. Hua, S. Coste, E. Vanden-Eijnden, NeurIPS 2023.
    """

    moves: Moves
    walkers: int = eqx.field(static=True, default=1024)
    witnesses: int = eqx.field(static=True, default=1024)
    resample_below: float = eqx.field(static=True, default=0.5)
    ramp: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        check_moves(self.moves)
        whole("walkers", self.walkers, 2)
        if whole("witnesses", self.witnesses) % GROUPS:
            raise ValueError(f"witnesses = {self.witnesses}: expected a multiple of {GROUPS}")
        whole("ramp", self.ramp, 0)
        share = lambda x: (x >= 0) & (x <= 1)
        real("resample_below", self.resample_below, "a share, 0 to 1", share)

    def begin(self, model, data, key):
        base, template = base_of(model, data)
        check_memory(self.walkers + self.witnesses, template)
        keys = jax.random.split(key)
        potential, pair = potential_of(model), (self.walkers, self.witnesses)
        walkers, witnesses = (
            from_base(self.moves, base, potential, template, count, self.ramp, key)
            for count, key in zip(pair, keys, strict=True)
        )
        effective = known(walkers.effective_samples)
        if effective is not None and effective < FAR * self.walkers:
            warnings.warn(
                f"walkers begin far from the model: their weights are those of {effective:.1f} "
                f"of {self.walkers:,}, so that ln Z is little known; give them a longer way to "
                f"it, such as ramp={max(100, 4 * self.ramp)}",
                stacklevel=3,
            )
        return walkers, witnesses

    def move(self, model, samples, batch, key):
        potential = potential_of(model)
        return tuple(self.moves.advance(potential, chain) for chain in samples)

    def loss(self, model, samples, batch, key):
        return likelihood_loss(model, batch, samples[0])

    def changed(self, samples, old, new, key):
        before, after = (self.moves.system(potential_of(model)) for model in (old, new))
        keys = jax.random.split(key)
        walkers, witnesses = (switch(chain, before, after) for chain in samples)
        return self.renewed(walkers, keys[0], 1), self.renewed(witnesses, keys[1], GROUPS)

    def renewed(self, chain: Chain, key, groups: int) -> Chain:
        """The chain, resampled where its effective share has become small."""
        if not self.resample_below:
            return chain
        share = chain.effective_samples / len(chain.ledger.work)
        arrays, static = eqx.partition(chain, eqx.is_array)
        again = lambda arrays: eqx.filter(
            resample(eqx.combine(arrays, static), key, groups=groups), eqx.is_array
        )
        few = share < self.resample_below
        return eqx.combine(jax.lax.cond(few, again, lambda arrays: arrays, arrays), static)

    def seen(self, model, samples, loss):
        walkers, witnesses = samples
        log_z = self.log_z(model, samples)
        share = walkers.effective_samples / self.walkers
        lost = jnp.maximum(lost_share(walkers), lost_share(witnesses))
        return Seen(loss, jnp.asarray(log_z.value), jnp.asarray(log_z.error), share, lost)

    def log_z(self, model, samples):
        found = log_z_of(samples[1], GROUPS)
        return Estimate(found.value - log_z_offset(model), found.error, found.count)

    def positions(self, samples):
        walkers = samples[0]
        weight = walkers.log_weight
        return walkers.position, jnp.exp(weight - jnp.max(weight))


class ScoreMatching(AbstractMethod):
    """Denoising score matching: no samples of the model at all, and no weights of far modes.

    **Arguments:** `scale`, positive, of the noise that is added to the data, in their units; with a
    pair, drawn for each datum between both, uniformly in its logarithm.
    **Raises:** ValueError for anything else.
    **Source:** P. Vincent, Neural Comput. 23, 1661 (2011).
    """

    scale: tuple[float, float] = eqx.field(static=True)

    def __init__(self, scale: float | tuple[float, float]):
        pair = tuple(scale) if isinstance(scale, tuple | list) else (scale, scale)
        numbers = [known(x) for x in pair if is_real(x) and jnp.ndim(x) == 0]
        if len(pair) != 2 or len(numbers) < 2 or any(x is None for x in numbers):
            raise ValueError(f"scale = {shown(scale)}: expected a positive number, or two")
        low, high = map(float, pair)
        if not 0 < low <= high:
            raise ValueError(f"scale = {shown(scale)}: expected a positive number, or two in order")
        self.scale = low, high

    def begin(self, model, data, key):
        require_positions(model)

    def move(self, model, samples, batch, key):
        return None

    def loss(self, model, samples, batch, key):
        noise_key, scale_key = jax.random.split(key)
        low, high = self.scale
        between = jax.random.uniform(scale_key, (batch_of(batch),))
        scale = low * (high / low) ** between
        return score_matching(require_positions(model), batch, noise_key, scale)

    def changed(self, samples, old, new, key):
        return None

    def seen(self, model, samples, loss):
        none = jnp.full((), jnp.nan, loss.dtype)
        return Seen(loss, none, none, none, jnp.zeros((), loss.dtype))

    def log_z(self, model, samples):
        return UNKNOWN

    def positions(self, samples):
        return None
