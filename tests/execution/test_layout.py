"""Into how many tiles a batch is cut, and that the tiles do what the whole does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.execution.blocks import simulate_in_blocks
from thermojax._tuning import ON_CPU
from thermojax.dynamics import GridBrownianPath, key_words, timetable
from thermojax.execution import layout, solving
from thermojax.execution.cpu import tiles
from thermojax.execution.workload import Workload, workload_of

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
    return simulate_in_blocks(block, system, KEY, time_steps=16, initial=state)


def tuned(monkeypatch, functions=True, **numbers):
    """Loops become functions, with these numbers in the place of those of the table."""
    for module in layout, tiles:
        monkeypatch.setattr(module, "ON_CPU", dataclasses.replace(ON_CPU, **numbers))
        monkeypatch.setattr(module, "small_loops_are_compiled", lambda: functions)


def layouts(monkeypatch):
    """The layouts of the runs that follow."""
    found, choose = [], solving.choose_layout

    def recorded(*options):
        found.append(choose(*options))
        return found[-1]

    monkeypatch.setattr(solving, "choose_layout", recorded)
    return found


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", SYSTEMS)
def test_products_with_matrices_are_found(name):
    system, products = SYSTEMS[name]
    position = jnp.zeros((3, 16))
    table = timetable(system, position, jnp.asarray(0.1), 1)
    path = GridBrownianPath(key_words(KEY), jax.eval_shape(lambda: position), table.h)
    found = workload_of(system, table, path, tj.BAOAB(), position, 1)
    assert found.products == products and found.splitting


@pytest.mark.parametrize("name", ["sums", "matrix"])
def test_batches_are_cut_small_where_loops_become_functions(name, monkeypatch):
    system, products = SYSTEMS[name]
    found = layouts(monkeypatch)
    whole = run(system, 4)
    assert {one.tiles for one in found} == {1}
    found.clear()
    tuned(monkeypatch, noise_bytes_in_functions=4 * 112 * 16 * 8)  # of four steps
    cut = run(system, 8)  # another block, so that it is compiled anew
    assert {one.tiles for one in found} == ({1} if products else {3})  # 112 paths each, padded
    same((whole.position, whole.ledger), (cut.position, cut.ledger))


def work(paths, coordinates=16, devices=1):
    return Workload(paths, coordinates, 4, 1, 1, devices, False, False, True, True)


@pytest.mark.parametrize("cores, devices, count", [(2, 1, 3), (16, 1, 1), (16, 4, 1), (16, 8, 3)])
def test_wide_batches_are_cut_where_a_device_has_few_cores(cores, devices, count, monkeypatch):
    """One function has one thread, and would leave others idle."""
    tuned(monkeypatch, narrow=100)
    monkeypatch.setattr(tiles.os, "cpu_count", lambda: cores)
    assert tiles.best_tiles(work(300, devices=devices)) == count


@pytest.mark.parametrize("batch, count", [(320, 4), (1000, 8), (1250, 10), (1009, 1)])
def test_tiles_are_equal(batch, count, monkeypatch):
    """80, 125 and 125 paths; none of a prime number, since several devices pad nothing."""
    tuned(monkeypatch)
    assert tiles.tiles_of(work(batch)) == count


@pytest.mark.parametrize("batch, whole", [(300, 336), (1000, 1024), (1024, 1024), (1250, 1280)])
def test_tiles_are_padded_to_whole_vectors(batch, whole, monkeypatch):
    """Of one device, with paths side by side."""
    tuned(monkeypatch)
    padded = work(batch + tiles.missing_paths(work(batch)))
    assert padded.paths == whole
    assert whole // tiles.tiles_of(padded) % 16 == 0


@pytest.mark.parametrize("potential", [WELL, tj.LogDensity(lambda x: -jnp.sum(x**4) / 4)])
def test_few_numbers_take_several_steps_in_a_turn(potential, monkeypatch):
    """Of paths that diverge, too; 13 steps are three turns and one more."""
    size = 1 if potential is not WELL else 16
    state = tj.State(*jax.random.normal(KEY, (2, 4, size)))
    if potential is not WELL:
        state = tj.State(state.position.at[1].set(1e3), state.momentum)  # beyond the stable steps
    found = layouts(monkeypatch)

    def ledger(block):
        system = system_of(potential)
        done = simulate_in_blocks(block, system, KEY, time_steps=39, initial=state)
        return done.position, done.ledger

    one = ledger(39)
    tuned(monkeypatch)
    several = ledger(13)
    assert {layout.flag.unroll for layout in found} == {1, ON_CPU.unroll}
    np.testing.assert_array_equal(one[1].alive, [1, potential is WELL, 1, 1])
    same(one, several)


@pytest.mark.parametrize(
    "batch, steps, length",
    [
        (64, 900, 30),  # sqrt(steps)
        (256, 900, 42.43),  # of two tiles
        (2048, 900, 48),  # 3 * 2^15 numbers of a tile of 128 x 16
        (256, 49, 12),  # 3 * 2^13
        (1, 20000, 312.5),  # a quarter as many numbers as steps
    ],
)
def test_how_long_blocks_are(batch, steps, length, monkeypatch):
    tuned(monkeypatch)
    assert tiles.best_block(work(batch), steps) == pytest.approx(length, abs=0.01)


@pytest.mark.parametrize("block, size", [(8, 2), (9, 3), (7, 7), (4, 2), (2, 2)])
def test_noise_is_drawn_within_a_budget(block, size, monkeypatch):
    """Of three steps; of even blocks an even number."""
    tuned(monkeypatch, functions=False, noise_bytes=100 * 16 * 4 * 3)
    assert tiles.chunk_size(work(100), block) == size


@pytest.mark.parametrize("block, size", [(16, 16), (100, 20), (99, 11), (62, 62)])
def test_noise_of_a_function_is_drawn_in_chunks_for_the_cache(block, size, monkeypatch):
    """About 16 steps: 2^17 bytes of 128 x 16."""
    tuned(monkeypatch)
    assert tiles.chunk_size(work(128), block, forward=True) == size
