"""The Fokker-Planck solver: exact laws on any grid, closed forms, and the tables of REFERENCE."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import thermojax as tj
from thermojax.distribution.fokker_planck import FokkerPlanck, block_slots
from thermojax.distribution.transport import hops, move_density


class Biased(tj.AbstractPotential):
    """The biased double well of REFERENCE, section 4: depth ((x^2 - 1)^2 / 4 - l x)."""

    depth: float = 2.0

    def energy(self, x, control):
        return self.depth * jnp.sum((x**2 - 1) ** 2 / 4 - control * x)


class Crossing(tj.AbstractPotential):
    """A molecule with two states, pulled by a trap at r: REFERENCE, section 4."""

    def energy(self, x, control):
        k, trap = 6.38629, 9.5625
        wells = jnp.logaddexp(-k * (x + 1) ** 2 / 2, -k * (x - 1) ** 2 / 2)
        return jnp.sum(trap * (x - control) ** 2 / 2 - wells)


def driven(potential, *values, duration=1.0, initial=None, final=None, **bath):
    protocol = tj.PiecewiseLinear(list(values), duration, initial, final)
    return tj.Overdamped(potential, protocol, tj.Bath(**bath))


def first_law(ledger):
    """Energy at 0-, once for each of the times: all of them must be the same number."""
    return np.asarray(ledger.energy - ledger.work + ledger.heat)


# Laws that hold on any grid, at any step.


def test_mass_and_sign_are_kept_at_absurd_steps():
    """2 steps of 5e5 relaxation times each, and a start far out of equilibrium."""
    system = driven(tj.DoubleWell(14.0), 30.0, -30.0, duration=1e6, initial=-30.0)
    with pytest.warns(UserWarning, match="time_steps = 2: with a tenth of them the work is"):
        out = FokkerPlanck(-2.2, 2.2, 100).solve(system, 3, time_steps=2)
    density = np.asarray(out.density)
    assert np.all(density >= 0) and np.all(np.isfinite(density))
    np.testing.assert_allclose(density.sum(1) * out.volume, 1, rtol=1e-14)
    assert np.all(np.isfinite(out.ledger.work)) and np.ptp(first_law(out.ledger)) < 1e-10


@pytest.mark.parametrize("cells", [(50,), (24, 30)])
def test_the_equilibrium_stays_to_rounding(cells):
    """On a rough potential too, which no grid resolves, and at a step of 1e3 hopping times."""
    energy = np.random.default_rng(0).normal(size=cells) * 5
    p = np.exp(-energy / 0.7) / np.sum(np.exp(-energy / 0.7))
    widths, friction = jnp.array([0.1, 0.2])[: len(cells)], jnp.array([1.3, 0.8])[: len(cells)]
    moved = jax.jit(move_density)(p, energy, widths, 0.7, friction, 10.0)
    np.testing.assert_allclose(moved, p, rtol=1e-9)


def test_the_laws_of_thermodynamics_hold_step_by_step():
    """With a temperature and a friction that change in time, and jumps at both ends."""
    schedule = tj.Linear(1.0, 0.6, 1.0)
    system = driven(Biased(4.0), -0.2, 1.4, initial=-1.0, final=1.0).replace(
        bath=tj.Bath(schedule, tj.Linear([0.5], [1.0], 1.0))
    )
    solver = FokkerPlanck(-3.0, 3.0, 100)
    ledger = solver.solve(system, 61, time_steps=60).ledger
    np.testing.assert_allclose(first_law(ledger), first_law(ledger)[0], atol=1e-13)
    kT = 1 - 0.4 * ledger.times
    gap = ledger.free_energy - ledger.equilibrium_free_energy
    np.testing.assert_allclose(gap, kT * ledger.divergence, atol=1e-13)
    assert np.all(np.diff(ledger.entropy_production) > 0)
    assert abs(ledger.entropy_production[0]) < 1e-15
    assert np.all(np.asarray(ledger.divergence) > 0)


def test_every_step_is_in_one_block_and_every_stop_ends_one():
    for steps, stops in ((1, (0, 1)), (100, (0, 100)), (97, (3, 4, 50)), (40, tuple(range(41)))):
        slots, active = block_slots(stops, steps)
        assert np.array_equal(slots[active], np.arange(steps))
        assert set(stops) <= {0, *(slots[i, n - 1] + 1 for i, n in enumerate(active.sum(1)))}
        assert slots.size <= 1.3 * steps + 1


def test_the_hopping_rates_and_their_slopes():
    z = np.array([-800.0, -3.0, -0.04, -1e-9, 0.0, 1e-9, 0.04, 0.06, 3.0, 800.0])
    right, left = hops(jnp.asarray(z))
    low, high = np.minimum(right, left), np.maximum(right, left)
    np.testing.assert_allclose(low, high * np.exp(-abs(z)), rtol=1e-14)
    np.testing.assert_allclose(left - right, z, rtol=1e-12, atol=1e-15)
    slopes = jax.vmap(jax.grad(lambda z: hops(z)[0]))(jnp.asarray(z))
    wide = np.where((abs(z) < 1e-3) | (z < -700), 1.0, z)
    exact = (1 - wide - np.exp(-wide)) * np.exp(-wide) / np.expm1(-wide) ** 2
    exact = np.where(z < -700, -1, np.where(abs(z) < 1e-3, -0.5 + z / 6, exact))
    np.testing.assert_allclose(slopes, exact, atol=1e-11)


# A moving trap: closed forms, and the order of the errors.


def trap_error(cells, steps):
    """A trap of stiffness 1 at 0, then from .5 to 1.5 with speed 1, then at 1; N(.3, .5) at 0."""
    system = driven(tj.Harmonic(1.0, control="center"), 0.5, 1.5, initial=0.0, final=1.0)
    start = lambda x: jnp.exp(-jnp.sum((x - 0.3) ** 2)) / np.sqrt(np.pi)
    solver = FokkerPlanck(-6.0, 8.0, cells, boundary="reflecting")
    out = solver.solve(system, [0.5, 1.0], time_steps=steps, initial=start)
    t = np.array([0.5, 1.0])
    mean = t - 0.5 + 0.8 * np.exp(-t)
    variance = 1 - 0.5 * np.exp(-2 * t)
    work = 0.5 * (0.2**2 - 0.3**2) + t - 0.8 * (1 - np.exp(-t))
    work[1] += 0.5 * ((mean[1] - 1) ** 2 - (mean[1] - 1.5) ** 2)
    lag = mean - np.array([1.0, 1.0])
    divergence = 0.5 * (variance + lag**2 - 1 - np.log(variance))
    found = out.mean(lambda x: jnp.array([x[0], x[0] ** 2]))
    second = found[:, 1] - found[:, 0] ** 2
    measured = (found[:, 0], second, out.ledger.work, out.ledger.divergence)
    return np.stack(measured) - np.stack([mean, variance, work, divergence])


def order(errors):
    """From three resolutions, each twice as fine, whatever else the errors contain."""
    first, second = (np.linalg.norm(a - b) for a, b in pairwise(errors))
    return np.log2(first / second)


def test_second_order_in_space():
    errors = [trap_error(cells, 20) for cells in (50, 100, 200)]
    assert order(errors) > 1.9
    assert np.max(abs(errors[-1])) < 1e-3


def test_second_order_in_time_with_jumps():
    errors = [trap_error(200, steps) for steps in (10, 20, 40)]
    assert order(errors) > 1.9


# The tables of REFERENCE.


def test_logistic_posterior():
    """R11: beta W, Q, F, F_eq and KL of a ramp to the posterior, which is then held."""
    prior = tj.Gaussian(jnp.zeros(1), 4.0)
    features = jnp.array([[-2.0], [-1.0], [0.5], [1.0], [2.0], [3.0]])
    target = prior + tj.LogisticRegression(features, [0, 0, 1, 0, 1, 1])
    system = driven(tj.Interpolation(prior, target), 0.0, 1.0, 1.0, duration=2.0)
    out = FokkerPlanck(-12.0, 12.0, 1600).solve(system, [0.25, 0.5, 1.0, 2.0], time_steps=640)
    ledger = out.ledger
    table = [
        [2.16828, 0.17523, 2.04440, 1.24702, 0.79738],
        [3.98542, 0.99140, 3.20441, 2.04982, 1.15459],
        [6.2241, 3.2574, 3.7140, 3.4725, 0.2415],
        [6.2241, 3.6744, 3.4751, 3.4725, 0.00252],
    ]
    level = ledger.equilibrium_free_energy
    found = np.stack([ledger.work, ledger.heat, ledger.free_energy, level, ledger.divergence], 1)
    np.testing.assert_allclose(found, table, atol=1e-4)
    np.testing.assert_allclose(level[-1], 3.4725454303, atol=1e-8)


@pytest.mark.parametrize(
    ("depth", "sudden", "linear"), [(2, 4.55279, 3.22566), (4, 10.0565, 6.6217)]
)
def test_biased_double_well(depth, sudden, linear):
    solver = FokkerPlanck(-3.3, 3.3, 200)
    works = [
        solver.solve(system, time_steps=200).ledger.work[-1]
        for system in (
            driven(Biased(float(depth)), 1.0, 1.0, initial=-1.0, final=1.0),
            driven(Biased(float(depth)), -1.0, 1.0),
        )
    ]
    np.testing.assert_allclose(works, [sudden, linear], atol=1e-3)


@pytest.mark.slow
def test_barrier_crossing():
    solver = FokkerPlanck(-3.5, 3.5, 200)
    systems = (
        driven(Crossing(), 1.0, 1.0, duration=0.44, initial=-1.0, final=1.0),
        driven(Crossing(), -1.0, 1.0, duration=0.44),
    )
    works = [solver.solve(system, time_steps=200).ledger.work[-1] for system in systems]
    np.testing.assert_allclose(works, [19.1178, 8.8028], atol=1e-3)


@pytest.mark.slow
def test_erasure_of_a_bit():
    """All rows: the four-phase protocol, from three relaxation times to a hundred.

    The work falls toward ln 2 - H(p) as the inverse of the time, and never below it.
    """
    phases = [[1.0, 0.0], [0.0, 0.0], [0.0, 10.0], [1.0, 10.0], [1.0, 0.0]]
    solver = FokkerPlanck(-1.7, 1.7, 128)
    excess = []
    for tau, work in ((3.0, 2.3276), (10.0, 1.1998), (30.0, 0.86358), (100.0, 0.74440)):
        system = driven(tj.DoubleWell(14.0), *phases, duration=tau)
        out = solver.solve(system, time_steps=4800)
        np.testing.assert_allclose(out.ledger.work[-1], work, rtol=3e-3)
        np.testing.assert_allclose(out.mean(lambda x: x[0] > 0)[0], 0.5, atol=1e-8)
        success = 1 - float(tj.ErasureError("above")(system, out).value)
        assert success > 0.99997
        excess.append(float(out.ledger.work[-1] - tj.bounds.landauer(success)))
    lost = np.asarray(excess) * [3.0, 10.0, 30.0, 100.0]
    assert excess[-1] > 0 and np.ptp(lost) < 0.1 * np.mean(lost)


# Gradients.


def test_gradients_are_finite_differences_in_every_leaf():
    """Protocol values and ends, duration, depth, temperature, friction; and vmap is a loop."""
    solver = FokkerPlanck(-3.5, 3.5, 40)
    system = driven(Biased(), -0.5, 0.4, 0.3, initial=-1.0, final=1.0, friction=[0.7])
    leaves, rest = eqx.partition(system, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(leaves)

    def loss(v):
        out = solver.solve(eqx.combine(unravel(v), rest), 4, time_steps=20)
        ledger = out.ledger
        return jnp.sum(ledger.work + 0.3 * ledger.divergence + 0.1 * ledger.bath_entropy)

    gradient = jax.jit(jax.grad(loss))(flat)
    shift = 1e-5 * np.eye(flat.size)
    values = jax.jit(jax.vmap(loss))(jnp.concatenate([flat + shift, flat - shift]))
    slopes = (values[: flat.size] - values[flat.size :]) / 2e-5
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-8)
    assert np.sum(abs(slopes) > 1e-3) >= 8  # the mass alone does nothing


# Two dimensions.


def test_a_separable_system_is_a_product():
    """Marginals and work are those of two 1-D systems; along the second axis step by step."""
    well = lambda x, c: -((x**2 - 1) ** 2) / 2 + c * x
    pair = tj.LogDensity(lambda x, c: well(x[0], c) + well(x[1], c), controlled=True)
    protocol = tj.Linear(-1.0, 1.0, 0.5)
    solver = FokkerPlanck([-3.5, -3.0], [3.5, 3.0], (42, 36))
    out = solver.solve(tj.Overdamped(pair, protocol, tj.Bath()), time_steps=32)
    line = tj.Overdamped(tj.LogDensity(well, controlled=True), protocol, tj.Bath())
    one = FokkerPlanck(-3.0, 3.0, 36).solve(line, time_steps=32)  # x of shape ()
    assert one.grid.sample == () and out.x.shape == (42, 36, 2) and out.density.shape == (2, 42, 36)
    width = out.grid.widths[0]
    np.testing.assert_allclose(out.density.sum(1) * width, one.density, rtol=1e-9, atol=1e-13)
    means = out.mean(lambda x: x)
    np.testing.assert_allclose(means[:, 0], means[:, 1], atol=2e-4)
    np.testing.assert_allclose(out.ledger.work, 2 * one.ledger.work, atol=2e-4)


def test_correlated_gaussians():
    """R5, tau = 1: W, Q and KL, and -ln p(y)."""

    def gaussian(x, mean, variances, covariance):
        (a, b), (p, q) = x - jnp.array(mean), variances
        det = p * q - covariance**2
        exponent = (q * a**2 - 2 * covariance * a * b + p * b**2) / (2 * det)
        return exponent + np.log(2 * np.pi) + np.log(det) / 2

    def log_density(x, share):
        prior = gaussian(x, [0.0, 0.0], (1.0, 1.0), 0.5)
        return -prior - share * gaussian(x, [1.0, -1.0], (0.5, 0.8), -0.2)

    line = tj.LogDensity(log_density, controlled=True)
    system = tj.Overdamped(line, tj.Linear(0.0, 1.0, 1.0), tj.Bath())

    def error(cells, steps):
        ledger = FokkerPlanck(-6.0, 6.0, (cells, cells)).solve(system, time_steps=steps).ledger
        assert abs(ledger.equilibrium_free_energy[-1] - 3.064678613858) < 1e-8
        found = np.array([ledger.work[-1], ledger.heat[-1], ledger.divergence[-1]])
        return found - [3.6819852224, 1.3989993424, 0.0488708213]

    coarse, fine = error(40, 12), error(80, 24)
    assert np.max(abs(fine)) < 1e-3
    assert np.log2(np.linalg.norm(coarse) / np.linalg.norm(fine)) > 1.9


# Domains, and what is refused.


def test_the_domain_is_found():
    """A stiff well far from the origin; a pair of wells of very different width."""
    far = driven(tj.Harmonic(1e4, control="center"), 700.0, 701.0)
    grid = FokkerPlanck().grid(far)
    reach = np.sqrt(72) / 100
    assert 700 - 1.3 * reach < grid.lower[0] <= 700 - reach
    assert 701 + reach <= grid.upper[0] < 701 + 1.3 * reach
    found = FokkerPlanck(cells=300).around(driven(tj.Harmonic(control="stiffness"), 1.0, 100.0))
    assert found.lower is not None and -11 < found.lower < -8 and found.cells == 300


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: FokkerPlanck(1.0, -1.0), "lower below upper"),
        (lambda: FokkerPlanck(1.0), "both, or neither"),
        (lambda: FokkerPlanck(cells=4), "cells = 4"),
        (lambda: FokkerPlanck(cells=(20, 20, 20)), "a pair"),
        (lambda: FokkerPlanck(np.zeros(3), np.ones(3)), "a number or"),
        (lambda: FokkerPlanck(boundary="reflecting"), "needs walls"),
        (
            lambda: FokkerPlanck(boundary="periodic"),  # pyright: ignore[reportArgumentType]
            "'natural' or 'reflecting'",
        ),
    ],
)
def test_bad_solvers_are_refused_in_words(build, words):
    with pytest.raises(ValueError, match=words):
        build()


WELL = driven(Biased(), -1.0, 1.0)
BOX = FokkerPlanck(-3.5, 3.5, 40)


def swapped(**fields):
    return WELL.replace(**fields)


@pytest.mark.parametrize(
    ("solver", "system", "options", "words"),
    [
        (BOX, tj.Underdamped(Biased(), WELL.protocol, tj.Bath()), {}, "solves tj.Overdamped"),
        (BOX, swapped(drive=lambda x, c: x), {}, "non-conservative"),
        (
            BOX,
            swapped(protocol=tj.PiecewiseLinear([0.0, 1.0], 1.0, kicks=[0.1, 0.1])),
            {},
            "kicks act on the momentum",
        ),
        (BOX, swapped(potential=tj.Gaussian(jnp.zeros(3))), {}, "in more dimensions"),
        (BOX, swapped(bath=tj.Bath(1.0, [1.0, 2.0])), {}, "friction has shape"),
        (
            FokkerPlanck(cells=(20, 20)),
            swapped(potential=tj.Gaussian([0.0])),
            {},
            "make them agree",
        ),
        (BOX, WELL, {"dt": 0.1}, "exactly one of the two"),
        (BOX, WELL, {"times": [2.0]}, "expected 0 to 1"),
        (FokkerPlanck(-1.5, 3.5, 40), WELL, {}, r"lower = -1.5 cuts off 0.* of the equilibrium"),
        (FokkerPlanck(), swapped(potential=tj.LogDensity(lambda x: 0 * x[0])), {}, "not confine"),
        (
            BOX,
            swapped(potential=tj.LogDensity(lambda x: jnp.sum(jnp.log(x)))),
            {},
            "not finite at x",
        ),
        (BOX, WELL, {"initial": jnp.ones(30)}, r"expected the cells, \(40,\)"),
        (BOX, WELL, {"initial": -jnp.ones(40)}, "initial reaches -1"),
        (BOX, WELL, {"initial": lambda x: jnp.exp(-(x[0] ** 2))}, "integrates to 1.77"),
    ],
)
def test_bad_input_is_refused_in_words(solver, system, options, words):
    with pytest.raises(ValueError, match=words):
        solver.solve(system, **{"time_steps": 4, **options})


def test_tracing_without_bounds_names_the_cure():
    with pytest.raises(ValueError, match=r"solver\.around"):
        jax.jit(lambda d: FokkerPlanck().solve(swapped(potential=Biased(d)), time_steps=4).final)(
            2.0
        )
