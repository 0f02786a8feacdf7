"""simulate: one noise however it is run, snapshots, divergence, and refusals."""

import dataclasses
import functools

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.execution.blocks import simulate_in_blocks
from thermojax._tree import cast
from thermojax._tuning import ON_CPU
from thermojax.dynamics import GridBrownianPath, key_words
from thermojax.execution import count_steps, snap
from thermojax.execution.drawing import cut_path
from thermojax.execution.time_grid import block_size
from thermojax.protocol import Reversed

KEY = jax.random.key(4)
START = tj.Equilibrium(jnp.zeros(1))
PROTOCOL = tj.PiecewiseLinear([0.1, 0.8, 0.9], 1.0, initial=0.0, final=1.0)
SYSTEM = tj.Underdamped(tj.Harmonic(2.0, control="center"), PROTOCOL, tj.Bath())


def work_of(system, time_steps=36, **options):
    # 36 steps are whole blocks, half as much to compile as a number that leaves a remainder.
    return tj.simulate(system, KEY, time_steps=time_steps, batch=6, initial=START, **options)


@pytest.mark.optimized
@pytest.mark.parametrize("block", [1, 7, 36, 100])
@pytest.mark.parametrize("integrator", [tj.BAOAB, pytest.param(tj.OBABO, marks=pytest.mark.slow)])
def test_any_block_size_gives_the_same_paths(block, integrator):
    one = work_of(SYSTEM, 37, integrator=integrator())
    other = simulate_in_blocks(
        block, SYSTEM, KEY, time_steps=37, batch=6, initial=START, integrator=integrator()
    )
    np.testing.assert_allclose(other.position, one.position, rtol=1e-12)
    np.testing.assert_allclose(other.ledger.work, one.ledger.work, rtol=1e-12)


@pytest.mark.parametrize("few, many, dim", [(512, 1000, 1), (256, 500, 64), (4097, 4100, 1)])
def test_a_batch_in_parts_or_made_even_is_the_same_paths(few, many, dim):
    """On a CPU narrow batches go in parts; wide ones that the cores do not divide get longer."""
    x = jnp.linspace(-1, 1, many * dim).reshape(many, dim)
    one, other = (
        tj.simulate(SYSTEM, KEY, time_steps=6, initial=x[:batch], save=3) for batch in (few, many)
    )
    assert one.saved is not None and other.saved is not None
    assert one.ledger.work.shape == (few,) and one.saved.values[0].position.shape == (3, few, dim)
    for a, b in zip(jax.tree.leaves(one.ledger), jax.tree.leaves(other.ledger), strict=True):
        np.testing.assert_allclose(a, b[:few], rtol=1e-9, atol=1e-9)
    paths = [saved.values[0].position for saved in (one.saved, other.saved)]
    np.testing.assert_allclose(paths[0], paths[1][:, :few], rtol=1e-9, atol=1e-9)


def test_noise_is_bit_identical_for_any_block_batch_split_and_start():
    words, h = key_words(KEY), jnp.asarray(0.1)
    whole = GridBrownianPath(words, jax.ShapeDtypeStruct((6, 3), jnp.float32), h)
    everything = whole.normals(0, 12)[0]
    for first, count in ((0, 5), (5, 4), (9, 3)):
        np.testing.assert_array_equal(
            whole.normals(first, count)[0], everything[first : first + count]
        )
    slice_of_path = GridBrownianPath(
        words, jax.ShapeDtypeStruct((2, 3), jnp.float32), h, first_step=4, first_particle=3
    )
    np.testing.assert_array_equal(slice_of_path.normals(2, 3)[0], everything[6:9, 3:5])
    np.testing.assert_array_equal(cut_path(whole, 1, 3).normals(5, 4)[0], everything[5:9, 2:4])
    jitted = jax.jit(lambda i: whole.normals(i, 3)[0])(jnp.asarray(2))
    np.testing.assert_array_equal(jitted, everything[2:5])
    step = whole.evaluate(jnp.asarray(2.0), jnp.asarray(4.0))
    assert not isinstance(step, dfx.BrownianIncrement)
    np.testing.assert_allclose(step, np.sqrt(0.1) * (everything[2] + everything[3]), rtol=1e-6)


@pytest.mark.optimized
def test_same_paths_under_jit_without_it_and_under_vmap():
    plain = work_of(SYSTEM).ledger.total_work
    jitted = jax.jit(lambda k: tj.simulate(SYSTEM, k, time_steps=36, batch=6, initial=START))(KEY)
    np.testing.assert_allclose(jitted.ledger.total_work, plain, rtol=1e-12)
    with jax.disable_jit():
        eager = tj.simulate(SYSTEM, KEY, time_steps=4, batch=2, initial=START)
    short = tj.simulate(SYSTEM, KEY, time_steps=4, batch=2, initial=START)
    np.testing.assert_allclose(eager.position, short.position, rtol=1e-12)

    def with_friction(friction):
        return work_of(SYSTEM.replace(bath=tj.Bath(friction=friction))).ledger.total_work

    frictions = jnp.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(jax.vmap(with_friction)(frictions)[1], plain, rtol=1e-12)
    keys = jax.random.split(KEY, 3)
    runs = jax.vmap(
        lambda k: tj.simulate(SYSTEM, k, time_steps=4, batch=2, initial=START).position
    )(keys)
    alone = tj.simulate(SYSTEM, keys[2], time_steps=4, batch=2, initial=START).position
    np.testing.assert_allclose(runs[2], alone, rtol=1e-12)


@pytest.mark.slow
def test_float32_noise_is_the_same_noise():
    low = tj.Equilibrium(jnp.zeros(1, jnp.float32))
    single = tj.simulate(SYSTEM, KEY, time_steps=36, batch=6, initial=jnp.ones((6, 1), jnp.float32))
    double = tj.simulate(SYSTEM, KEY, time_steps=36, batch=6, initial=jnp.ones((6, 1)))
    # momenta are drawn by jax in each dtype's own way; compare from a common state instead
    state = tj.State(jnp.ones((6, 1)), jnp.zeros((6, 1)))
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32), state)
    a = tj.simulate(SYSTEM, KEY, time_steps=36, initial=state).position
    b = tj.simulate(SYSTEM, KEY, time_steps=36, initial=narrow).position
    np.testing.assert_allclose(a, b, atol=2e-5)
    assert single.position.dtype == jnp.float32 and double.position.dtype == jnp.float64
    assert tj.simulate(SYSTEM, KEY, time_steps=2, batch=2, initial=low).position.dtype == np.float32
    fine = tj.simulate(SYSTEM, KEY, time_steps=36, initial=state, noise_dtype=jnp.float64).position
    assert 0 < np.max(np.abs(fine - a)) < 1e-4


@pytest.mark.parametrize("integrator, block", [(tj.BAOAB(), None), (tj.OBABO(), 5)])
def test_snapshots_lie_on_the_path(integrator, block):
    run = functools.partial(
        simulate_in_blocks, block, SYSTEM, KEY, time_steps=36, batch=6, initial=START
    )
    out = run(save=[0.0, 0.26, 0.5, 1.0], integrator=integrator)
    assert out.saved is not None
    state, ledger = out.saved.values
    np.testing.assert_allclose(out.saved.times * 36, [0, 9, 18, 36], atol=0.51)
    np.testing.assert_allclose(state.position[-1], out.position, rtol=1e-12)
    np.testing.assert_allclose(ledger.heat[-1], out.ledger.heat, rtol=1e-12)
    changes = ledger.energy - ledger.energy_start
    np.testing.assert_allclose(changes, ledger.total_work - ledger.heat, atol=1e-12)
    few = run(save=3, observe=lambda t, s, book: s.position.mean(), integrator=integrator)
    assert few.saved is not None
    assert few.saved.values.shape == (3,)
    np.testing.assert_allclose(few.saved.values[-1], out.position.mean(), rtol=1e-12)


class Quartic(tj.AbstractPotential):
    strength: float = 1.0

    def energy(self, x, control):
        return self.strength * jnp.sum(x**4) + control * jnp.sum(x)


def test_a_diverged_path_is_frozen_counted_and_keeps_out_of_means_and_gradients():
    """A quartic at a step far beyond its stability: only the far starts blow up."""

    starts = jnp.linspace(0.0, 6.0, 13)[:, None]
    state = tj.State(starts, jnp.zeros_like(starts))

    def run(protocol, state, **options):
        system = tj.Underdamped(Quartic(), protocol, tj.Bath(friction=1.0))
        return tj.simulate(system, KEY, dt=0.3, initial=state, **options)

    protocol = tj.PiecewiseLinear.between(0.0, 1.0, 9.0, knots=4)
    for dtype in (jnp.float64, jnp.float32):
        out = run(protocol, cast(state, dtype))
        assert 0 < out.diverged < 13
        assert np.all(np.isfinite(out.position)) and np.all(np.isfinite(out.ledger.heat))
        ledger, rounding = out.ledger, 1e-10 if dtype == jnp.float64 else 1e-4
        change = ledger.total_work - ledger.heat  # the first law, for the frozen as well
        np.testing.assert_allclose(ledger.energy - ledger.energy_start, change, rtol=rounding)
        mean = out.mean(out.ledger.total_work)
        survivors = np.asarray(out.ledger.total_work)[~np.asarray(out.ledger.diverged)]
        np.testing.assert_allclose(mean.value, survivors.mean(), rtol=1e-5)
        assert mean.count == survivors.size

    def cost(values, **options):
        shaped = tj.PiecewiseLinear(values, 9.0, 0.0, 1.0)
        out = run(shaped, cast(state, jnp.float32), **options)
        seen = 0.0 if out.saved is None else jnp.mean(out.saved.values[1].alive)
        return out.mean(out.ledger.total_work).value + seen

    # By checkpoints reverse mode skips paths that diverge, by the direct adjoint it finds them.
    skipping = jax.grad(cost)(protocol.values)
    direct = jax.grad(lambda values: cost(values, adjoint=dfx.DirectAdjoint()))(protocol.values)
    assert np.all(np.isfinite(skipping)) and np.any(np.asarray(skipping) != 0)
    np.testing.assert_allclose(skipping, direct, rtol=1e-4)
    # What else asks for the flags along the way changes nothing.
    observed = jax.grad(lambda values: cost(values, save=4))(protocol.values)
    np.testing.assert_allclose(observed, skipping, rtol=1e-4)


@pytest.mark.slow
def test_a_cost_that_reads_nothing_of_the_end_has_the_derivative_of_those_that_survive():
    starts = jnp.linspace(0.0, 6.0, 13)[:, None]
    state = tj.State(starts, jnp.zeros_like(starts))

    def on_the_way(values, **options):
        protocol = tj.PiecewiseLinear(values, 9.0, 0.0, 1.0)
        system = tj.Underdamped(Quartic(), protocol, tj.Bath(friction=1.0))
        out = tj.simulate(system, KEY, dt=0.3, initial=state, save=4, **options)
        assert out.saved is not None
        seen, ledger = out.saved.values
        return jnp.sum(ledger.alive[-1] * seen.position[1, :, 0])

    values = jnp.linspace(0.0, 1.0, 4)
    skipping = jax.grad(on_the_way)(values)
    direct = jax.grad(lambda v: on_the_way(v, adjoint=dfx.DirectAdjoint()))(values)
    assert np.all(np.isfinite(skipping)) and np.any(np.asarray(skipping) != 0)
    np.testing.assert_allclose(skipping, direct, rtol=1e-9)


@pytest.mark.slow
def test_a_path_that_diverges_in_a_later_piece_has_no_derivative_in_an_earlier_one():
    well = tj.Underdamped(Quartic(), tj.Constant(0.0), tj.Bath())
    starts = jnp.array([[0.1], [5.0], [0.3]])

    def cost(strength):
        system = well.replace(potential=Quartic(strength))
        chain = tj.start(system, KEY, initial=tj.State(starts, jnp.zeros_like(starts)))
        calm = tj.advance(system, chain, dt=0.01, steps=4)
        wild = tj.advance(system, calm, dt=0.6, steps=6)
        alive = wild.ledger.alive
        return jnp.sum(alive * (calm.position[:, 0] + wild.position[:, 0])), (calm, wild)

    gradient, (calm, wild) = jax.grad(cost, has_aux=True)(jnp.asarray(1.0))
    assert np.all(calm.ledger.alive == 1) and list(wild.ledger.alive) == [1, 0, 1]
    step = 1e-5
    difference = (cost(1.0 + step)[0] - cost(1.0 - step)[0]) / (2 * step)
    np.testing.assert_allclose(gradient, difference, rtol=1e-5)
    starts = starts[1:2]  # nobody survives
    gradient, (_, wild) = jax.grad(cost, has_aux=True)(jnp.asarray(1.0))
    assert wild.ledger.alive[0] == 0 and gradient == 0


@pytest.mark.slow
def test_adjoints():
    def work(value, adjoint=None):
        protocol = tj.PiecewiseLinear(jnp.array([value, 0.7]), 1.0, 0.0, 1.0)
        out = work_of(SYSTEM.replace(protocol=protocol), adjoint=adjoint)
        return out.mean(out.ledger.total_work).value

    at = jnp.asarray(0.2)
    reverse = jax.grad(work)(at)
    forward = jax.jvp(lambda v: work(v, dfx.ForwardMode()), (at,), (jnp.ones(()),))[1]
    direct = jax.grad(lambda v: work(v, dfx.DirectAdjoint()))(at)
    sparse = jax.grad(lambda v: work(v, dfx.RecursiveCheckpointAdjoint(checkpoints=2)))(at)
    np.testing.assert_allclose([forward, direct, sparse], reverse, rtol=1e-10)
    with pytest.raises(ValueError, match="adjoint is a BacksolveAdjoint"):
        work(at, dfx.BacksolveAdjoint())


@pytest.mark.slow
def test_pytree_positions_and_per_coordinate_baths():
    class Two(tj.AbstractPotential):
        def energy(self, x, control):
            return jnp.sum((x["a"] - control) ** 2) + jnp.sum(x["b"] ** 2) / 2

    bath = tj.Bath(friction={"a": jnp.array([1.0, 2.0]), "b": jnp.array(3.0)}, mass=0.5)
    system = tj.Underdamped(Two(), tj.Linear(0.0, 1.0, 1.0), bath)
    template = {"a": jnp.zeros(2), "b": jnp.zeros(())}
    start = {"a": jnp.zeros((4, 2)), "b": jnp.ones(4)}
    out = tj.simulate(system, KEY, dt=0.1, initial=start)
    assert out.position["a"].shape == (4, 2) and out.momentum["b"].shape == (4,)
    alone = tj.simulate(system, KEY, dt=0.1, batch=4, initial=tj.Equilibrium(template))
    assert alone.burn_in is not None and bool(alone.burn_in.converged)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "pass exactly one"),
        ({"dt": 0.1, "time_steps": 3}, "pass exactly one"),
        ({"dt": 2.0}, "larger than the duration"),
        ({"dt": 1e-30}, "would take 1.0e.30 steps"),
        ({"dt": -0.1}, "positive time step"),
        ({"dt": np.nan}, "positive time step"),
        ({"time_steps": 0}, "positive whole number"),
        ({"dt": 0.1, "batch": None}, "expected the number of paths"),
        ({"dt": 0.1, "initial": jnp.zeros((3, 1))}, "batch = 4, but initial holds 3"),
        ({"dt": 0.1, "initial": jnp.zeros(())}, "batch axis"),
        ({"dt": 0.1, "initial": None}, "nothing says what a position"),
        ({"dt": 0.1, "save": [0.5, 2.0]}, "expected 0 to 1"),
        ({"dt": 0.1, "save": [0.5, 0.2]}, "sort them"),
        ({"dt": 0.1, "save": 1}, "save = 1: .* at least 2"),
        ({"dt": 0.1, "key": 7}, "typed key"),
        ({"dt": 0.1, "system": "trap"}, "expected a tj.Underdamped"),
    ],
)
def test_bad_input_is_refused_in_words(options, words):
    options = {"system": SYSTEM, "key": KEY, "batch": 4, "initial": START, **options}
    with pytest.raises(ValueError, match=words):
        tj.simulate(**options)


def test_a_potential_that_is_not_scalar_is_refused():
    class Wrong(tj.AbstractPotential):
        def energy(self, x, control):
            return x**2

    system = tj.Underdamped(Wrong(), PROTOCOL, tj.Bath())
    with pytest.raises(ValueError, match=r"Wrong.energy returned shape \(2,\)"):
        tj.simulate(system, KEY, dt=0.1, initial=jnp.zeros((3, 2)))


def test_a_traced_duration_needs_time_steps_and_has_a_gradient():
    def work(duration, **grid):
        protocol = tj.Linear(0.0, 1.0, duration)
        out = tj.simulate(SYSTEM.replace(protocol=protocol), KEY, batch=64, initial=START, **grid)
        return out.mean(out.ledger.total_work).value

    slope = jax.grad(lambda t: work(t, time_steps=20))(2.0)
    numeric = (work(2.0 + 1e-5, time_steps=20) - work(2.0 - 1e-5, time_steps=20)) / 2e-5
    np.testing.assert_allclose(slope, numeric, rtol=1e-6)
    with pytest.raises(ValueError, match="pass time_steps= instead"):
        jax.jit(lambda t: work(t, dt=0.1))(2.0)


def test_grid_arithmetic():
    assert count_steps(jnp.float32(0.3), 0.1, None) == 3
    assert count_steps(1.0, 0.3, None) == 4
    assert count_steps(100.0, 0.1, None) == 1000
    for steps in (1, 2, 3, 7, 37, 100, 1000, 4096, 99_991):
        size = block_size(steps)
        assert 1 <= size <= steps
        assert size <= 2 * np.sqrt(steps) + 1
    np.testing.assert_array_equal(snap(5, 1.0, 8), [0, 2, 4, 6, 8])


def test_one_program_per_configuration():
    """Fresh systems of the same structure, with other numbers, do not compile again."""
    traces = []

    class Counted(tj.AbstractPotential):
        stiffness: float = 1.0

        def energy(self, x, control):
            traces.append(1)
            return self.stiffness * jnp.sum((x - control) ** 2)

    def run(k):
        system = tj.Overdamped(Counted(k), tj.Linear(0.0, k, 1.0), tj.Bath(friction=k))
        return tj.simulate(system, KEY, dt=0.1, initial=jnp.zeros((2, 1))).position

    run(1.0)
    compiled = len(traces)
    run(2.0)
    run(3.0)
    # each call asks for the shape of the energy once more, outside of the program
    assert len(traces) - compiled <= 2


def test_a_reversed_system_runs_the_same_program():
    """Schedules of values in the control and in the bath; both runs are traced once."""
    traces = []

    class Counted(tj.AbstractPotential):
        def energy(self, x, control):
            traces.append(1)
            return jnp.sum((x - control) ** 2)

    knots = tj.PiecewiseLinear([0.1, 0.4, 0.8], 1.0, 0.0, 1.0, kicks=[0.1, 0.3], upper=2.0)
    bath = tj.Bath(friction=tj.Linear(1.0, 2.0, 1.0))
    system = tj.Underdamped(Counted(), knots, bath)
    back = tj.reverse(system)
    run = lambda system: tj.simulate(system, KEY, dt=0.1, initial=jnp.ones((8, 1)))
    out, compiled = run(system), len(traces)
    found = run(back)
    assert len(traces) - compiled <= 1  # the shape of the energy, outside of the program
    bath = dataclasses.replace(bath, friction=Reversed(bath.friction))
    expected = run(back.replace(protocol=Reversed(knots), bath=bath))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert abs(float(jnp.mean(found.ledger.work - out.ledger.work))) > 0.1  # another process


@pytest.mark.slow
def test_narrow_tiled_and_wide_batches_do_the_same(monkeypatch):
    """Three ways to sum the ledger and cut the batch; other blocks, so that each is compiled."""
    from thermojax.execution import layout
    from thermojax.execution.cpu import tiles

    x = jnp.linspace(-2, 2, 1024)[:, None]
    state = tj.State(x, jnp.zeros_like(x))

    def run(block, **numbers):
        on_cpu = dataclasses.replace(ON_CPU, **numbers)
        for module in layout, tiles:
            monkeypatch.setattr(module, "ON_CPU", on_cpu)
        out = simulate_in_blocks(block, SYSTEM, KEY, time_steps=16, initial=state)
        return out.position, out.ledger

    tiled = run(4)
    narrow = run(8, tile=10**9)
    for other in (narrow, run(16, tile=10**9, narrow=0)):
        for a, b in zip(jax.tree.leaves(tiled), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
