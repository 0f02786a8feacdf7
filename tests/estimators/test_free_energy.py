"""Free energies against closed forms: Jarzynski, Bennett, thermodynamic integration."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.estimators.exponential import exponential_average
from thermojax.estimators.free_energy import (
    bar,
    bennett,
    jarzynski,
    thermodynamic_integration,
)


def test_gaussian_work():
    """W ~ N(mu, s^2) has ln <exp(-W)> = -mu + s^2/2 and var(w)/mean(w)^2 = exp(s^2) - 1."""
    n, mu, s = 200_000, 60.0, 0.8
    found = jarzynski(-(mu + s * jax.random.normal(jax.random.key(0), (n,))))
    error = np.sqrt(np.expm1(s**2) / n)
    assert float(found.log_ratio.error) == pytest.approx(error, rel=0.05)
    assert abs(float(found.log_ratio.value) - (-mu + s**2 / 2)) < 4 * error
    assert float(found.effective_samples) == pytest.approx(n * np.exp(-(s**2)), rel=0.05)
    assert float(found.difference(2.0).value) == pytest.approx(2 * (mu - s**2 / 2), abs=8 * error)
    assert float(found.bias) == pytest.approx(error**2 / 2, rel=0.1)


def test_equal_weights_and_extremes():
    found = jarzynski(jnp.full(10, -3e4))
    assert float(found.log_ratio.value) == -3e4 and float(found.log_ratio.error) == 0
    assert float(found.effective_samples) == 10
    one = exponential_average(jnp.array([0.0, -1e5, -1e5, -1e5]))
    assert float(one.effective_samples) == 1
    assert float(one.log_ratio.error) == pytest.approx(1.0)  # one path carries everything


def test_paths_left_out():
    log_weight = jnp.array([1.0, jnp.nan, 2.0, jnp.inf])
    found = jarzynski(log_weight, jnp.array([1.0, 0.0, 1.0, 0.0]))
    wanted = jarzynski(jnp.array([1.0, 2.0]))
    assert float(found.log_ratio.value) == pytest.approx(float(wanted.log_ratio.value))
    assert float(found.log_ratio.error) == pytest.approx(float(wanted.log_ratio.error))
    assert int(found.log_ratio.count) == 2


def test_refusals():
    with pytest.raises(ValueError, match=r"shape \(2, 2\): expected \(paths,\)"):
        jarzynski(jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="fewer than two"):
        jarzynski(jnp.zeros(3), jnp.array([1.0, 0.0, 0.0]))
    wrong: Any
    for wrong, words in (
        (None, "log_weight = None: expected real numbers"),
        ("work", "log_weight = 'work': expected real numbers"),
        (jnp.ones(3) * 1j, "log_weight has dtype complex"),
        (jnp.ones(()), "shape \\(\\): expected"),
    ):
        with pytest.raises(ValueError, match=words):
            jarzynski(wrong)
    with pytest.raises(ValueError, match=r"alive has shape \(2,\): expected \(3,\)"):
        jarzynski(jnp.zeros(3), jnp.ones(2))
    with pytest.raises(ValueError, match=r"alive = .*expected 1 or 0"):
        jarzynski(jnp.zeros(3), jnp.array([1.0, 1.0, jnp.nan]))
    with pytest.raises(ValueError, match=r"temperature = -1.0: expected a positive"):
        jarzynski(jnp.zeros(3)).difference(-1.0)
    with pytest.raises(ValueError, match="system is a float"):
        jarzynski(jnp.zeros(3), system=1.0)  # pyright: ignore[reportArgumentType]  # refused


def gaussian_works(key, n, dissipated, difference=0.7):
    """Forward and reverse log weights that obey Crooks: W ~ N(dF + w, 2 w) and N(-dF + w, 2 w)."""
    a, b = jax.random.normal(key, (2, n)) * jnp.sqrt(2 * dissipated)
    return -(difference + dissipated + a), -(-difference + dissipated + b)


def test_bar_on_gaussian_works():
    """Over 400 repetitions: no bias beyond its error, and the stated error is the spread."""
    keys = jax.random.split(jax.random.key(1), 400)
    runs = [bar(*gaussian_works(key, 300, 2.0)) for key in keys[:3]]
    assert all(abs(float(run.log_ratio.value) + 0.7) < 5 * run.log_ratio.error for run in runs)
    found = jax.jit(jax.vmap(lambda key: bar(*gaussian_works(key, 300, 2.0)).log_ratio))(keys)
    spread = float(jnp.std(found.value))
    assert abs(float(jnp.mean(found.value)) + 0.7) < 4 * spread / 20
    # The spread of 400 is known to 1/sqrt(800) = 3.5 %.
    assert float(jnp.mean(found.error)) == pytest.approx(spread, rel=0.15)


def test_bar_of_unequal_numbers_solves_its_equation():
    a, _ = gaussian_works(jax.random.key(2), 500, 1.0)
    _, b = gaussian_works(jax.random.key(3), 80, 1.0)
    root, shift = bar(a, b).log_ratio.value, np.log(500 / 80)
    left = jnp.sum(1 / (1 + jnp.exp(-(a - root - shift))))
    right = jnp.sum(1 / (1 + jnp.exp(-(b + root + shift))))
    assert float(left) == pytest.approx(float(right), rel=1e-9)


def test_bar_refuses_what_is_not_one_process():
    a, b = gaussian_works(jax.random.key(4), 5000, 2.0)
    with pytest.raises(ValueError, match="against the second law"):
        bar(-a, -b)
    with pytest.raises(ValueError, match="not one process in its two directions"):
        bar(a, a)  # the forward works twice
    with pytest.raises(ValueError, match="not finite on 1 paths"):
        bar(a.at[3].set(jnp.nan), b)
    with pytest.raises(ValueError, match=r"reverse has shape \(2, 2\)"):
        bar(a, jnp.zeros((2, 2)))
    with pytest.warns(UserWarning, match="dominated by few paths"):
        bar(*gaussian_works(jax.random.key(5), 200, 10.0))
    with pytest.warns(UserWarning, match="do not overlap"):
        assert np.isinf(bar(*gaussian_works(jax.random.key(5), 200, 40.0)).log_ratio.error)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("mean", "width"), [(-200, 3), (-128, 16)])
def test_bar_without_overlap(mean, width, dtype):
    """By symmetry the truth is 0, of which the root in logarithms is within the width of a tail.

    f = e^(a - l) and g = e^(b + l) far from overlap: l = (ln sum e^a - ln sum e^b) / 2, and the
    sums are those of their largest terms, which vary by no more than the width.
    """
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.normal(mean, width, 500), dtype) for _ in range(2))
    with pytest.warns(UserWarning, match="do not overlap"):
        found = bar(a, b)
    wanted = (np.logaddexp.reduce(np.float64(a)) - np.logaddexp.reduce(np.float64(b))) / 2
    assert float(found.log_ratio.value) == pytest.approx(wanted, abs=1e-3)
    assert abs(wanted) < width and np.isinf(found.log_ratio.error)
    assert float(found.effective_samples) == 0
    both = jax.jit(lambda a, b: bar(a, b).log_ratio)(a, b)  # silent while tracing
    assert np.isinf(both.error)


def test_bar_and_jarzynski_say_when_their_value_is_rounded():
    """An offset of 1e7 in float32, where neighbors are 1 apart: the error is not below 1/2."""
    a, b = gaussian_works(jax.random.key(8), 4000, 0.1)
    a, b = (jnp.asarray(x, jnp.float32) for x in (a + 1e7, b - 1e7))
    for estimate in (lambda: bar(a, b), lambda: jarzynski(a)):
        with pytest.warns(UserWarning, match="so large that its rounding in float32"):
            found = estimate()
        assert 0.5 <= float(found.log_ratio.error) < 1
        assert abs(float(found.log_ratio.value) - (1e7 - 0.7)) < 2 * float(found.log_ratio.error)


def test_too_few_paths_have_no_error():
    one = jnp.array([1.0, 0.0, 0.0])
    assert np.isnan(jax.jit(exponential_average)(jnp.zeros(3), one).log_ratio.error)
    for weights in (jnp.zeros(3), jnp.array([0.3, 1.0, 2.0])):
        found = jax.jit(bennett)(weights, -weights, one, one)
        assert not np.isfinite(found.log_ratio.error)


def test_printed_with_numbers():
    found = jarzynski(jnp.array([0.0, 0.5, 1.0, 0.5]))
    assert repr(found).startswith("FreeEnergy(log_ratio=0.6 ± 0.2, ")
    assert "bias=0." in str(found) and "f64" not in str({"one": found, "log": found.log_ratio})
    shapes = []
    jax.jit(lambda w: shapes.append(repr(exponential_average(w))))(jnp.zeros(4))
    assert "f64[]" in shapes[0]


def test_the_exponential_average_says_when_it_means_nothing():
    with pytest.warns(UserWarning, match="dominated by few paths"):
        jarzynski(gaussian_works(jax.random.key(6), 1000, 20.0)[0])


def ramp(tau):
    """REFERENCE R4: the determinant of [[3, 2], [2, 4]] by work."""
    stiff = tj.Harmonic(jnp.array([[3.0, 2.0], [2.0, 4.0]]))
    return tj.Overdamped(
        tj.Interpolation(stiff, tj.Harmonic(jnp.eye(2))), tj.Linear(0.0, 1.0, tau), tj.Bath()
    )


def test_infinite_variance_is_proven():
    """REFERENCE R4: <e^-W> has infinite variance for tau < 2.28077."""
    log_weight = gaussian_works(jax.random.key(7), 1000, 0.1)[0]
    with pytest.warns(UserWarning, match="variance of exp\\(-beta W\\) is infinite"):
        assert np.isinf(jarzynski(log_weight, system=ramp(2.0)).log_ratio.error)
    assert np.isfinite(jarzynski(log_weight, system=ramp(2.5)).log_ratio.error)


@pytest.mark.slow
def test_log_determinant_from_two_thousand_paths():
    """REFERENCE R3: ln det tridiag(.5, 2, .5), d = 8, by BAR at tau = 10 within 0.03."""
    d = 8
    stiff = 2.0 * np.eye(d) + 0.5 * (np.eye(d, k=1) + np.eye(d, k=-1))
    potential = tj.Interpolation(tj.Harmonic(stiff), tj.Harmonic(jnp.eye(d)))
    system = tj.Overdamped(potential, tj.Linear(0.0, 1.0, 10.0), tj.Bath())
    forward = tj.simulate(system, jax.random.key(8), dt=0.05, batch=1000)
    reverse = tj.simulate(tj.reverse(system), jax.random.key(9), dt=0.05, batch=1000)
    found = bar(forward, reverse)  # ln Z_1/Z_0 = ln det(A) / 2
    assert 2 * float(found.log_ratio.error) < 0.03
    assert 2 * float(found.log_ratio.value) == pytest.approx(5.064990302899, abs=0.03)


def test_thermodynamic_integration():
    """ln sqrt(4) between two stiffnesses, and the evidence of REFERENCE R5 by burn-in."""
    well = tj.Harmonic(1.0, jnp.zeros(1), control="stiffness")
    system = tj.Overdamped(well, tj.Linear(4.0, 1.0, 1.0), tj.Bath())
    found = thermodynamic_integration(system, jax.random.key(10), batch=4000).log_ratio
    assert float(found.error) < 0.02
    assert abs(float(found.value) - np.log(2.0)) < 4 * float(found.error)
    with pytest.raises(ValueError, match="nodes = 2: expected a whole number of at least 4"):
        thermodynamic_integration(system, jax.random.key(10), batch=10, nodes=2)


@pytest.mark.slow
def test_the_evidence_of_r5_by_bar_over_repetitions():
    """REFERENCE R5 from 1e4 + 1e4 paths at tau = 10: spread at most .003, no bias beyond it."""
    prior = tj.Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 1.0]]))
    data = tj.Gaussian(jnp.array([1.0, -1.0]), jnp.array([[0.5, -0.2], [-0.2, 0.8]]))
    center = jnp.array([0.4597701149, -0.2873563218])
    width = jnp.array([[0.2816091954, 0.0114942529], [0.0114942529, 0.3678160920]])
    ramp = tj.Interpolation(prior, prior + data)
    system = tj.Overdamped(ramp, tj.Linear(0.0, 1.0, 10.0), tj.Bath())
    posterior = tj.Gaussian(center, width)
    values = []
    for i in range(16):
        key = jax.random.fold_in(jax.random.key(11), i)
        start = posterior.sample(jax.random.fold_in(key, 0), None, 1.0, 10_000, jnp.zeros(2))
        forward = tj.simulate(system, jax.random.fold_in(key, 1), dt=0.1, batch=10_000)
        back = tj.reverse(system)
        reverse = tj.simulate(back, jax.random.fold_in(key, 2), dt=0.1, initial=start)
        values.append(float(bar(forward, reverse).log_ratio.value))
    spread = np.std(values, ddof=1)
    assert spread < 0.003 * (1 + 2 / np.sqrt(2 * 15))  # the spread of 16 is known to 18 %
    assert abs(np.mean(values) + 3.064678613858) < 4 * spread / 4
