"""Random keys for each purpose, made from the user's key so that no `split` of it meets them.

`jax.random.split(key)[i]` is `jax.random.fold_in(key, i)`. A library that folds small numbers in
would therefore draw, for one of its purposes, what its caller draws from the next key of a split.
"""

from __future__ import annotations

import enum
from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

MARK = (0x7E52AC1D, 0x9B3F6A85, 0xD1C40F37, 0x46E8B25B)  # arbitrary words


class Purpose(enum.IntEnum):
    """The purposes of random numbers; each has a stream of its own."""

    POSITION = 0
    MOMENTUM = 1
    NOISE = 2
    COMPONENT = 3  # which part of a mixture a position is from
    REVERSE = 4  # the run of the reversed system, beside that of the system
    TRAINING = 5  # the steps of a training
    POOL = 6  # positions that a training draws once
    COMPARISON = 7  # of the candidates that a training has found
    STAGE = 8  # one training of several
    EVALUATION = 9  # what measures the systems that were found
    TUNING = 10  # the stages of `tj.tune`
    CHAIN = 11  # the chains that it hands out
    NODE = 12  # the equilibria of a quadrature
    CHUNK = 13  # the tiles of a batch
    STUDY = 14  # what a study does one after the other
    RESAMPLING = 20  # which walkers of a chain go on


def purpose_key(key: PRNGKeyArray, purpose: Purpose | int) -> PRNGKeyArray:
    """The key of one purpose.

    The words of the key are changed before the purpose is folded in, so that no `split` or
    `fold_in` of the key itself, nor of any other key that the user has, arrives here but by an
    accident of 64 bits.
    """
    words = jax.random.key_data(key)
    mark = np.resize(np.asarray(MARK, np.uint32), words.shape[-1:])
    marked = jax.random.wrap_key_data(words ^ mark, impl=jax.random.key_impl(key))
    return jax.random.fold_in(marked, int(purpose))


@overload
def part_key(key: PRNGKeyArray, purpose: Purpose, index) -> PRNGKeyArray: ...


@overload
def part_key(key: None, purpose: Purpose, index) -> None: ...


def part_key(key, purpose, index):
    """The key of one of many parts of a purpose; None, of an exact picture, has none."""
    return None if key is None else jax.random.fold_in(purpose_key(key, purpose), index)


def check_key(key, name: str = "key") -> None:
    """Refuse anything that is not one typed key. **Raises:** ValueError."""
    if not (hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise ValueError(
            f"{name} must be a typed key: jax.random.key(seed), not an int and not "
            "jax.random.PRNGKey"
        )
    if key.shape != ():
        raise ValueError(
            f"{name} has shape {key.shape}: expected one key; take one of them, key[0], or "
            "jax.vmap over them"
        )
