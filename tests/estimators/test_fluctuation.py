"""Fluctuation theorems on works whose distributions are known, right and wrong ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from thermojax.estimate import Estimate
from thermojax.estimators import fluctuation

SHIFT = 1.5  # beta Delta F
FORWARD, REVERSE = 20_000, 10_000  # one size for most tests: each is compiled once


def gaussian_works(seed, forward, reverse, dissipation=1.0):
    """N(dF + d, 2 d) and N(-dF + d, 2 d): Crooks holds exactly."""
    rng = np.random.default_rng(seed)
    width = np.sqrt(2 * dissipation)
    return (
        SHIFT + dissipation + width * rng.standard_normal(forward),
        -SHIFT + dissipation + width * rng.standard_normal(reverse),
    )


def gamma_works(seed, forward, reverse, shape=2.0, scale=1.5):
    """W ~ Gamma(k, s) times exp(-W) is Gamma(k, s/(1 + s)), and dF = k ln(1 + s)."""
    rng = np.random.default_rng(seed)
    return (
        rng.gamma(shape, scale, forward),
        -rng.gamma(shape, scale / (1 + scale), reverse),
        shape * np.log1p(scale),
    )


def test_gaussian_works_obey_all_three():
    """4.5 standard errors, fixed seed; the errors themselves are tested below."""
    f, r = gaussian_works(0, FORWARD, REVERSE)
    crooks = fluctuation.crooks(f, r)
    assert abs(float(crooks.z)) < 4.5 and 0.005 < float(crooks.slope.error) < 0.02
    assert abs(float(crooks.crossing.value) - SHIFT) < 4.5 * float(crooks.crossing.error)
    assert float(crooks.crossing.error) < 0.02
    integral = fluctuation.integral(-f, -SHIFT)
    # Var exp(-W) / <exp(-W)>^2 = exp(2 d) - 1 for variance 2 d
    assert float(integral.average.error) == pytest.approx(np.sqrt(np.expm1(2) / FORWARD), rel=0.1)
    assert abs(float(integral.z)) < 4.5
    assert float(integral.effective_samples) == pytest.approx(FORWARD * np.exp(-2), rel=0.1)
    detailed = fluctuation.detailed(f, r)
    assert float(detailed.p_value) > 1e-4 and detailed.degrees == 19
    assert abs(float(detailed.free_energy.value) - SHIFT) < 4.5 * float(detailed.free_energy.error)
    assert np.max(np.abs(detailed.z)) < 4.5
    # In narrow bins the expected log-ratio is W - dF at the mean work of the bin.
    inner = slice(3, -3)
    expected = np.asarray(detailed.work - detailed.free_energy.value)
    np.testing.assert_allclose(detailed.expected[inner], expected[inner], atol=0.01)
    pull = (detailed.log_ratio.value - detailed.expected) / detailed.log_ratio.error
    assert np.max(np.abs(pull)) < 4.5


def test_skewed_works_obey_all_three():
    f, r, shift = gamma_works(1, FORWARD, REVERSE)
    crooks = fluctuation.crooks(f, r)
    assert abs(float(crooks.z)) < 4.5
    assert abs(float(crooks.crossing.value) - shift) < 4.5 * float(crooks.crossing.error)
    assert abs(float(fluctuation.integral(-f, -shift).z)) < 4.5
    known, fitted = fluctuation.detailed(f, r, log_ratio=-shift), fluctuation.detailed(f, r)
    assert float(known.p_value) > 1e-4 and float(fitted.p_value) > 1e-4
    assert known.degrees == fitted.degrees + 1
    assert float(known.free_energy.value) == pytest.approx(shift) and not known.free_energy.error


def test_slope_and_crossing_are_the_maximum_of_the_likelihood():
    f, r = gaussian_works(2, 300, 700)
    w, labels = np.concatenate([f, -r]), np.repeat([1.0, -1.0], [300, 700])

    def cost(theta):
        chance = np.log(3 / 7) + theta[0] * (w - theta[1])
        return np.sum(np.logaddexp(0, -labels * chance))

    wanted = scipy.optimize.minimize(cost, [1.0, 1.0], tol=1e-12, method="Nelder-Mead").x
    found = fluctuation.crooks(f, r)
    got = [float(found.slope.value), float(found.crossing.value)]
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_errors_and_p_values_are_right():
    """400 repetitions: z has deviation 1 (error 1/sqrt(800)), p-values are uniform."""
    f, r = (w.reshape(400, -1) for w in gaussian_works(3, 400 * 1000, 400 * 600))
    found = jax.jit(jax.vmap(fluctuation.crooks))(f, r)
    pull = np.asarray((found.crossing.value - SHIFT) / found.crossing.error)
    for z in (np.asarray(found.z), pull):
        assert abs(np.mean(z)) < 4.5 / 20 + 0.05 and abs(np.std(z) - 1) < 4.5 / np.sqrt(800) + 0.02
    assert scipy.stats.kstest(found.p_value, "uniform").pvalue > 1e-4
    some = range(60)
    for given in (None, -SHIFT):
        p = [float(fluctuation.detailed(f[i], r[i], bins=8, log_ratio=given).p_value) for i in some]
        assert scipy.stats.kstest(p, "uniform").pvalue > 1e-4


def test_the_wrong_temperature_is_rejected():
    """Works in units of another kT have a slope of 1/1.2."""
    f, r = gaussian_works(4, FORWARD, REVERSE)
    crooks = fluctuation.crooks(1.2 * f, 1.2 * r)
    assert float(crooks.slope.value) == pytest.approx(1 / 1.2, abs=0.05)
    assert float(crooks.p_value) < 1e-6 and "VIOLATED" in str(crooks)
    detailed = fluctuation.detailed(1.2 * f, 1.2 * r)
    assert float(detailed.p_value) < 1e-6 and "VIOLATED" in str(detailed)


def test_a_wrong_free_energy_is_rejected():
    f, r = gaussian_works(5, FORWARD, REVERSE)
    assert float(fluctuation.integral(-f, 0.2 - SHIFT).p_value) < 1e-6
    assert float(fluctuation.detailed(f, r, log_ratio=0.2 - SHIFT).p_value) < 1e-6
    unsure = fluctuation.integral(-f, Estimate(0.2 - SHIFT, 0.2, 100))
    assert float(unsure.p_value) > 0.1


def test_integral_in_extremes():
    still = fluctuation.integral(jnp.full(20, -2e3), -2e3)
    assert float(still.average.value) == 1 and float(still.p_value) == 1
    far = fluctuation.integral(jnp.full(20, 2e3) + jnp.arange(20.0) / 20, 0.0)
    assert float(far.p_value) < 1e-9 and np.isfinite(float(far.z))
    with_bad = jnp.concatenate([jnp.zeros(20), jnp.array([jnp.nan, jnp.inf])])
    kept = jax.jit(fluctuation.integral)(with_bad, 0.0, jnp.isfinite(with_bad))
    assert float(kept.average.value) == 1 and int(kept.average.count) == 20
    few = fluctuation.integral(-gaussian_works(6, FORWARD, 10, dissipation=10.0)[0], -SHIFT)
    assert "effective paths" in str(few)


def test_a_large_free_energy_does_not_matter():
    """Works about 1e4 in float32, whose neighbors there are 1e-3 apart, as those about 0."""
    f, r = gaussian_works(9, FORWARD, REVERSE)
    wanted = fluctuation.crooks(f, r), fluctuation.detailed(f, r)
    f, r = (jnp.asarray(x, jnp.float32) for x in (f + 1e4, r - 1e4))
    crooks, detailed = fluctuation.crooks(f, r), fluctuation.detailed(f, r)
    assert float(crooks.slope.value) == pytest.approx(float(wanted[0].slope.value), abs=2e-3)
    assert float(detailed.chi_square) == pytest.approx(float(wanted[1].chi_square), abs=0.5)
    level = float(detailed.free_energy.value) - 1e4
    assert level == pytest.approx(float(wanted[1].free_energy.value), abs=2e-3)
    np.testing.assert_allclose(detailed.work - 1e4, wanted[1].work, atol=0.05)


def test_sentences():
    f, r = gaussian_works(7, FORWARD, REVERSE)
    assert "expected 1: holds (p = " in str(fluctuation.integral(-f, -SHIFT))
    assert str(fluctuation.crooks(f, r)).startswith("Crooks slope ")
    assert "degrees of freedom, holds" in str(fluctuation.detailed(f, r))
    for found in (fluctuation.integral(-f, -SHIFT), fluctuation.crooks(f, r)):
        assert "p_value=0." in repr(found) and "f64" not in repr(found)
    heard = []
    jax.jit(lambda f, r: heard.append(str(fluctuation.crooks(f, r))))(f, r)
    assert "p_value=f64[]" in heard[0]


def test_refusals():
    f, r = gaussian_works(8, 100, 100)
    for check in (fluctuation.crooks, fluctuation.detailed):
        with pytest.raises(ValueError, match=r"reverse has shape \(3,\): expected .* 10 paths"):
            check(f, r[:3])
        with pytest.raises(ValueError, match="forward holds 1 values that are not finite"):
            check(np.append(f, np.nan), r)
        with pytest.raises(ValueError, match="second law forbids"):
            check(-f - 5, -r)
        with pytest.raises(ValueError, match="overlap"):
            check(f + 50, r + 50)
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(fluctuation.detailed)(f, r)
    with pytest.raises(ValueError, match="bins = 1"):
        fluctuation.detailed(f, r, bins=1)
    with pytest.raises(ValueError, match="log_weight holds 1 values"):
        fluctuation.integral(np.append(f, np.inf), 0.0)
    with pytest.raises(ValueError, match=r"log_weight has shape \(2, 50\)"):
        fluctuation.integral(f.reshape(2, 50), 0.0)
