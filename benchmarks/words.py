"""The raw words of our noise on standard output, for a battery of tests.

    python -m benchmarks.words | dieharder -a -g 200
    python -m benchmarks.words --order particles --seed 1 | dieharder -a -g 200

Endless: it stops when the reader closes the pipe. Both words of each Threefry call go out, first
(the radius of a Box-Muller pair) and second (its angle), little endian, in one of two orders:

- `steps`, as a run draws them: all particles of a pair of steps, then the next pair of steps;
- `particles`, as one particle sees them: all pairs of steps of a particle, then the next particle.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from thermojax._keys import Purpose, purpose_key
from thermojax.dynamics.random import key_words, threefry

PARTICLES = 2**16  # of a run, in the order `steps`
PAIRS = 2**9  # of steps of a particle, in the order `particles`: paths of 1024 steps
CHUNK = 2**20  # Threefry calls at once
ORDERS = ("steps", "particles")


def noise_words(seed: int):
    """The two words that `tj.simulate` makes of `jax.random.key(seed)`."""
    return key_words(purpose_key(jax.random.key(seed), Purpose.NOISE))


@partial(jax.jit, static_argnames=("order", "chunk"))
def words(key, row, *, order: str, chunk: int = CHUNK):
    """The words of `chunk` calls, `(chunk, 2)` uint32, from particle or pair of steps `row` on."""
    inner = PARTICLES if order == "steps" else PAIRS
    outside, inside = jnp.meshgrid(
        row + jnp.arange(chunk // inner, dtype=jnp.uint32),
        jnp.arange(inner, dtype=jnp.uint32),
        indexing="ij",
    )
    particle, pair = (inside, outside) if order == "steps" else (outside, inside)
    return jnp.stack(threefry(key, (particle.ravel(), pair.ravel())), -1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.words")
    parser.add_argument("--order", choices=ORDERS, default=ORDERS[0])
    parser.add_argument("--seed", type=int, default=0, help="of the jax key")
    options = parser.parse_args()
    key = noise_words(options.seed)
    rows = CHUNK // (PARTICLES if options.order == "steps" else PAIRS)
    out = sys.stdout.buffer
    try:
        for row in range(0, 2**32, rows):
            drawn = words(key, jnp.uint32(row), order=options.order)
            out.write(np.asarray(drawn).astype("<u4", copy=False).data)
    except BrokenPipeError:  # the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


if __name__ == "__main__":
    main()
