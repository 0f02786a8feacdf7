"""The words for the battery of tests are those that our noise is made of, in two orders."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np

from benchmarks import words as module
from benchmarks.words import CHUNK, PAIRS, PARTICLES, noise_words, words
from thermojax.dynamics.random import threefry


def test_the_orders_number_the_calls_by_step_and_by_particle():
    key = noise_words(0)
    calls = 2 * PARTICLES
    by_step = np.asarray(words(key, jnp.uint32(5), order="steps", chunk=calls))
    by_particle = np.asarray(words(key, jnp.uint32(5), order="particles", chunk=calls))
    for drawn, particle, pair, place in (
        (by_step, 3, 6, PARTICLES + 3),
        (by_particle, 7, 11, 2 * PAIRS + 11),
    ):
        expected = threefry(key, (jnp.uint32(particle), jnp.uint32(pair)))
        assert tuple(drawn[place]) == tuple(int(word) for word in expected)


def test_the_stream_is_little_endian_and_ends_with_its_reader():
    command = [sys.executable, "-m", module.__name__, "--seed", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        head = process.stdout.read(4096)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    expected = words(noise_words(4), jnp.uint32(0), order="steps", chunk=CHUNK)[:512]
    np.testing.assert_array_equal(np.frombuffer(head, "<u4"), np.asarray(expected).ravel())
