"""The ledger: first law, work theorem, reversal, unbiased work."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.aboba import ABOBA
from tests.components import INTEGRATORS, POTENTIALS, SYSTEMS
from tests.dynamics.problems import driven, energies
from thermojax._keys import Purpose, purpose_key
from thermojax.dynamics import (
    AbstractStepNoise,
    DriftTerm,
    GridBrownianPath,
    NoiseTerm,
    key_words,
    timetable,
)
from thermojax.execution import Execution, solve
from thermojax.sampling.ends import enter, leave

KEY = jax.random.key(11)


FEW = ("double well", "logistic posterior", "pytree")  # of each other kind of run


@pytest.mark.parametrize(
    ("name", "kind", "integrator"),
    [
        pytest.param(
            *case, marks=() if case[1:] == ("underdamped", "BAOAB") or quick else pytest.mark.slow
        )
        for case in itertools.product(POTENTIALS, SYSTEMS, INTEGRATORS)
        for quick in [case[0] in FEW and case[1:] == ("overdamped", "BAOAB")]
        if case[0] in FEW or case[2] != "ABOBA"
    ],
)
def test_first_law_path_by_path(name, kind, integrator):
    """H by its definition at both ends against work, shadow work and heat from their pieces."""
    system, positions, grid = driven(name, kind)
    momenta = jax.tree.map(lambda x: 0.3 + 0.1 * x, positions)
    out = tj.simulate(
        system,
        KEY,
        **grid,
        initial=tj.State(positions, momenta),
        integrator=INTEGRATORS[integrator],
    )
    start = energies(system, positions, momenta, system.protocol.initial)
    end = energies(system, out.position, out.momentum, system.protocol.final)
    book = out.ledger
    largest = max(1.0, float(np.max(np.abs(start))), float(np.max(np.abs(end))))
    balance = end - start - (book.work + book.shadow_work - book.heat)
    assert np.max(np.abs(balance)) < 1e-10 * largest
    np.testing.assert_allclose(book.energy, end, rtol=1e-10)
    np.testing.assert_allclose(book.energy_start, start, rtol=1e-12)
    assert np.all(np.asarray(book.heat) != 0)


def test_first_law_with_everything_at_once():
    """A drive, kicks, per-coordinate friction and mass, and three bath schedules."""
    tau = 1.2
    bath = tj.Bath(
        tj.Linear(1.0, 2.0, tau),
        tj.Linear(jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0]), tau),
        tj.Linear(jnp.array([0.5, 1.0]), jnp.array([1.0, 2.0]), tau),
    )
    protocol = tj.PiecewiseLinear([0.1, 0.9], tau, 0.0, 1.0, kicks=[0.2, -0.1])
    curl = lambda x, c: 0.5 * jnp.array([-x[1], x[0]])
    system = tj.Underdamped(tj.Harmonic(2.0, control="center"), protocol, bath, curl)
    x = jax.random.normal(KEY, (7, 2))
    p = jax.random.normal(jax.random.key(5), (7, 2))
    for integrator in INTEGRATORS.values():
        out = tj.simulate(system, KEY, time_steps=20, initial=tj.State(x, p), integrator=integrator)
        kinetic = lambda p, m: jnp.sum(p**2 / (2 * m), axis=1)
        start = jnp.sum(x**2, axis=1) + kinetic(p, jnp.array([0.5, 1.0]))
        shifted = out.position - 1.0
        end = jnp.sum(shifted**2, axis=1) + kinetic(out.momentum, jnp.array([1.0, 2.0]))
        book = out.ledger
        np.testing.assert_allclose(end - start, book.total_work - book.heat, atol=1e-11)
        assert np.all(np.asarray(book.drive_work) != 0)
        assert np.all(np.asarray(book.kick_work) != 0)


COARSE = {  # omega dt up to 1.3 along the way
    "BAOAB": (tj.Underdamped, tj.BAOAB(), 1.3),
    "OBABO": (tj.Underdamped, tj.OBABO(), 1.3),
    "ABOBA": (tj.Underdamped, ABOBA(), 1.3),
    "overdamped": (tj.Overdamped, tj.BAOAB(), 0.6),
    "Euler-Maruyama": (tj.Overdamped, tj.OBABO(), 0.6),
}


@pytest.mark.parametrize("name", COARSE)
@pytest.mark.parametrize("h", [1.0, 0.6])
def test_jarzynski_is_exact_at_a_coarse_step(name, h):
    """<exp(-beta total work)> = Z_1 / Z_0 = sqrt(k_0 / k_1) for a stiffness .25 -> 1."""
    kind, integrator, largest = COARSE[name]
    step = h * largest
    well = tj.Harmonic(control="stiffness")
    system = kind(well, tj.Linear(0.25, 1.0, 12 * step), tj.Bath(0.8))
    start = tj.Equilibrium(jnp.zeros(1))
    out = tj.simulate(
        system, KEY, time_steps=12, batch=60_000, initial=start, integrator=integrator
    )
    estimate = out.mean(jnp.exp(out.log_weight))
    assert abs(estimate.value - 0.5) < 4 * estimate.error
    assert estimate.error < 0.005


def test_jarzynski_with_bath_schedules():
    """<exp(log_weight)> = Z_1 / Z_0 of phase space when temperature, friction and mass change."""
    tau = 6.0
    bath = tj.Bath(tj.Linear(1.0, 1.5, tau), tj.Linear(1.0, 3.0, tau), tj.Linear(1.0, 2.0, tau))
    well = tj.Harmonic(control="stiffness")
    for kind, exact in (
        (tj.Underdamped, 1.5 * np.sqrt(2.0 / 2.0)),  # Z ~ kT sqrt(m / k)
        (tj.Overdamped, 1.5 / np.sqrt(2.0)),  # hidden momentum of unit mass
    ):
        system = kind(well, tj.Linear(1.0, 2.0, tau), bath)
        out = tj.simulate(system, KEY, dt=0.3, batch=60_000, initial=tj.Equilibrium(jnp.zeros(1)))
        estimate = out.mean(jnp.exp(out.log_weight))
        assert abs(estimate.value - exact) < 4 * estimate.error
        assert estimate.error < 0.02


def test_friction_schedule_does_no_work():
    """In equilibrium with only the friction changing, no path does any work."""
    bath = tj.Bath(friction=tj.Linear(0.5, 4.0, 2.0))
    for kind in SYSTEMS.values():
        system = kind(tj.Harmonic(1.0, jnp.zeros(1)), tj.Constant(0.0, 2.0), bath)
        out = tj.simulate(system, KEY, dt=0.1, batch=4)
        np.testing.assert_array_equal(out.ledger.work, 0)


class ReplayedNoise(AbstractStepNoise):
    """Noise from a table (steps, draws, batch, dim)."""

    words: tuple[jax.Array, jax.Array]
    shape: jax.ShapeDtypeStruct = eqx.field(static=True)
    table: jax.Array

    def normals(self, first, count):
        sliced = jax.lax.dynamic_slice_in_dim(self.table, first, count)
        return tuple(sliced[:, i] for i in range(self.table.shape[1]))


def replay(
    system, steps, state, table, integrator
) -> tuple[tuple[jax.Array, jax.Array, tj.Ledger], tuple[jax.Array, jax.Array]]:
    """A run from a state with noise from a table: (position, momentum, ledger, states)."""
    h = system.protocol.duration / steps
    grid = timetable(system, state.position, h, steps, ou_fraction=integrator.ou_fraction)
    drift = DriftTerm(system, grid)
    shape = jax.eval_shape(lambda: state.position)
    words = key_words(jax.random.key(0))
    noise = ReplayedNoise(words, shape, table)
    momentum, ledger = enter(drift, state.position, state.momentum)
    (position, momentum, ledger), states = solve(
        drift,
        NoiseTerm(system, grid, noise),
        (state.position, momentum, ledger),
        Execution(integrator),
        save_steps=np.arange(steps + 1),
        observe=lambda step, y: y[:2],
    )
    return (position, *leave(drift, position, momentum, ledger)), states


def reversed_noise(system, states, table, steps, integrator):
    """The normals that take the time-reversed path: momenta flipped, OU inverted."""
    h = float(system.protocol.duration) / steps
    x, p = (np.asarray(s) for s in states)
    control = jax.vmap(system.protocol)(jnp.arange(steps + 1) * h)
    gradient = jax.vmap(lambda x, c: tj.potential.batched_gradient(system.potential, x, c))
    grid = timetable(system, x[0], jnp.asarray(h), steps, ou_fraction=integrator.ou_fraction)
    bath = grid.bath
    c, s, push = (np.asarray(v) for v in (bath.damping, bath.noise, bath.push))
    if isinstance(integrator, tj.BAOAB):
        before = p[:-1] - h / 2 * push * gradient(x[:-1], control[:-1])  # before the OU step
        after = c * before + s * table[:, 0]
        return np.asarray((-before + c * after) / s)[::-1][:, None]
    if isinstance(integrator, ABOBA):
        middle = x[:-1] + h / 2 * np.asarray(bath.drift) * p[:-1]
        mid_step = jax.vmap(system.protocol)((jnp.arange(steps) + 0.5) * h)
        before = p[:-1] - h / 2 * push * gradient(middle, mid_step)
        after = c * before + s * table[:, 0]
        return np.asarray((-before + c * after) / s)[::-1][:, None]
    first = c * p[:-1] + s * table[:, 0]  # after the first half thermostat
    last = (p[1:] - s * table[:, 1]) / c  # before the second
    opening = (-last + c * p[1:]) / s  # from -p1 to -last
    closing = (-p[:-1] + c * first) / s
    return np.stack([opening, closing], 1)[::-1]


@pytest.mark.parametrize(
    ("name", "kind", "integrator"),
    [
        ("double well", "underdamped", tj.BAOAB()),
        ("double well", "underdamped", tj.OBABO()),
        ("double well", "underdamped", ABOBA()),
        ("logistic posterior", "overdamped", tj.BAOAB()),
    ],
)
def test_a_path_replayed_backward_does_minus_its_work(name, kind, integrator):
    steps = 10
    system, x0, _ = driven(name, kind)
    p0 = 0.5 * x0 + 0.2
    table = np.random.default_rng(2).normal(size=(steps, integrator.draws, *x0.shape))
    (x1, p1, book), states = replay(system, steps, tj.State(x0, p0), jnp.asarray(table), integrator)
    mirror = jnp.asarray(reversed_noise(system, states, table, steps, integrator))
    back = tj.State(x1, -p1)
    (x2, p2, book_back), _ = replay(tj.reverse(system), steps, back, mirror, integrator)
    np.testing.assert_allclose(x2, x0, atol=1e-10)
    np.testing.assert_allclose(p2, -p0, atol=1e-10)
    np.testing.assert_allclose(book_back.total_work, -book.total_work, atol=1e-10)
    np.testing.assert_allclose(book_back.heat, -book.heat, atol=1e-10)


def test_mean_work_is_unbiased_at_the_endpoints():
    """A slow stiffness ramp .25 -> 1 at dt = 1.3: W near Delta F = ln 2, within .01 of .697."""
    well = tj.Harmonic(control="stiffness")
    steps = 1600
    system = tj.Underdamped(well, tj.Linear(0.25, 1.0, 1.3 * steps), tj.Bath())
    out = tj.simulate(
        system, KEY, time_steps=steps, batch=8192, initial=tj.Equilibrium(jnp.zeros(1))
    )
    work = out.mean(out.ledger.work)
    assert work.error < 0.001
    assert abs(work.value - 0.697) < 0.01


def test_stationary_variance_of_a_quadratic_well_is_exact():
    """BAOAB at omega dt = 1: <x^2> = kT / k to sampling error, both over- and underdamped."""
    for kind in SYSTEMS.values():
        system = kind(tj.Harmonic(1.0, jnp.zeros(1)), tj.Constant(0.0, 30.0), tj.Bath(1.7, 1.0))
        out = tj.simulate(system, KEY, dt=1.0, batch=100_000)
        variance = out.mean(out.position[:, 0] ** 2)
        assert abs(variance.value - 1.7) < 4 * variance.error


@pytest.mark.slow
def test_detailed_balance_at_a_fixed_control():
    """At a fixed control <x_0 f(x_n)> = <f(x_0) x_n> in the stationary state (f cubic)."""
    system = tj.Overdamped(tj.DoubleWell(1.0), tj.Constant(0.3, 0.5), tj.Bath())
    start = tj.start(system, KEY, batch=40_000, initial=tj.Equilibrium(jnp.zeros(1)))
    warm = tj.advance(system, start, dt=0.02, steps=50)
    later = tj.advance(system, warm, dt=0.02, steps=25)
    a, b = warm.position[:, 0], later.position[:, 0]
    difference = np.asarray(a * b**3 - a**3 * b)
    assert abs(difference.mean()) < 4.5 * difference.std() / np.sqrt(difference.size)


def test_drive_makes_a_current_and_its_work_is_booked():
    """A constant force on a free overdamped particle: <x> = f (t - h/2) / gamma, W_drive = f <x>.

    The h/2 is the momentum's relaxation after the force sets in at t = 0.
    """

    class Flat(tj.AbstractPotential):
        def energy(self, x, control):
            return 0.0 * jnp.sum(x) + control**2

    system = tj.Overdamped(
        Flat(), tj.Linear(0.0, 0.5, 2.0), tj.Bath(friction=2.0), lambda x, c: 3.0 + 0 * x
    )
    out = tj.simulate(system, KEY, dt=0.1, initial=jnp.zeros((20_000, 1)))
    moved, work = out.mean(out.position[:, 0]), out.mean(out.ledger.drive_work)
    exact = 3.0 * (2.0 - 0.05) / 2.0
    assert abs(moved.value - exact) < 4 * moved.error
    assert abs(work.value - 3.0 * exact) < 4 * work.error
    np.testing.assert_allclose(out.ledger.work, 0.25, rtol=1e-12)  # of the control alone


def test_kick_moves_the_momentum_and_is_refused_where_it_has_no_meaning():
    trap = tj.Harmonic(2.0, control="center")
    protocol = tj.PiecewiseLinear([0.0, 0.0], 1e-6, kicks=[0.5, 0.0])
    x, p = jnp.array([[0.3]]), jnp.array([[0.1]])
    out = tj.simulate(
        tj.Underdamped(trap, protocol, tj.Bath(friction=1e-9)),
        KEY,
        time_steps=1,
        initial=tj.State(x, p),
    )
    np.testing.assert_allclose(out.momentum, [[0.1 + 2.0 * 0.5]], atol=1e-4)
    np.testing.assert_allclose(out.ledger.kick_work, [(1.1**2 - 0.1**2) / 2], rtol=1e-12)
    bent = tj.LogDensity(lambda x, c: -jnp.sum((x - c**2) ** 2), controlled=True)
    with pytest.raises(ValueError, match="depends on the control"):
        tj.simulate(
            tj.Underdamped(bent, protocol, tj.Bath()), KEY, time_steps=1, initial=tj.State(x, p)
        )
    with pytest.raises(ValueError, match="overdamped system takes none"):
        tj.simulate(tj.Overdamped(trap, protocol, tj.Bath()), KEY, time_steps=1, initial=x)


def test_the_terms_are_diffrax_terms():
    """diffrax's Euler on our terms is the Euler-Maruyama step, computed here by hand."""
    import diffrax as dfx

    system, x, _ = driven("double well", "overdamped", bath=tj.Bath(0.5, 2.0))
    h = jnp.asarray(0.05)
    table = timetable(system, x, h, 4)
    path = GridBrownianPath(
        key_words(purpose_key(KEY, Purpose.NOISE)), jax.eval_shape(lambda: x), h
    )
    terms = dfx.MultiTerm(DriftTerm(system, table), NoiseTerm(system, table, path))
    ledger = tj.Ledger.opened(jnp.zeros(5), jnp.zeros(5))
    y = (x, jnp.zeros_like(x), ledger)
    sol = dfx.diffeqsolve(
        terms,
        dfx.Euler(),
        0.0,
        4.0,
        None,
        y,
        stepsize_controller=dfx.StepTo(jnp.arange(5.0)),
        adjoint=dfx.DirectAdjoint(),
        max_steps=4,
    )
    z = path.normals(0, 4)[0]
    by_hand = x
    for i in range(4):
        g = tj.potential.batched_gradient(system.potential, by_hand, table.control[i])
        by_hand = by_hand - h * g / 2.0 + jnp.sqrt(2 * 0.5 / 2.0 * h) * z[i]
    assert sol.ys is not None
    np.testing.assert_allclose(sol.ys[0][-1], by_hand, rtol=1e-12)


def test_every_ledger_field_is_public_and_per_path():
    system, x, grid = driven("double well", "underdamped")
    out = tj.simulate(system, KEY, **grid, initial=x)
    for field in dataclasses.fields(out.ledger):
        assert getattr(out.ledger, field.name).shape == (5,)
    assert eqx.tree_equal(out.state, tj.State(out.position, out.momentum, "underdamped"))
