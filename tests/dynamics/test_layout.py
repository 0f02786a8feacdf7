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
    monkeypatch.setattr(layout, "NOISE_IN_FUNCTIONS", 4 * 112 * 16 * 8)  # of four steps
    cut = run(system, 8)  # another block, so that it is compiled anew
    assert set(parts) == ({1} if products else {3})  # 112 paths each, the last ones filled up
    for a, b in zip(
        jax.tree.leaves((whole.position, whole.ledger)),
        jax.tree.leaves((cut.position, cut.ledger)),
        strict=True,
    ):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cores, shares, parts", [(2, 1, 3), (16, 1, 1), (16, 4, 1), (16, 8, 3)])
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


@pytest.mark.parametrize("batch, parts", [(320, 4), (1000, 8), (1250, 10), (1009, 1)])
def test_parts_are_equal(batch, parts, monkeypatch):
    """80, 125 and 125 paths; none of a prime number, since several devices fill up nothing."""
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    assert layout.parts_of(*position_and_noise(batch)) == parts


@pytest.mark.parametrize("batch, whole", [(300, 336), (1000, 1024), (1024, 1024), (1250, 1280)])
def test_parts_are_filled_up_to_whole_vectors(batch, whole, monkeypatch):
    """Of one device, with paths side by side."""
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    _, noise = position_and_noise(batch)
    (position, numbers), noise = layout.evened((jnp.ones((batch, 16)), jnp.arange(batch)), noise)
    assert position.shape == noise.path.shape.shape == (whole, 16)
    assert whole // layout.parts_of(position, noise) % 16 == 0
    np.testing.assert_array_equal(numbers, np.minimum(np.arange(whole), batch - 1))


@pytest.mark.parametrize("potential", [WELL, tj.LogDensity(lambda x: -jnp.sum(x**4) / 4)])
def test_few_numbers_take_several_substeps_in_a_turn(potential, monkeypatch):
    """Of paths that diverge, too; 13 substeps are three turns and one more."""
    size = 1 if potential is not WELL else 16
    state = tj.State(*jax.random.normal(KEY, (2, 4, size)))
    if potential is not WELL:
        state = tj.State(state.position.at[1].set(1e3), state.momentum)  # beyond the stable steps
    turns = []

    def asked(position, noise):
        turns.append(layout.turn_of(position, noise))
        return turns[-1]

    def ledger(block):
        system = system_of(potential)
        done = tj.simulate(system, KEY, time_steps=39, initial=state, integrator=tj.BAOAB(block))
        return done.position, done.ledger

    monkeypatch.setattr("thermojax.dynamics.block.turn_of", asked)
    one = ledger(39)
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    several = ledger(13)
    assert set(turns) == {1, layout.TURN}
    np.testing.assert_array_equal(one[1].alive, [1, potential is WELL, 1, 1])
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(several), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "batch, steps, length",
    [
        (64, 900, 30),  # sqrt(steps)
        (256, 900, 42.43),  # of two parts
        (2048, 900, 48),  # 3 * 2^15 numbers of a part of 128 x 16
        (256, 49, 12),  # 3 * 2^13
        (1, 20000, 312.5),  # a quarter as many numbers as steps
    ],
)
def test_how_long_blocks_are(batch, steps, length, monkeypatch):
    monkeypatch.setattr(layout, "small_loops_are_compiled", lambda: True)
    found = layout.long_block(*position_and_noise(batch), steps)
    assert found == pytest.approx(length, abs=0.01)


@pytest.mark.parametrize("block, size", [(8, 2), (9, 3), (7, 7), (4, 2), (2, 2)])
def test_noise_is_drawn_within_a_budget(block, size, monkeypatch):
    """Of three steps; of even blocks an even number."""
    monkeypatch.setattr(layout, "NOISE_BYTES", 100 * 16 * 4 * 3)
    path = position_and_noise(100)[1].path
    assert layout.chunk_size(block, path) == size


@pytest.mark.parametrize("block, size", [(16, 16), (100, 20), (99, 11), (62, 62)])
def test_noise_of_a_function_is_drawn_in_pieces_for_the_cache(block, size):
    """About 16 steps: 2^17 bytes of 128 x 16."""
    path = position_and_noise(128)[1].path
    assert layout.chunk_size(block, path, short=True) == size
