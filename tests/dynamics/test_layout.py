"""Into how many parts a batch is cut, and that the parts do what the whole does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.dynamics import GridBrownianPath, NoiseTerm, layout
from thermojax.dynamics.random import key_words

KEY = jax.random.key(3)
MATRIX = jnp.eye(16) + 0.1


def quadratic(x):
    return -0.5 * x @ (MATRIX @ x)


def convolved(x):
    return -jnp.sum(jnp.convolve(x, jnp.ones(3), mode="valid") ** 2)


def system_of(potential, drive=None):
    return tj.Underdamped(potential, tj.Linear(0.5, 2.0, duration=2.0), tj.Bath(), drive=drive)


WELL = tj.Harmonic(1.0, jnp.zeros(16), control="stiffness")
SYSTEMS = {  # the system, and whether the force of a path is a product with a matrix
    "sums": (system_of(WELL), False),
    "vector by vector": (system_of(tj.LogDensity(lambda x: -0.5 * x @ x)), False),
    "matrix": (system_of(tj.LogDensity(quadratic)), True),
    "matrix in an inner function": (system_of(tj.LogDensity(jax.jit(quadratic))), True),
    "triangular matrix": (system_of(tj.Gaussian(jnp.zeros(16), MATRIX)), True),
    "convolution": (system_of(tj.LogDensity(convolved)), True),
    "drive": (system_of(WELL, drive=lambda x, control: MATRIX @ x), True),
}


def run(system, block):
    state = tj.State(*jax.random.normal(KEY, (2, 300, 16)))
    return tj.simulate(system, KEY, time_steps=16, initial=state, integrator=tj.BAOAB(block))


@pytest.mark.parametrize("name", SYSTEMS)
def test_paths_are_cut_small_where_loops_become_functions(name, monkeypatch):
    system, products = SYSTEMS[name]
    parts = []

    def asked(position, noise):
        parts.append(parts_of(position, noise))
        return parts[-1]

    parts_of = layout.parts_of
    monkeypatch.setattr("thermojax.dynamics.block.parts_of", asked)
    whole = run(system, 4)
    assert set(parts) == {1}
    parts.clear()
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    cut = run(system, 8)  # another block, so that it is compiled anew
    assert set(parts) == ({1} if products else {5})  # 64 paths each, the last ones filled up
    for a, b in zip(
        jax.tree.leaves((whole.position, whole.ledger)),
        jax.tree.leaves((cut.position, cut.ledger)),
        strict=True,
    ):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cores, shares, parts", [(2, 1, 5), (16, 1, 1), (16, 4, 1), (16, 8, 5)])
def test_wide_batches_are_cut_where_a_device_has_few_cores(cores, shares, parts, monkeypatch):
    """One function has one thread, and would leave others idle."""
    monkeypatch.setattr(layout, "NARROW", 100)
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    monkeypatch.setattr(layout.os, "cpu_count", lambda: cores)
    assert layout.tiles_of(*position_and_noise(300, shares)) == parts


def position_and_noise(batch, shares=1):
    """Those of a run of so many paths in 16 coordinates."""
    position = jax.ShapeDtypeStruct((batch, 16), jnp.float32)
    path = GridBrownianPath(key_words(KEY), position, jnp.asarray(0.1), shares=shares)
    return position, NoiseTerm(SYSTEMS["sums"][0], None, path)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("batch, parts", [(320, 5), (1000, 20), (1250, 25), (1009, 1)])
def test_parts_are_equal(batch, parts, monkeypatch):
    """64, 50 and 50 paths; none of a prime number, since several devices fill up nothing."""
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    assert layout.parts_of(*position_and_noise(batch)) == parts


@pytest.mark.parametrize("parts, length", [(1, 10), (4, 14.14), (16, 28.28), (128, 64)])
def test_blocks_are_longer_where_a_batch_runs_in_parts(parts, length, monkeypatch):
    """sqrt(100 parts / 2) substeps, up to 2^16 numbers of a part of 64 x 16."""
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    found = layout.long_block(*position_and_noise(64 * parts), 100)
    assert found == pytest.approx(length, abs=0.01)


def test_noise_of_one_part_counts(monkeypatch):
    """A wide batch in parts draws the noise of a whole block, since only one part's is there."""
    monkeypatch.setattr(layout, "NOISE_BYTES", 100 * 16 * 4 * 8)
    _, noise = position_and_noise(1000)
    assert layout.chunk_size(8, noise.path, parts=1) == 2
    assert layout.chunk_size(8, noise.path, parts=10) == 8
