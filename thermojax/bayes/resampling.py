"""Resampling between the stages of a ramp: walkers of little weight become copies of others."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray

from .._arguments import real
from .._keys import Purpose, purpose_key
from ..potential import AbstractPotential
from ..sampling import systematic
from .coordinates import Coordinates, InCoordinates
from .groups import group_size_for, log_mean_weights
from .model import Model
from .stage import Books


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Each group of `size` walkers is drawn by its weights, which become equal, where fewer than
    `share` of them are effective.

    The mean weight of a group stays in its log weights, so that <exp(log_weight)> = Z_1 / Z_0 holds
    on through any number of resamplings. Momenta go with their positions. Work and heat stay with
    the device in which they arose, and are not copied: their mean over all devices is what was
    spent. That a device takes over another's state changes its energy without either, by
    `copied_energy`.

    **Source:** P. Del Moral, A. Doucet, A. Jasra, JRSS B 68, 411 (2006); walkers that are copied
    among groups of their own: C. Verge, C. Dubarry, P. Del Moral, E. Moulines, Stat. Comput. 25,
    243 (2015).
    """

    share: float
    size: int

    def __call__(
        self,
        potential: AbstractPotential,
        like,
        key: PRNGKeyArray,
        state: tuple[Float[Array, "n dim"], Float[Array, "n dim"], Books],
        control: Float[Array, ""],
    ) -> tuple[Float[Array, "n dim"], Float[Array, "n dim"], Books]:
        """Positions, momenta and books, where the control is `control`."""
        return resample_groups(potential, like, key, *state, control, self.share, self.size)


def resampling_for(model: Model, resample: float | None, samples: int) -> Resampling | None:
    """The resampling that is asked for. **Raises:** ValueError for no share, or a flat prior."""
    if resample is None:
        return None
    expected = "a share of the samples in (0, 1], or None"
    real("resample", resample, expected, lambda share: (share > 0) & (share <= 1))
    if model.prior is None:
        raise ValueError(
            f"resample = {resample:g}: only ramps from the prior are resampled, and a flat one has "
            "none; leave it out, or pass a proper prior"
        )
    return Resampling(float(resample), group_size_for(samples))


@eqx.filter_jit
def resample_groups(potential, like, key, x, p, books: Books, control, share, size: int):
    """The compiled part of `Resampling`."""
    n, dtype = len(x), x.dtype
    log_weight = books.kept_log_weight
    groups = log_weight.reshape(-1, size)
    effective = jnp.exp(2 * logsumexp(groups, axis=1) - logsumexp(2 * groups, axis=1))
    again = effective < share * size  # never where all have diverged: nan
    keys = jax.random.split(purpose_key(key, Purpose.RESAMPLING), len(groups))
    stay = jnp.arange(n).reshape(-1, size)
    place = jax.vmap(systematic)(keys, groups) + stay[:, :1]
    place = jnp.where(again[:, None], place, stay).ravel()
    again = jnp.repeat(again, size)

    flat = InCoordinates(potential, Coordinates(jnp.zeros_like(x[0]), jnp.ones_like(x[0])), like)
    energy = jax.vmap(lambda one: flat.energy(one, control))(x) + 0.5 * jnp.sum(p**2, axis=1)
    copied = jnp.where(again, energy[place] - energy, 0).astype(dtype)
    mean = jnp.repeat(log_mean_weights(log_weight, size), size)
    books = books._replace(
        log_weight=jnp.where(again, mean, books.log_weight),
        copied_energy=books.copied_energy + copied,
        alive=jnp.where(again, 1, books.alive),
    )
    return x[place], p[place], books
