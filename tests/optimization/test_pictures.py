"""In the exact pictures training reaches the optima of REFERENCE, sections 1, 2 and 4, to digits.

Rows of one table share their shapes and their optimizer, and so one compiled program.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from tests.distribution.test_fokker_planck import Biased, Crossing

LBFGS = optax.lbfgs()
POINT = tj.Equilibrium(jnp.zeros(1))


def trained(system, objective=None, picture=None, tolerance=1e-6, steps=150, **options):
    fit = tj.optimize(
        system,
        objective or tj.MeanWork(),
        LBFGS,
        steps=steps,
        picture=picture or tj.ExactMoments(),
        tolerance=tolerance,
        initial=POINT,
        **options,
    )
    assert fit.value.error == 0 and "below" in fit.stopped, fit.stopped
    return fit


def trap(a, tau, k, friction, knots=4):
    protocol = tj.PiecewiseLinear.between(0.0, float(a), tau, knots=knots)
    bath = tj.Bath(friction=friction)
    return tj.Overdamped(tj.Harmonic(float(k), control="center"), protocol, bath)


def stiffness(start, end, tau, knots=16):
    protocol = tj.PiecewiseLinear.between(float(start), float(end), tau, knots=knots)
    return tj.Overdamped(tj.Harmonic(control="stiffness"), protocol, tj.Bath())


def squeezed(start, end, tau, friction, knots=12):
    protocol = tj.PiecewiseLinear.between(
        float(start), float(end), float(tau), knots=knots, kicks=jnp.zeros(2)
    )
    bath = tj.Bath(friction=float(friction))
    return tj.Underdamped(tj.Harmonic(control="stiffness"), protocol, bath)


@pytest.mark.slow
def test_moving_trap():
    """All rows: the optimum is linear between two equal jumps, so any knots hold it exactly."""
    for a, tau, k, friction in ((5, 1, 1, 1), (1, 0.1, 1, 1), (2, 0.5, 3, 0.7)):
        fit = trained(trap(a, float(tau), k, float(friction)), tolerance=1e-8)
        lag = tau + 2 * friction / k
        np.testing.assert_allclose(fit.value.value, friction * a**2 / lag, rtol=1e-8)
        values = fit.system.protocol.values  # pyright: ignore[reportAttributeAccessIssue]
        np.testing.assert_allclose([values[0], a - values[-1]], a * friction / k / lag, rtol=1e-4)


@pytest.mark.slow
def test_stiffness():
    """All overdamped rows with a free end: the work and both jumps."""
    rows = (
        (1, 2, 1.0, 0.40291836, 1.190983, 1.763932),
        (1, 2, 0.1, 0.47828911, 1.433927, 1.546390),
        (1, 10, 1.0, 1.57384834, 1.616204, 8.394449),
        (2, 1, 1.0, -0.30257540, 1.784750, 1.177124),
    )
    for start, end, tau, work, first, last in rows:
        fit = trained(stiffness(start, end, tau))
        np.testing.assert_allclose(fit.value.value, work, rtol=1e-5)
        values = fit.system.protocol.values  # pyright: ignore[reportAttributeAccessIssue]
        np.testing.assert_allclose([values[0], values[-1]], [first, last], rtol=6e-3)


@pytest.mark.slow
def test_stiffness_with_a_fixed_end():
    """A large weight on the final moments fixes them, and the work is that of W2 transport."""
    rows = (
        (1, 2, 1.0, 0.432360),
        (1, 2, 0.1, 1.204438),
        (1, 10, 1.0, 1.618837),
        (2, 1, 1.0, -0.260787),
    )
    for start, end, tau, work in rows:
        fixed = tj.MeanWork() + 1e4 * tj.TerminalError((0.0, 1 / end))
        fit = trained(stiffness(start, end, tau), fixed, tolerance=1e-4, steps=300)
        law = tj.moments(fit.system, 2, POINT, time_steps=400)
        np.testing.assert_allclose(law.ledger.work[-1], work, rtol=2e-3)
        np.testing.assert_allclose(law.covariance[-1, 0, 0], 1 / end, rtol=1e-3)


@pytest.mark.slow
def test_underdamped_stiffness_with_kicks():
    rows = (
        (1, 2, 1, 1, 0.4236068),
        (1, 2, 10, 1, 0.3642686),
        (2, 1, 1, 1, -0.2876502),
        (1, 2, 1, 0.1, 0.4143951),
        (1, 2, 1, 10, 0.4784752),
    )
    for start, end, tau, friction, work in rows:
        fit = trained(squeezed(start, end, tau, friction), tolerance=1e-5)
        np.testing.assert_allclose(fit.value.value, work, rtol=5e-3)


@pytest.mark.slow
def test_pulses_take_the_place_of_kicks_as_the_bound_on_the_stiffness_is_lifted():
    """Without kicks, and bounded: a short strong pulse at each end, and the work goes to W*.

    W* is that of REFERENCE with kicks. 128 pieces cannot be shorter than tau/128, which leaves some
    1e-4 kT. (At tau = 10, or a friction of 10, a bound of 8 is no bound any more.)
    """
    rows = ((1, 2, 1, 1, 0.4236068), (2, 1, 1, 1, -0.2876502), (1, 2, 1, 0.1, 0.4143951))
    for start, end, tau, friction, work in rows:
        excess = []
        for lower, upper in ((1.0, 2.0), (-8.0, 8.0), (-32.0, 32.0)):
            ends = (float(start), float(end))
            protocol = tj.PiecewiseConstant.between(
                *ends, float(tau), knots=128, lower=lower, upper=upper
            )
            system = squeezed(start, end, tau, friction).replace(protocol=protocol)
            fit = without_kicks(system)
            values = fit.system.protocol.values  # pyright: ignore[reportAttributeAccessIssue]
            assert jnp.all((values >= lower) & (values <= upper))
            excess.append(float(fit.value.value) - work)
        assert excess[0] > excess[1] > 0.999 * excess[2] > 0, (start, end, tau, friction, excess)
        assert excess[2] < 1e-3 * abs(work) and excess[2] < 0.2 * excess[0], excess


@pytest.mark.slow
def test_pulses_take_the_place_of_kicks_as_the_bound_on_the_center_is_lifted():
    """The same for the dragged trap, whose optimum with kicks is 1/3."""
    excess = []
    for reach in (0.0, 1.0, 4.0, 16.0):
        protocol = tj.PiecewiseConstant.between(
            0.0, 1.0, 1.0, knots=128, lower=-reach, upper=1 + reach
        )
        system = tj.Underdamped(tj.Harmonic(control="center"), protocol, tj.Bath())
        excess.append(float(without_kicks(system).value.value) - 1 / 3)
    assert np.all(np.diff(excess) < 0) and excess[-1] > 0
    assert excess[-1] < 0.1 * excess[0] and excess[-1] < 5e-3 / 3, excess


def without_kicks(system) -> tj.Fit:
    """At most 120 steps: where bounds hold many pieces, L-BFGS ends slowly."""
    fit = tj.optimize(
        system,
        tj.MeanWork(),
        LBFGS,
        steps=120,
        picture=tj.ExactMoments(),
        tolerance=1e-6,
        initial=POINT,
    )
    assert fit.value.error == 0
    return fit


@pytest.mark.slow
def test_the_mass_does_not_matter_with_kicks():
    """Kicks of +-a / (tau + 2 gamma / k) in the velocity: the work is the overdamped optimum."""
    for mass in (0.3, 3.0):
        protocol = tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=4, kicks=jnp.zeros(2))
        system = tj.Underdamped(tj.Harmonic(control="center"), protocol, tj.Bath(mass=mass))
        fit = trained(system, tolerance=1e-8)
        np.testing.assert_allclose(fit.value.value, 1 / 3, rtol=1e-8)
        # A kick is -kappa grad_x dU/dc = kappa k: it must be m times the velocity 1/3.
        kicks = fit.system.protocol.impulses()
        assert kicks is not None
        np.testing.assert_allclose(kicks, [mass / 3, -mass / 3], rtol=1e-4)


@pytest.mark.slow
def test_wells_on_the_grid():
    """The biased double well at two depths, then barrier crossing, scored on a finer grid."""
    cases = [(Biased(2.0), 1.0, 2.9499), (Biased(4.0), 1.0, 5.752), (Crossing(), 0.44, 7.5131)]
    for potential, tau, work in cases:
        protocol = tj.PiecewiseLinear.between(-1.0, 1.0, tau, knots=13)
        system = tj.Overdamped(potential, protocol, tj.Bath())
        coarse = tj.FokkerPlanck(-3.0, 3.0, 200)
        fit = trained(system, picture=coarse, time_steps=96, tolerance=1e-4)
        fine = tj.FokkerPlanck(-3.0, 3.0, 400).solve(fit.system, 2, time_steps=384)  # pyright: ignore[reportArgumentType]
        np.testing.assert_allclose(fine.ledger.work[-1], work, rtol=1e-3)


@pytest.mark.slow
def test_bounds_hold_under_a_line_search():
    """Bounds that cut the optimum off: values end on them, and the rest at its own optimum."""
    free = stiffness(1, 2, 1.0, knots=4)
    values = [1.3, 1.4, 1.5, 1.6]
    protocol = tj.PiecewiseLinear(values, 1.0, 1.0, 2.0, lower=1.3, upper=1.6)
    fit = trained(free.replace(protocol=protocol), tolerance=1e-7)
    found = fit.system.protocol.values  # pyright: ignore[reportAttributeAccessIssue]
    assert jnp.all((found >= 1.3) & (found <= 1.6)) and found[0] == 1.3 and found[-1] == 1.6

    def work(values):
        moved = tj.PiecewiseLinear(values, 1.0, 1.0, 2.0)
        return tj.moments(free.replace(protocol=moved), 2, POINT, time_steps=200).ledger.work[-1]

    slope = jax.jit(jax.grad(work))(found)
    assert slope[0] > 1e-4 and slope[-1] < -1e-4  # the bounds hold it
    np.testing.assert_allclose(slope[1:-1], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(picture=tj.ExactMoments(), batch=8), "has a law and no paths"),
        (dict(picture=3), "picture is a int"),
        (dict(picture=tj.FokkerPlanck(-3.0, 3.0)), "exactly one"),
        (dict(dt=0.1, batch=8), "typed key"),
        (dict(picture=tj.ExactMoments(), potential=tj.DoubleWell()), "not quadratic"),
    ],
)
def test_pictures_refuse_in_words(options, words):
    system = stiffness(1, 2, 1.0)
    system = system.replace(potential=options.pop("potential", system.potential))
    with pytest.raises(ValueError, match=words):
        tj.optimize(system, tj.MeanWork(), LBFGS, steps=1, initial=POINT, **options)


@pytest.mark.slow
def test_moments_in_fixed_steps_are_those_of_adaptive_ones():
    """Of fourth order across the breaks of the control, its jumps, and kicks."""
    protocol = tj.PiecewiseConstant([1.2, 1.5, 1.9], 1.0, 1.0, 2.0, kicks=[0.1, -0.2])
    system = tj.Underdamped(tj.Harmonic(control="stiffness"), protocol, tj.Bath())
    exact = tj.moments(system, 2, POINT)
    errors = []
    for steps in (30, 60):
        found = tj.moments(system, 2, POINT, time_steps=steps)
        errors.append(abs(found.ledger.work[-1] - exact.ledger.work[-1]))
        np.testing.assert_allclose(found.covariance, exact.covariance, atol=1e-5)
    assert errors[1] < errors[0] / 10 < 1e-6
    energy = found.ledger.energy[0] - found.ledger.work[0]
    closed = energy + found.ledger.work[-1] - found.ledger.heat[-1]
    np.testing.assert_allclose(closed, found.ledger.energy[-1], rtol=1e-8)
