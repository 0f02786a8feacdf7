"""The moment equations and the exponential work averages against the reference tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

A = jnp.array([[3.0, 2.0], [2.0, 4.0]])
PRIOR = tj.Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 1.0]]))
LIKELIHOOD = tj.Gaussian(jnp.array([1.0, -1.0]), jnp.array([[0.5, -0.2], [-0.2, 0.8]]))


class Between(tj.AbstractPotential):
    """x^T ((1 - c) A + c B) x / 2."""

    start: jax.Array
    end: jax.Array

    def energy(self, x, control):
        return 0.5 * x @ (self.start + control * (self.end - self.start)) @ x

    def template(self, control):
        return jnp.zeros(len(self.start))


def balanced(ledger: tj.EnsembleLedger, start_energy, temperature: jax.Array | float = 1.0):
    """The identities that hold in every ledger, to rounding and the tolerance of the solver."""
    ledger = jax.tree.map(np.asarray, ledger)
    change = ledger.work - ledger.heat
    np.testing.assert_allclose(ledger.energy - start_energy, change, atol=1e-9)
    excess = ledger.free_energy - ledger.equilibrium_free_energy
    np.testing.assert_allclose(excess, temperature * ledger.divergence, atol=1e-9)
    assert np.all(ledger.entropy_production > -1e-9)


def test_gaussian_inference():
    """REFERENCE R5."""
    rows = {
        0.01: dict(work=4.6390096089, heat=0.0600381173, divergence=1.5322129114),
        1.0: dict(
            work=3.6819852224,
            heat=1.3989993424,
            divergence=0.0488708213,
            entropy_production=0.5684357873,
        ),
    }
    for tau, row in rows.items():
        ramp = tj.Interpolation(PRIOR, PRIOR + LIKELIHOOD)
        system = tj.Overdamped(ramp, tj.Linear(0.0, 1.0, tau), tj.Bath())
        found = jax.tree.map(np.asarray, tj.moments(system, 5).ledger)
        balanced(found, found.energy[0])
        assert found.equilibrium_free_energy[-1] == pytest.approx(3.064678613858, abs=1e-11)
        for name, value in row.items():
            assert getattr(found, name)[-1] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize(
    "a, tau, k, gamma, work",
    [
        (5.0, 1.0, 1.0, 1.0, 9.1969860),
        (1.0, 0.1, 1.0, 1.0, 0.4837418),
        (2.0, 0.5, 3.0, 0.7, 3.2932608),
    ],
)
def test_dragged_trap(a, tau, k, gamma, work):
    """REFERENCE section 1: W = (gamma a^2/tau) (1 - (1 - e^-z)/z), z = k tau/gamma."""
    z = k * tau / gamma
    exact = gamma * a**2 / tau * (1 - (1 - np.exp(-z)) / z)
    assert exact == pytest.approx(work, abs=1e-7)
    well = tj.Harmonic(k, control="center")
    protocol = tj.Linear(jnp.zeros(1), jnp.full(1, a), tau)
    found = tj.moments(tj.Overdamped(well, protocol, tj.Bath(friction=gamma)), 3).ledger
    found = jax.tree.map(np.asarray, found)
    assert found.work[-1] == pytest.approx(exact, abs=1e-9)
    balanced(found, found.energy[0])


@pytest.mark.parametrize(
    "first, last, tau, work",
    [(1, 2, 1, 0.412466), (1, 2, 0.1, 0.484587), (1, 10, 1, 1.778471), (2, 1, 1, -0.297270)],
)
def test_stiffness_ramp(first, last, tau, work):
    """REFERENCE section 1, the column W linear."""
    well = tj.Harmonic(1.0, jnp.zeros(1), control="stiffness")
    system = tj.Overdamped(well, tj.Linear(first, last, tau), tj.Bath())
    found = jax.tree.map(np.asarray, tj.moments(system, 3).ledger)
    assert found.work[-1] == pytest.approx(work, abs=1e-6)
    change = found.equilibrium_free_energy[-1] - found.equilibrium_free_energy[0]
    assert change == pytest.approx(0.5 * np.log(last / first), abs=1e-12)


def test_determinant_by_work():
    """REFERENCE R4: mean, variance, free energy, and where the second moment is infinite."""

    def system(tau):
        ramp = Between(A, jnp.eye(2))
        return tj.Overdamped(ramp, tj.Linear(0.0, 1.0, tau), tj.Bath())

    rows = {0.1: -0.619137888324, 1.0: -0.825393963807, 100.0: -1.034103762829}
    for tau, work in rows.items():
        found = tj.moments(system(tau), [tau]).ledger
        assert found.work[0] == pytest.approx(work, abs=1e-10)

    def curve(tau, s):
        return float(tj.log_work_moment(system(tau), s))

    def second(tau, e):
        """The second cumulant: the curvature at s = 0 of ln <exp(-s W)>."""
        return (curve(tau, e) + curve(tau, -e)) / e**2

    for tau, variance in ((1.0, 0.2629415), (100.0, 0.0110016)):
        richardson = (4 * second(tau, 0.02) - second(tau, 0.04)) / 3
        assert richardson == pytest.approx(variance, abs=2e-7)
        assert curve(tau, 1.0) == pytest.approx(1.039720770840, abs=1e-10)  # Jarzynski
    assert np.isinf(tj.log_work_moment(system(2.2807), 2.0))
    assert np.isfinite(tj.log_work_moment(system(2.2809), 2.0))


def test_from_rest_in_phase_space():
    """REFERENCE R10 and R1: the law at t = 1 that starts in a point."""
    well = tj.Harmonic(A, jnp.array([0.0, 0.5]))
    rest = jnp.zeros(4), jnp.zeros((4, 4))
    system = tj.Underdamped(well, tj.Constant(0.0, 1.0), tj.Bath())
    found = tj.moments(system, [1.0], rest)
    found = jax.tree.map(np.asarray, found)
    c = found.covariance[0]
    np.testing.assert_allclose(c[0, :2], [0.20785792, -0.06508396], atol=5e-9)
    np.testing.assert_allclose([c[1, 1], c[3, 3]], [0.17531594, 0.5772433], atol=5e-8)
    np.testing.assert_allclose(c[2, 2:], [0.60516854, -0.05585048], atol=5e-9)
    np.testing.assert_allclose(found.mean[0, :2], [0.20266475, 0.49602213], atol=5e-9)
    slow = tj.Overdamped(well, tj.Constant(0.0, 1.0), tj.Bath())
    found = tj.moments(slow, [0.5, 1.0], (jnp.zeros(2), jnp.zeros((2, 2))))
    found = jax.tree.map(np.asarray, found)
    np.testing.assert_allclose(found.mean[0], [0.103111586242, 0.388497726747], atol=1e-11)
    np.testing.assert_allclose(found.mean[1], [0.056620704276, 0.453870487684], atol=1e-11)
    wanted = [[0.397249783409, -0.170314539566], [-0.170314539566, 0.312092513625]]
    np.testing.assert_allclose(found.covariance[0], wanted, atol=1e-11)


@pytest.mark.parametrize("mass", [0.3, 1.0])
def test_kicks_make_the_mass_irrelevant(mass):
    """REFERENCE section 2: with velocity kicks the moving trap costs its overdamped optimum."""
    a, tau = 5.0, 1.0
    jump = a / (tau + 2)
    protocol = tj.PiecewiseLinear(
        [[jump], [a - jump]], tau, [0.0], [a], kicks=[[mass * jump], [-mass * jump]]
    )
    system = tj.Underdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath(mass=mass))
    found = tj.moments(system, 3).ledger
    assert found.work[-1] == pytest.approx(a**2 / (tau + 2), abs=1e-9)


@pytest.mark.slow
def test_everything_in_time_at_once():
    """Jumps, knots and schedules of temperature, friction and mass: the ledger still closes."""
    bath = tj.Bath(tj.Linear(1.0, 1.5, 2.0), tj.Linear(1.0, 3.0, 2.0), tj.Linear(1.0, 2.0, 2.0))
    protocol = tj.PiecewiseLinear([1.4, 1.1, 1.9, 1.7], 2.0, 1.0, 2.0)
    well = tj.Harmonic(1.0, jnp.zeros(1), control="stiffness")
    found = tj.moments(tj.Underdamped(well, protocol, bath), 7).ledger
    balanced(found, 1.0, 1.0 + 0.25 * found.times)


def test_linear_drive_and_its_housekeeping_heat():
    """A swirl f = w (-y, x) in a round well: <x^2> = kT/k, dQ/dt = 2 w^2 kT / (k gamma)."""
    k, w, gamma = 2.0, 0.7, 1.5
    swirl = lambda x, c: w * jnp.array([-x[1], x[0]])
    system = tj.Overdamped(
        tj.Harmonic(k, jnp.zeros(2)), tj.Constant(0.0, 3.0), tj.Bath(friction=gamma), drive=swirl
    )
    found = tj.moments(system, [0.0, 3.0])
    np.testing.assert_allclose(found.covariance[1], jnp.eye(2) / k, atol=1e-11)
    assert found.ledger.heat[1] == pytest.approx(3.0 * 2 * w**2 / (k * gamma), abs=1e-9)
    assert found.ledger.work[1] == pytest.approx(float(found.ledger.heat[1]), abs=1e-9)


@pytest.mark.slow
def test_gradient():
    def work(values):
        protocol = tj.PiecewiseLinear(values, 1.0, 1.0, 2.0)
        well = tj.Harmonic(1.0, jnp.zeros(1), control="stiffness")
        return tj.moments(tj.Overdamped(well, protocol, tj.Bath()), jnp.ones(1)).ledger.work[0]

    at, step = jnp.array([1.2, 1.4, 1.7]), 1e-4
    work = jax.jit(work)
    gradient = jax.grad(work)(at)
    finite = [(work(at + step * e) - work(at - step * e)) / (2 * step) for e in jnp.eye(3)]
    np.testing.assert_allclose(gradient, jnp.stack(finite), atol=1e-6)


class Quartic(tj.AbstractPotential):
    def energy(self, x, control):
        return jnp.sum(x**4)

    def template(self, control):
        return jnp.zeros(1)


def test_refusals():
    ramp = tj.Linear(1.0, 2.0, 1.0)
    well = tj.Harmonic(1.0, jnp.zeros(2), control="stiffness")
    good = tj.Overdamped(well, ramp, tj.Bath())
    with pytest.raises(ValueError, match="Quartic is not quadratic"):
        tj.moments(good.replace(potential=Quartic()), 3)
    with pytest.raises(ValueError, match="times run from 0 to 2: expected 0 to 1"):
        tj.moments(good, [0.0, 2.0])
    with pytest.raises(ValueError, match="must not decrease"):
        tj.moments(good, [1.0, 0.0])
    with pytest.raises(ValueError, match="nothing says what a position"):
        tj.moments(good.replace(potential=tj.Harmonic(1.0, control="stiffness")), 3)
    with pytest.raises(ValueError, match="has no equilibrium at the protocol's start"):
        tj.moments(good.replace(protocol=tj.Linear(-1.0, 2.0, 1.0)), 3)
    with pytest.raises(ValueError, match=r"expected \(2,\) and \(2, 2\)"):
        tj.moments(good, 3, (jnp.zeros(3), jnp.eye(3)))
    with pytest.raises(ValueError, match="eigenvalue -1"):
        tj.moments(good, 3, (jnp.zeros(2), -jnp.eye(2)))
    with pytest.raises(ValueError, match="not symmetric"):
        tj.moments(good, 3, (jnp.zeros(2), jnp.array([[1.0, 1.0], [0.0, 1.0]])))
    with pytest.raises(ValueError, match="initial covariance is not finite"):
        tj.moments(good, 3, (jnp.zeros(2), jnp.full((2, 2), jnp.nan)))
    with pytest.raises(ValueError, match="drive is not linear"):
        tj.moments(good.replace(drive=lambda x, c: x**2), 3)
    with pytest.raises(ValueError, match="temperature changes in time"):
        tj.log_work_moment(good.replace(bath=tj.Bath(temperature=tj.Linear(1.0, 2.0, 1.0))))
    with pytest.raises(ValueError, match="no drive and no kicks"):
        tj.log_work_moment(good.replace(drive=lambda x, c: x))


def test_a_number_of_times_in_single_precision():
    """The times have the precision of the system where doubles are on, as its moments do."""
    single = lambda x: jnp.asarray(x, jnp.float32)
    bath = tj.Bath(single(1.0), single(1.0), single(1.0))
    ramp = tj.Linear(single(1.0), single(2.0), single(1.0))
    trap = tj.Overdamped(tj.Harmonic(control="stiffness", center=single([0.0])), ramp, bath)
    found = tj.moments(trap, 3)
    assert found.covariance.dtype == found.ledger.times.dtype == jnp.float32
    double = tj.Overdamped(
        tj.Harmonic(control="stiffness", center=jnp.zeros(1)), tj.Linear(1.0, 2.0, 1.0), tj.Bath()
    )
    np.testing.assert_allclose(
        found.covariance, tj.moments(double, 3).covariance, rtol=1e-5, atol=1e-6
    )
