"""Bounds against the optima that reach them, REFERENCE sections 1-3, and each other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.bounds import proximal

bounds = tj.bounds
POINT = tj.Equilibrium(jnp.zeros(1))


def trap(a, duration, stiffness, friction, kind: type = tj.Overdamped, mass=1.0):
    bath = tj.Bath(friction=friction, mass=mass)
    return kind(tj.Harmonic(stiffness, control="center"), tj.Linear([0.0], [a], duration), bath)


def squeezed(start, end, duration, kind: type = tj.Overdamped, **bath):
    protocol = tj.Linear([start], [end], duration)
    return kind(tj.Harmonic(control="stiffness"), protocol, tj.Bath(**bath))


def end_of(found) -> Any:
    """The final law of a bound, of whatever kind."""
    return found.end


class Biased(tj.AbstractPotential):
    """The biased double well of REFERENCE section 4."""

    scale: float = 2.0

    def energy(self, x, control):
        return jnp.sum(self.scale * ((x**2 - 1) ** 2 / 4 - control * x))


class Opened(tj.AbstractPotential):
    """A trap that is harmonic, and does not say so in its shape: it goes the way of the grid."""

    def energy(self, x, control):
        return 0.5 * jnp.sum(control * x**2) + 1e-9 * jnp.sum(x**4)


@pytest.mark.parametrize("kind", [tj.Overdamped, tj.Underdamped])
@pytest.mark.parametrize(
    ("a", "duration", "stiffness", "friction", "work"),
    [(5, 1, 1, 1, 8.3333333), (1, 0.1, 1, 1, 0.4761905), (2, 0.5, 3, 0.7, 2.8965517)],
)
def test_a_moving_trap_reaches_the_free_end_bound(a, duration, stiffness, friction, work, kind):
    """REFERENCE sections 1 and 2: translations are within reach, with kicks at any mass."""
    found = bounds.free_end(trap(a, duration, stiffness, friction, kind, mass=2.0))
    assert float(found.work) == pytest.approx(work, rel=1e-7)
    exact = friction * a**2 / (duration + 2 * friction / stiffness)
    assert float(found.work) == pytest.approx(exact, rel=1e-14)
    np.testing.assert_allclose(end_of(found).covariance, 1 / stiffness)


@pytest.mark.parametrize(
    ("start", "end", "duration", "work", "variance", "fixed"),
    [
        (1, 2, 1, 0.40291836, 0.654508, 0.432360),
        (1, 2, 0.1, 0.47828911, 0.915098, 1.204438),
        (1, 10, 1, 1.57384834, 0.147299, 1.618837),
        (2, 1, 1, -0.30257540, 0.738417, -0.260787),
    ],
)
def test_a_stiffness_reaches_both_bounds(start, end, duration, work, variance, fixed):
    """REFERENCE section 1: W* with a free end and its final variance, W* with a fixed end."""
    system = squeezed(start, end, duration)
    free, held = bounds.free_end(system), bounds.fixed_end(system)
    assert float(free.work) == pytest.approx(work, abs=1e-8)
    assert float(end_of(free).covariance[0, 0]) == pytest.approx(variance, abs=1e-6)
    assert float(held.work) == pytest.approx(fixed, abs=5e-7)
    difference = 0.5 * np.log(end / start)
    distance = (end**-0.5 - start**-0.5) ** 2
    assert float(held.work) == pytest.approx(difference + distance / duration, rel=1e-12)


@pytest.mark.parametrize(
    ("start", "end", "duration", "friction", "work"),
    [
        (1, 2, 1, 1, 0.4236068),
        (1, 2, 10, 1, 0.3642686),
        (2, 1, 1, 1, -0.2876502),
        (1, 2, 1, 0.1, 0.4143951),
        (1, 2, 1, 10, 0.4784752),
    ],
)
def test_underdamped_optima_lie_above_the_bound_of_positions(start, end, duration, friction, work):
    """REFERENCE section 2, stiffness with kicks: momenta cost more than the positions alone."""
    found = bounds.free_end(squeezed(start, end, duration, tj.Underdamped, friction=friction))
    assert 0.5 * np.log(end / start) < float(found.work) < work


@pytest.mark.slow
def test_the_gaussian_minimum_in_three_dimensions():
    """Stationary in mean and covariance, and the least among neighbors: friction per coordinate."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(3, 3))
    stiffness, friction, kt = root @ root.T + np.eye(3), jnp.array([0.5, 1.0, 3.0]), 0.7
    before = bounds.Normal(rng.normal(size=3), np.diag([1.0, 0.5, 2.0]) + 0.2)
    system = tj.Overdamped(
        tj.Harmonic(stiffness, control="center"),
        tj.Linear(jnp.zeros(3), jnp.array([1.0, -1.0, 2.0]), 0.4),
        tj.Bath(kt, friction),
    )
    found = bounds.free_end(system, before)

    @jax.jit
    @jax.value_and_grad
    def cost(law):
        scale = jnp.sqrt(friction / 0.4)
        shift = law[0] - system.protocol.final
        energy = 0.5 * (shift @ stiffness @ shift + jnp.trace(stiffness @ law[1]))
        entropy = 0.5 * (jnp.linalg.slogdet(law[1])[1] + 3 * jnp.log(2 * jnp.pi * jnp.e))
        distance = tj.distances.transport_cost_gaussian(
            scale * before.mean,
            before.covariance * jnp.outer(scale, scale),
            scale * law[0],
            law[1] * jnp.outer(scale, scale),
        )
        return energy - kt * entropy + distance

    value, slope = cost((end_of(found).mean, end_of(found).covariance))
    start = before.free_energy(system, system.protocol.initial)
    assert float(found.work) == pytest.approx(float(value - start), rel=1e-12)
    for leaf in slope:
        np.testing.assert_allclose(leaf, 0, atol=1e-10)


@pytest.mark.slow
def test_densities_find_the_gaussian_minimum():
    """The quantile function by Newton's method against the closed form, and its derivative."""
    numeric = lambda k, duration: bounds.free_end(
        tj.Overdamped(Opened(), tj.Linear(1.0, k, duration), tj.Bath(friction=0.8))
    )
    exact = lambda k, duration: bounds.free_end(squeezed(1.0, k, duration, friction=0.8)).work
    for k, duration in ((2.0, 1.0), (10.0, 0.3)):
        found = numeric(k, duration)
        assert isinstance(found.end, bounds.Density)
        assert float(found.work) == pytest.approx(float(exact(k, duration)), abs=1e-4)
    # By the envelope theorem dW/dtau = -dissipation/tau.
    slope = float(jax.grad(exact, 1)(2.0, 1.0))
    assert slope == pytest.approx(-float(numeric(2.0, 1.0).dissipation), rel=1e-3)


@pytest.mark.slow
def test_a_tilted_double_well_lies_below_what_limited_control_reaches():
    """REFERENCE section 4, E0 = 2: 2.9499 with the tilt alone; walls cost."""
    system = tj.Overdamped(Biased(), tj.Linear(-1.0, 1.0, 1.0), tj.Bath())
    found = bounds.free_end(system)
    assert 0 < float(found.work) < 2.9499
    assert float(bounds.fixed_end(system).work) > float(found.work)
    walled = bounds.free_end(system, lower=0.0)
    assert float(walled.work) > float(found.work) and float(end_of(walled).x[0]) == 0
    with_law = bounds.free_end(system, bounds.equilibrium(system, cells=500))
    assert float(with_law.work) == pytest.approx(float(found.work), abs=1e-3)


def test_friction_in_time_and_per_coordinate():
    """int dt/gamma by quadrature; a translation pays the harmonic mean of the friction."""
    ramp = tj.PiecewiseLinear([1.0, 3.0, 0.5], 2.0)
    bath = tj.Bath(friction=ramp)
    system = tj.Overdamped(tj.Harmonic(), tj.Linear(0.0, 1.0, 2.0), bath)
    laws = bounds.Normal(0.0, 1.0), bounds.Normal(2.0, 1.0)
    time = np.log(3.0) / 2 + np.log(6.0) / 2.5
    assert float(bounds.dissipation(system, *laws)) == pytest.approx(4 / time, rel=1e-10)
    each = system.replace(bath=tj.Bath(friction=jnp.array([1.0, 4.0])))
    cloud = jax.random.normal(jax.random.key(0), (64, 2))
    pair = [bounds.Normal(m, np.eye(2)) for m in (np.zeros(2), np.array([1.0, 2.0]))]
    assert float(bounds.dissipation(each, *pair)) == pytest.approx((1 + 4 * 4) / 2, rel=1e-12)
    line = [bounds.Samples(cloud[:, 0] + shift) for shift in (0.0, 2.0)]
    one = tj.Overdamped(tj.Harmonic(), tj.Linear(0.0, 1.0, 2.0), tj.Bath(friction=3.0))
    assert float(bounds.dissipation(one, *line)) == pytest.approx(3 * 4 / 2, rel=1e-12)


def test_the_bound_holds_for_the_actual_final_law():
    """REFERENCE R5's kind: Sigma of a ramp, exactly, above W_2^2/tau of the law it reaches."""
    system = squeezed(1.0, 4.0, 0.7, tj.Underdamped)
    law = tj.moments(system, 2)
    laws = (bounds.Normal(law.mean[i, :1], law.covariance[i, :1, :1]) for i in (0, -1))
    least = float(bounds.dissipation(system, *laws))
    assert 0.01 < least < float(law.ledger.entropy_production[-1])


@pytest.mark.parametrize(
    ("barrier", "distance", "free"),
    [(2, 1.16807, 1.6439), (4, 1.47592, 1.9976), (8, 1.70174, 2.330)],
)
def test_erasure_of_one_bit_in_finite_time(barrier, distance, free):
    """REFERENCE section 3: ln 2 + W_2^2/tau at rest, and less where the end is free."""
    system = tj.Overdamped(tj.DoubleWell(barrier), tj.Constant(0.0, 1.0), tj.Bath())
    local = bounds.erasure(system, end="local")
    assert float(local.work) == pytest.approx(np.log(2) + distance, abs=2e-5)
    assert float(local.dissipation) == pytest.approx(distance, abs=2e-5)
    assert float(bounds.erasure(system, end="free").work) == pytest.approx(free, abs=1e-3)


def test_the_nearest_density_is_found_from_any_map(monkeypatch):
    """Cells of the barrier hold e^-20 of the mass: the search must not end in their rounding."""
    search, found = proximal.lowest_minimum, []

    def from_each(maps, x, shares, free, energy, metric, kt):
        each = [search(one[None], x, shares, free, energy, metric, kt) for one in maps]
        jax.debug.callback(lambda *y: found.extend(y), *each)
        return search(maps, x, shares, free, energy, metric, kt)

    monkeypatch.setattr(proximal, "lowest_minimum", from_each)
    system = tj.Overdamped(tj.DoubleWell(8.0), tj.Constant(0.0, 1.0), tj.Bath())
    jax.clear_caches()  # a program of another test would go on with the search as it was
    assert jnp.isfinite(bounds.erasure(system, end="free").work)
    jax.effects_barrier()
    np.testing.assert_allclose(*found, rtol=0, atol=1e-6)  # of the length of the line


@pytest.mark.slow
def test_uncertain_erasure():
    """Cheaper, never below ln 2 - H(p), which long times reach; nothing for half of it."""
    well = tj.DoubleWell(4.0)
    system = lambda duration: tj.Overdamped(well, tj.Constant(0.0, duration), tj.Bath())
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    floor = float(bounds.landauer(0.9))
    assert floor == pytest.approx(np.log(2) - entropy, rel=1e-12)
    quick, slow = (bounds.erasure(system(t), 0.9, end="free", cells=800) for t in (1.0, 1e3))
    assert floor < float(slow.work) < floor + 2e-3 < float(quick.work) < 1.9976
    law = quick.end
    assert isinstance(law, bounds.Density)
    assert float(jnp.sum(law.shares[law.x[:-1] >= 0])) == pytest.approx(0.9, abs=1e-9)
    assert float(bounds.erasure(system(1.0), 0.5, end="free", cells=800).work) == pytest.approx(
        0, abs=1e-6
    )
    np.testing.assert_allclose(
        bounds.landauer(jnp.array([0.0, 0.5, 1.0]), 2.0), [1.386294, 0, 1.386294], atol=1e-6
    )


FRICTIONS = [(1.0, 1.0, 1.0), (1.0, 1.0, 0.2), (2.0, 0.5, 3.0)]


@pytest.mark.parametrize(("k", "mass", "friction"), FRICTIONS)
def test_friction_of_a_stiffness(k, mass, friction):
    """REFERENCE section 2: (gamma/k + m/gamma)/(4 beta k^2); overdamped gamma/(4 beta k^3)."""
    bath = {"temperature": 1.5, "friction": friction, "mass": mass}
    for kind, inertia in ((tj.Overdamped, 0.0), (tj.Underdamped, mass / friction)):
        system = squeezed(k, 3.0, 1.0, kind, **bath)
        found = bounds.friction_tensor(system, [k])
        assert found.shape == (1, 1)
        wanted = 1.5 * (friction / k + inertia) / (4 * k**2)
        assert float(found[0, 0]) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.slow
def test_friction_of_two_controls_and_its_measurement():
    """Center and stiffness at once: diag(gamma, gamma/(4 beta k^3)), and between them nothing."""

    class Both(tj.AbstractPotential):
        def energy(self, x, control):
            return 0.5 * jnp.sum(control[1] * (x - control[0]) ** 2)

    ends = [0.0, 1.0], [1.0, 2.0]
    system = tj.Overdamped(Both(), tj.Linear(*ends, 1.0), tj.Bath(friction=0.8))
    exact = np.diag([0.8, 0.8 / (4 * 1.5**3)])
    found = bounds.friction_tensor(system, [0.3, 1.5], POINT)
    np.testing.assert_allclose(found, exact, atol=1e-12)
    measured = bounds.measured_friction(
        system, [0.3, 1.5], jax.random.key(3), duration=30.0, dt=0.03, batch=256, initial=POINT
    )
    assert np.max(measured.error) < 0.05
    assert np.all(np.abs(measured.value - exact) < 4.5 * measured.error)


def test_the_geodesic_of_a_stiffness():
    """k^-1/2 runs evenly in time; the length is the difference of its ends."""
    system = squeezed(1.0, 4.0, 200.0)
    length = float(bounds.thermodynamic_length(system))
    assert length == pytest.approx(0.5, rel=1e-5)
    protocol = bounds.geodesic(system, knots=33)
    wanted = np.linspace(1.0, 0.5, 33) ** -2
    np.testing.assert_allclose(protocol.values[:, 0], wanted, rtol=1e-5)
    # A friction of one's own, along a path that bends.
    turn = tj.Overdamped(tj.Harmonic(), tj.Linear([0.0, 0.0], [1.0, 1.0], 1.0), tj.Bath())
    corner = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    bent = bounds.geodesic(turn, lambda c: jnp.diag(jnp.array([9.0, 1.0])), corner, knots=5)
    np.testing.assert_allclose(bent.values[3], [1.0, 0.0], atol=1e-6)  # three parts of four
    np.testing.assert_allclose(bent.values[1], [1 / 3, 0.0], atol=1e-6)


def test_mistakes_of_bounds():
    system = squeezed(1.0, 2.0, 1.0)
    hot = squeezed(1.0, 2.0, 1.0, temperature=tj.Linear(1.0, 2.0, 1.0))
    normal, samples = bounds.Normal(0.0, 1.0), bounds.Samples(np.zeros(3))
    for call in (
        bounds.free_end,
        bounds.fixed_end,
        lambda s: bounds.dissipation(s, normal, normal),
    ):
        with pytest.raises(ValueError, match="temperature changes in time"):
            call(hot)
    with pytest.raises(ValueError, match="mass changes in time"):
        bounds.free_end(squeezed(1.0, 2.0, 1.0, tj.Underdamped, mass=tj.Linear(1.0, 2.0, 1.0)))
    with pytest.raises(ValueError, match="two laws of one kind"):
        bounds.dissipation(system, normal, samples)
    with pytest.raises(ValueError, match=r"start is a float: expected a tj\.bounds"):
        bounds.dissipation(system, 1.0, normal)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="free energy of samples"):
        bounds.fixed_end(system, samples, samples)
    with pytest.raises(ValueError, match="start is a Samples"):
        bounds.free_end(system, samples)
    with pytest.raises(ValueError, match="neither quadratic nor of one dimension"):
        bounds.free_end(
            tj.Overdamped(tj.DoubleWell(), tj.Linear(0.0, 1.0, 1.0), tj.Bath()),
            tj.Equilibrium(jnp.zeros(2)),
        )
    with pytest.raises(ValueError, match="covariance = -1"):
        bounds.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match=r"density has shape \(2,\)"):
        bounds.Density([0.0, 1.0, 2.0, 3.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"success = 1\.2"):
        bounds.landauer(1.2)
    with pytest.raises(ValueError, match="end = 'fixed'"):
        bounds.erasure(system, end="fixed")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="outside values"):
        bounds.geodesic(system, path=[[1.0], [3.0]])
    with pytest.raises(ValueError, match="equilibrium: leave out drive"):
        bounds.geodesic(hot)
    with pytest.raises(ValueError, match="not positive all along"):
        bounds.geodesic(system.replace(protocol=tj.Constant([1.0], 1.0)))
    with pytest.raises(ValueError, match=r"friction has shape \(2,\)"):
        bounds.free_end(squeezed(1.0, 2.0, 1.0, friction=[1.0, 2.0]))
    with pytest.raises(ValueError, match="at least 8 paths"):
        bounds.measured_friction(system, [1.0], jax.random.key(0), duration=1.0, dt=0.1, batch=1)
