"""Starts: exact samplers, burn-in, and the gradient of the initial law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

import thermojax as tj
from thermojax.sampling.burn_in import burn_in

KEY = jax.random.key(8)


def test_burn_in_finds_both_wells_in_their_shares():
    """A tilted double well of barrier 4: P(x > 0), <x^2> and ln Z against quadrature."""
    well, tilt = tj.DoubleWell(4.0), 0.3
    energy = lambda x: well.energy(x, tilt)
    x, report = jax.jit(lambda k: burn_in(k, energy, jnp.zeros(1), 20_000))(KEY)
    weight = lambda x: np.exp(-4 * (x**2 - 1) ** 2 + tilt * x)
    z = integrate.quad(weight, -4, 4, epsabs=1e-12)[0]
    fraction = integrate.quad(weight, 0, 4, epsabs=1e-12)[0] / z
    square = integrate.quad(lambda x: x**2 * weight(x), -4, 4, epsabs=1e-12)[0] / z
    assert bool(report.converged)
    # resampled particles share ancestors: allow for a few times fewer independent samples
    assert abs(np.mean(np.asarray(x) > 0) - fraction) < 4.5 * np.sqrt(
        fraction * (1 - fraction) / 5000
    )
    assert abs(np.mean(np.asarray(x) ** 2) - square) < 4.5 * np.std(np.asarray(x) ** 2) / 70
    assert abs(report.log_normalizer - np.log(z)) < 0.05


@pytest.mark.slow
def test_burn_in_in_many_dimensions_and_far_from_the_guess():
    stiffness = jnp.linspace(1.0, 30.0, 12)
    energy = lambda x: 0.5 * jnp.sum(stiffness * (x - 3.0) ** 2)
    x, report = jax.jit(lambda k: burn_in(k, energy, jnp.zeros(12), 4000))(KEY)
    assert bool(report.converged)
    np.testing.assert_allclose(x.mean(0), 3.0, atol=0.1)
    np.testing.assert_allclose(x.var(0) * stiffness, 1.0, atol=0.15)
    exact = -0.5 * np.sum(np.log(np.asarray(stiffness) / (2 * np.pi)))
    assert abs(report.log_normalizer - exact) < 0.5


@pytest.mark.slow
def test_burn_in_of_widths_that_differ_by_a_thousand_states_its_normalizer():
    """Before, 4.8 to 9.7 for 9.19, without an error; eight keys against the error stated now."""
    stiffness = jnp.logspace(-3, 3, 10, dtype=jnp.float32)
    energy = lambda x: 0.5 * jnp.sum(stiffness * x**2)
    many = jax.jit(jax.vmap(lambda k: burn_in(k, energy, jnp.zeros(10, jnp.float32), 512)))
    x, report = many(jax.random.split(KEY, 8))
    exact = 5 * np.log(2 * np.pi) - 0.5 * np.sum(np.log(np.asarray(stiffness)))
    assert np.all(report.converged)
    off = (np.asarray(report.log_normalizer) - exact) / np.asarray(report.log_normalizer_error)
    assert np.max(np.abs(off)) < 4 and np.sqrt(np.mean(off**2)) < 2
    assert np.all(np.asarray(report.log_normalizer_error) < 0.2)
    np.testing.assert_allclose(jnp.var(x, axis=(0, 1)) * stiffness, 1.0, atol=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=str)
def test_burn_in_knows_no_unit_of_length_and_no_constant(dtype):
    """Before, widths below 2^-10 and above 2^10 were not tried; 1e9 made variances fourfold."""

    def drawn(length, constant):
        def energy(x):
            z = x / length
            return jnp.sum(0.5 * z**2 + 0.25 * z**4) + constant

        return burn_in(KEY, energy, jnp.zeros(2, dtype), 512)

    run = jax.jit(drawn)
    x, report = run(1.0, 0.0)
    assert bool(report.converged)
    for length in (1e-12, 1e12):
        y, other = run(length, 0.0)
        assert bool(other.converged)
        np.testing.assert_allclose(jnp.std(y / length, axis=0), jnp.std(x, axis=0), rtol=0.2)
        shifted = report.log_normalizer + 2 * np.log(length)
        assert abs(other.log_normalizer - shifted) < 5 * other.log_normalizer_error
    for constant in (1e3, 1e6, 1e9, -5e9):
        y, other = run(1.0, constant)
        said = dtype == jnp.float32 and abs(constant) > 1e5
        assert bool(other.converged) is not said
        if not said:
            np.testing.assert_allclose(jnp.std(y, axis=0), jnp.std(x, axis=0), rtol=0.2)
            rounding = 4 * abs(constant) * float(jnp.finfo(dtype).eps)
            shifted = report.log_normalizer - constant
            assert abs(other.log_normalizer - shifted) < 5 * other.log_normalizer_error + rounding


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["washboard", "one coordinate of two", "slow logarithm"])
def test_an_energy_without_bounds_is_no_equilibrium(kind):
    """Before, "converged" at |x| of 10,000 with a finite ln Z."""
    energy = {
        "washboard": lambda x: 2 * jnp.sum(jnp.cos(x)),
        "one coordinate of two": lambda x: 2 * jnp.cos(x[0]) + 0.5 * x[1] ** 2,
        "slow logarithm": lambda x: 0.4 * jnp.log1p(x[0] ** 2),
    }[kind]
    system = tj.Underdamped(tj.LogDensity(lambda x: -energy(x)), tj.Constant(), tj.Bath())
    template = jnp.zeros(2 if "two" in kind else 1)
    with pytest.warns(UserWarning, match="does not bound every coordinate"):
        tj.start(system, KEY, batch=8, initial=tj.Equilibrium(template))


def test_a_burn_in_that_fails_says_so():
    unbounded = tj.LogDensity(lambda x: 0.5 * jnp.sum(x**2))  # no equilibrium at all
    system = tj.Underdamped(unbounded, tj.Constant(0.0, 1e-6), tj.Bath())
    with pytest.warns(UserWarning, match="has not converged"):
        tj.simulate(system, KEY, time_steps=1, batch=8, initial=tj.Equilibrium(jnp.zeros(2)))


def test_one_bad_start_is_not_silently_a_point():
    system = tj.Underdamped(tj.DoubleWell(), tj.Constant(0.0, 1.0), tj.Bath())
    with pytest.raises(ValueError, match="nothing says what a position"):
        tj.simulate(system, KEY, dt=0.1, batch=8)


def stiffness_work(k):
    """<W> of switching a trap of stiffness k to stiffness 3 at once: (3 - k) / 2k."""
    return (3.0 - k) / (2 * k)


def quench(potential, initial):
    system = tj.Overdamped(potential, tj.PiecewiseLinear([1.0, 1.0], 0.01, 0.0, 1.0), tj.Bath())
    out = tj.simulate(system, KEY, time_steps=1, batch=60_000, initial=initial)
    return out.mean(out.ledger.work).value


@pytest.mark.slow
def test_gradient_carries_the_initial_law_along_exact_draws():
    """d<W>/dk of a quench from a trap of stiffness k: the start depends on k, and counts."""

    def work(k):
        line = tj.Interpolation(tj.Harmonic(k, jnp.zeros(1)), tj.Harmonic(3.0, jnp.zeros(1)))
        return quench(line, None)

    k = 1.5
    exact = (stiffness_work(k + 1e-4) - stiffness_work(k - 1e-4)) / 2e-4
    np.testing.assert_allclose(jax.grad(work)(k), exact, rtol=0.03)  # 4 standard errors
    numeric = (work(k + 1e-5) - work(k - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(work)(k), numeric, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["burn-in", "mixture"])
def test_gradient_carries_the_initial_law_by_score(kind):
    """The same quench where draws cannot be differentiated: burn-in, and a mixture."""

    if kind == "burn-in":

        class Start(tj.AbstractPotential):
            stiffness: float = 1.5

            def energy(self, x, control):
                k = self.stiffness + control * (3.0 - self.stiffness)
                return 0.5 * k * jnp.sum(x**2)

        def work(s):
            return quench(Start(s), tj.Equilibrium(jnp.zeros(1)))

        exact = (stiffness_work(1.5 + 1e-4) - stiffness_work(1.5 - 1e-4)) / 2e-4
        error = 0.03
    else:

        def work(s):  # variance s of two equal modes at +-1, then a trap of stiffness 3
            start = tj.GaussianMixture(jnp.array([[1.0], [-1.0]]), s)
            return quench(tj.Interpolation(start, tj.Harmonic(3.0, jnp.zeros(1))), None)

        def by_quadrature(s):
            bumps = lambda x: np.exp(-((x - 1) ** 2) / 2 / s) + np.exp(-((x + 1) ** 2) / 2 / s)
            p = lambda x: bumps(x) / (2 * np.sqrt(2 * np.pi * s))
            return integrate.quad(lambda x: p(x) * (1.5 * x**2 + np.log(p(x))), -12, 12)[0]

        exact = (by_quadrature(1.5 + 1e-3) - by_quadrature(1.5 - 1e-3)) / 2e-3
        error = 0.05
    slope = jax.grad(work)(jnp.asarray(1.5))
    assert abs(slope - exact) < error * max(1.0, abs(exact))


def test_given_states_and_results_are_starts():
    system = tj.Underdamped(tj.Harmonic(1.0, jnp.zeros(1)), tj.Constant(0.0, 1.0), tj.Bath())
    first = tj.simulate(system, KEY, dt=0.1, batch=5)
    again = tj.simulate(system, KEY, dt=0.1, initial=first)
    same = tj.simulate(system, KEY, dt=0.1, initial=first.state)
    np.testing.assert_array_equal(again.position, same.position)
    np.testing.assert_allclose(again.ledger.energy_start, first.ledger.energy)
