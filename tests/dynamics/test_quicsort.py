"""QUICSORT: the fitted order along a path, equilibrium, mean work, gradients, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from scipy.integrate import solve_ivp

import thermojax as tj
from tests.execution.blocks import simulate_in_blocks

STEPS = np.array([16, 32, 64])


class MovingTrap(tj.AbstractPotential):
    """U = stiffness |x - center|^2 / 2, the control being the pair (stiffness, center)."""

    def energy(self, x, control):
        return 0.5 * control[0] * jnp.sum((x - control[1]) ** 2)


class Sweep(tj.AbstractProtocol):
    """Stiffness 1 + t and center sin 3t, with any values outside."""

    duration: Array
    initial: Array
    final: Array

    def __call__(self, t):
        return jnp.stack([1 + t, jnp.sin(3 * t)])


def swirl(x, control):
    """A force without an energy."""
    return 0.7 * jnp.stack([-x[1] + x[0] * x[1], x[0] + jnp.sin(x[0])])


def fitted_orders(system, dim, reference=256):
    """Fitted strong orders of (position, momentum, work, drive work) on one Brownian path."""
    start = tj.State(jnp.ones((64, dim)), jnp.zeros((64, dim)))

    def run(steps):
        out = tj.simulate(
            system,
            jax.random.key(0),
            time_steps=int(steps),
            initial=start,
            integrator=tj.QUICSORT(path="tree"),
        )
        return out.position, out.momentum, out.ledger.work, out.ledger.drive_work

    exact = run(reference)
    rms = [
        [jnp.sqrt(jnp.mean((a - b) ** 2)) for a, b in zip(run(n), exact, strict=True)]
        for n in STEPS
    ]
    errors = np.log(np.maximum(np.array(rms), 1e-300))
    return -np.polyfit(np.log(STEPS), errors, 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "before, after",
    [((1.0, 0.0), (3.0, np.sin(6.0))), ((2.0, 0.5), (1.0, -1.0))],
    ids=["smooth", "end_jumps"],
)
def test_strong_order_three_in_a_time_dependent_potential(before, after):
    protocol = Sweep(jnp.array(2.0), jnp.array(before), jnp.array(after))
    system = tj.Underdamped(MovingTrap(), protocol, tj.Bath(1.0, 1.3, 0.7))
    position, momentum, work, _ = fitted_orders(system, 1)
    assert position > 2.8
    assert momentum > 2.8
    assert work > 2.8


@pytest.mark.slow
def test_strong_order_three_with_kinks_barrier_and_drive():
    # Eight segments, so that the knots are grid points of every n.
    protocol = tj.PiecewiseLinear([0, 1, -1, 0.5, 2, 1, 0, 0, 1.0], 2.0, initial=-1.0, final=0.0)
    bath = tj.Bath(0.6, jnp.array([1.3, 0.4]), jnp.array([0.7, 1.4]))
    system = tj.Underdamped(tj.DoubleWell(0.5, 1.0), protocol, bath, drive=swirl)
    position, momentum, work, drive_work = fitted_orders(system, 2)
    assert position > 2.8
    assert momentum > 2.8
    assert work > 2.8
    assert drive_work > 1.8


def dragged(initial=0.0, final=2.0):
    """A trap dragged from 0 to 2 in 3 units of time, between two outside values."""
    protocol = tj.PiecewiseLinear([0.0, 2.0], 3.0, initial, final)
    return tj.Underdamped(
        tj.Harmonic(1.4, control="center"), protocol, tj.Bath(0.8, 1.3, jnp.array([0.7, 1.5]))
    )


def mean_work_of_dragging(stiffness, friction, mass, initial, final):
    """From the equation of the mean, m x'' = -k (x - c) - gamma x'; jumps added by hand."""
    speed, duration = 2.0 / 3.0, 3.0

    def rate(t, y):
        x, v, _ = y
        pull = stiffness * (x - speed * t)
        return [v, (-pull - friction * v) / mass, -pull * speed]

    end = solve_ivp(rate, (0, duration), [initial, 0.0, 0.0], rtol=1e-10, atol=1e-12).y[:, -1]
    at_start = 0.5 * stiffness * initial**2
    at_end = 0.5 * stiffness * ((end[0] - final) ** 2 - (end[0] - 2.0) ** 2)
    return at_start + end[2] + at_end


@pytest.mark.parametrize("ends", [(0.0, 2.0), (-0.5, 1.5)], ids=["ramp", "end_jumps"])
def test_grid_noise_keeps_equilibrium_and_gives_the_mean_work(ends):
    # Dragging a quadratic trap leaves the covariances at kT/k and m kT, and W Gaussian.
    batch = 20_000
    out = tj.simulate(
        dragged(*ends),
        jax.random.key(1),
        dt=0.2,
        batch=batch,
        initial=tj.Equilibrium(jnp.zeros(2)),
        integrator=tj.QUICSORT(),
    )
    relative = 5 * np.sqrt(2 / batch)  # of a Gaussian variance, 5 sigma
    np.testing.assert_allclose(jnp.var(out.position, axis=0), 0.8 / 1.4, rtol=relative)
    np.testing.assert_allclose(
        jnp.var(out.momentum, axis=0), 0.8 * np.array([0.7, 1.5]), rtol=relative
    )
    expected = sum(mean_work_of_dragging(1.4, 1.3, mass, *ends) for mass in (0.7, 1.5))
    work = out.ledger.work
    assert abs(jnp.mean(work) - expected) < 5 * jnp.std(work) / np.sqrt(batch)
    assert jnp.all(out.ledger.shadow_work == 0)


def test_grid_noise_holds_equilibrium_for_long_times():
    system = tj.Underdamped(tj.Harmonic(1.0), tj.Constant(0.0, 40.0), tj.Bath(1.0, 0.5, 1.0))
    out = tj.simulate(
        system,
        jax.random.key(5),
        dt=0.25,
        batch=4096,
        initial=jnp.zeros((4096, 1)),
        integrator=tj.QUICSORT(),
    )
    # exp(-gamma t / m) = 2e-9: the start is forgotten. At this step the bias is below 1e-3.
    relative = 5 * np.sqrt(2 / 4096)
    assert abs(jnp.var(out.position) - 1) < relative
    assert abs(jnp.var(out.momentum) - 1) < relative
    assert abs(jnp.mean(out.position * out.momentum)) < 5 / np.sqrt(4096)


def small(parameters):
    """Mean heat of few paths, a function of everything that is continuous."""
    end, duration, temperature, friction, mass, barrier = parameters
    system = tj.Underdamped(
        tj.DoubleWell(barrier, 1.0),
        tj.Linear(0.0, end, duration),
        tj.Bath(temperature, friction, mass),
    )
    start = tj.State(jnp.linspace(-1, 1, 16)[:, None] * jnp.ones(2), jnp.ones((16, 2)))
    out = tj.simulate(
        system, jax.random.key(3), time_steps=20, initial=start, integrator=tj.QUICSORT()
    )
    return jnp.mean(out.ledger.heat)


PARAMETERS = jnp.array([1.5, 2.0, 0.8, 1.3, 0.7, 0.9])


@pytest.mark.slow
def test_reverse_mode_equals_finite_differences():
    gradient = jax.grad(small)(PARAMETERS)
    shifts = 1e-5 * jnp.eye(6)
    value = jax.jit(jax.vmap(small))
    difference = (value(PARAMETERS + shifts) - value(PARAMETERS - shifts)) / 2e-5
    np.testing.assert_allclose(gradient, difference, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_reverse_mode_is_finite_on_the_tree():
    def final(friction):
        system = dragged()
        system = system.replace(bath=tj.Bath(0.8, friction, 1.0))
        out = tj.simulate(
            system,
            jax.random.key(0),
            time_steps=4,
            initial=jnp.ones((3, 2)),
            integrator=tj.QUICSORT(path="tree"),
        )
        return jnp.sum(out.position**2)

    slope = jax.grad(final)(1.0)
    difference = (final(1.0 + 1e-5) - final(1.0 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=1e-6)


@pytest.mark.slow
def test_same_path_for_any_block_under_jit_and_vmap():
    def run(system, block=None):
        out = simulate_in_blocks(
            block,
            system,
            jax.random.key(7),
            time_steps=30,
            initial=jnp.ones((8, 2)),
            integrator=tj.QUICSORT(),
        )
        return out.position, out.momentum, out.ledger.work

    system = dragged()
    plain = run(system)
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]) if eqx.is_array(x) else x, system)
    mapped = eqx.filter_jit(eqx.filter_vmap(run))(stacked)
    for other in (run(system, 7), jax.tree.map(lambda x: x[1], mapped)):
        for a, b in zip(plain, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.optimized
def test_advance_in_pieces_equals_one_piece():
    system = dragged()
    chain = tj.start(system, jax.random.key(2), batch=16, initial=tj.Equilibrium(jnp.zeros(2)))

    def move(chain, steps):
        return tj.advance(system, chain, dt=0.1, steps=steps, integrator=tj.QUICSORT())

    whole, segments = move(chain, 6), move(move(chain, 3), 3)
    np.testing.assert_allclose(whole.position, segments.position, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(whole.ledger), jax.tree.leaves(segments.ledger), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_pytrees_kicks_drive_snapshots_and_the_first_law():
    class Pair(tj.AbstractPotential):
        def energy(self, x, control):
            square = jnp.sum(x["b"] ** 2)
            return 0.5 * (x["a"] - control) ** 2 + 0.5 * square * (1 + 0.2 * x["a"] ** 2)

    protocol = tj.PiecewiseLinear([0.0, 1.0, 0.5], 2.0, initial=-1.0, kicks=[0.1, 0.2])
    drive = lambda x, control: {"a": 0.3 * x["b"][0], "b": -control * x["b"]}
    out = tj.simulate(
        tj.Underdamped(Pair(), protocol, tj.Bath(), drive=drive),
        jax.random.key(0),
        dt=0.1,
        initial={"a": jnp.zeros(4), "b": jnp.ones((4, 2))},
        integrator=tj.QUICSORT(),
        save=5,
    )
    assert out.saved is not None
    state, book = out.saved.values
    assert state.position["b"].shape == (5, 4, 2)
    change = book.energy - book.energy_start
    np.testing.assert_allclose(change, book.total_work - book.heat, atol=1e-12)
    assert jnp.all(out.ledger.kick_work != 0)
    assert jnp.all(out.ledger.drive_work != 0)


@pytest.mark.slow
def test_float32_stays_float32():
    out = tj.simulate(
        dragged(),
        jax.random.key(1),
        dt=0.1,
        batch=8,
        initial=tj.Equilibrium(jnp.zeros(2, jnp.float32)),
        integrator=tj.QUICSORT(),
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype("float32")}


def refused(system=None, dtype=float, integrator=None, **steps):
    tj.simulate(
        system or dragged(),
        jax.random.key(0),
        **(steps or {"dt": 0.1}),
        initial=jnp.ones((3, 2), dtype),
        integrator=integrator or tj.QUICSORT(),
    )


def test_refusals_name_the_cure():
    system = dragged()
    overdamped = tj.Overdamped(system.potential, system.protocol, system.bath)
    with pytest.raises(ValueError, match=r"overdamped system: use tj.BAOAB\(\)"):
        refused(overdamped)
    for name in ("temperature", "friction", "mass"):
        bath = tj.Bath(**{name: tj.Linear(1.0, 2.0, 3.0)})
        with pytest.raises(ValueError, match=r"constant in time: use tj.BAOAB\(\)"):
            refused(system.replace(bath=bath))
    with pytest.raises(ValueError, match="path = 'twig': expected 'grid' or 'tree'"):
        tj.QUICSORT(path="twig")  # pyright: ignore[reportArgumentType]  # refused
    tree = tj.QUICSORT(path="tree")
    with pytest.raises(ValueError, match="in float32: set jax_enable_x64"):
        refused(dtype=jnp.float32, integrator=tree)
    with pytest.raises(ValueError, match="16384 steps, not 20000"):
        refused(integrator=tree, time_steps=20_000)
    chain = tj.start(system, jax.random.key(0), initial=jnp.ones((3, 2)))
    with pytest.raises(ValueError, match=r"one run of tj.simulate"):
        tj.advance(system, chain, dt=0.1, steps=2, integrator=tree)
