"""Circuits of posteriors: R5 and R11 of the reference values, power, ngspice."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

import thermojax as tj
from tests.circuits import ngspice

KEY = jax.random.key(0)
X = np.array([[-2.0], [-1.0], [0.5], [1.0], [2.0], [3.0]])
Y = np.array([0, 0, 1, 0, 1, 1])


def gaussian(sign=1.0, **how):
    return tj.circuits.GaussianPosterior(
        [0.0, 0.0], [[1.0, sign * 0.5], [sign * 0.5, 1.0]], [[0.5, -0.2], [-0.2, 0.8]], [1.0, -1.0],
        **how,
    )  # fmt: skip


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["in pairs", "plain"])
def test_currents_have_the_posterior_law(sign):
    circuit = gaussian(sign)
    mean, covariance = circuit.law()
    prior, likelihood = np.array([[1, sign * 0.5], [sign * 0.5, 1]]), [[0.5, -0.2], [-0.2, 0.8]]
    precision = np.linalg.inv(prior) + np.linalg.inv(likelihood)
    expected = np.linalg.inv(precision) @ np.linalg.inv(likelihood) @ [1.0, -1.0]
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    posterior = covariance - np.diag(circuit.excess)
    np.testing.assert_allclose(posterior, np.linalg.inv(precision), rtol=1e-9)
    assert 0 < float(np.max(circuit.excess)) < 1e-6
    if sign == 1.0:  # R5
        np.testing.assert_allclose(mean, [0.4597701149, -0.2873563218], rtol=1e-8)
        table = [[0.2816091954, 0.0114942529], [0.0114942529, 0.3678160920]]
        np.testing.assert_allclose(posterior, table, rtol=1e-8)
    assert circuit.circuit.dim == (4 if sign == 1.0 else 2)


def test_the_posterior_pays_for_sources_and_noise():
    circuit = gaussian()
    power = circuit.power()
    np.testing.assert_allclose(power.heat, power.source + power.injected, rtol=1e-10)
    loops, henry = circuit.circuit.dim, circuit.circuit.inductance[0, 0]
    np.testing.assert_allclose(
        power.injected, loops * circuit.circuit.noise[0] / (2 * henry), rtol=1e-12
    )
    assert float(power.source) > 0


def test_the_prior_mean_is_a_current_too():
    circuit = tj.circuits.GaussianPosterior([2.0], 4.0, 1.0, [3.0])
    mean, covariance = circuit.law()
    np.testing.assert_allclose(mean, [2.8], rtol=1e-9)  # (2 / 4 + 3) / (1 / 4 + 1)
    np.testing.assert_allclose(covariance[0, 0] - circuit.excess[0], 0.8, rtol=1e-9)
    with pytest.raises(ValueError, match="diagonally dominant"):
        tj.circuits.GaussianPosterior(np.zeros(3), 0.9 + 0.1 * np.eye(3), 1.0, np.zeros(3))


@ngspice.needed
def test_spice_settles_at_the_posterior_mean(tmp_path):
    circuit = gaussian()
    slow = float(circuit.circuit.time_constants()[0])
    run = f"tran {slow / 20:.6g} {12 * slow:.6g} uic"
    keep = " ".join(f"l{k + 1}#branch" for k in range(4))
    _, *found = ngspice.read(tmp_path, circuit.netlist(*ngspice.analysis(tmp_path, run, keep=keep)))
    theta = circuit.decode(np.asarray(found)[:, -1])
    np.testing.assert_allclose(theta, [0.4597701149, -0.2873563218], rtol=1e-3)


@ngspice.needed
def test_spice_with_noise_has_the_posterior_covariance(tmp_path):
    """1200 of the longest time constants, noise anew every hundredth of the shortest."""
    circuit = gaussian()
    times = np.asarray(circuit.circuit.time_constants())
    step = times[-1] / 100
    steps = math.ceil(1200 * times[0] / step)
    run = f"tran {10 * step:.9g} {steps * step:.9g} 0 {step:.9g} uic"
    keep = " ".join(f"l{k + 1}#branch" for k in range(4))
    lines = ngspice.analysis(tmp_path, run, keep=keep, options=ngspice.NOISY)
    _, *found = ngspice.read(tmp_path, circuit.netlist(*lines, noise_step=step))
    theta = np.asarray(circuit.decode(np.transpose(found)))[int(10 * times[0] / step / 10) :]
    mean, covariance = map(np.asarray, circuit.law())
    # At most: every mode as slow as the slowest, so that T / tau points are independent.
    independent = steps * step / times[0]
    variances = np.diagonal(covariance)
    assert np.all(np.abs(theta.mean(0) - mean) < 4.5 * np.sqrt(2 * variances / independent))
    off = np.abs(np.cov(theta.T) - covariance)
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / independent)
    assert (
        np.all(off < 4.5 * error) and np.max(error / np.sqrt(np.outer(variances, variances))) < 0.05
    )


def test_the_content_of_the_pairs_is_the_posterior():
    """R11: by quadrature over the potential; and the slope is pairs and resistors."""
    circuit = tj.circuits.LogisticPosterior(X, Y, 4.0)
    theta = np.linspace(-5.0, 15.0, 8001)
    v = theta[:, None] * float(circuit.volts_per_unit)
    content = jax.vmap(circuit.content.energy, (0, None))(jnp.asarray(v), 1.0)
    log = -np.asarray(content / circuit.temperature)
    weight = np.exp(log - log.max())
    weight /= integrate.trapezoid(weight, theta)
    mean = integrate.trapezoid(weight * theta, theta)
    variance = integrate.trapezoid(weight * (theta - mean) ** 2, theta)
    assert mean == pytest.approx(1.3790973691, rel=1e-6)
    assert variance == pytest.approx(0.7111709575, rel=1e-6)
    evidence = integrate.trapezoid(np.exp(log), theta) / math.sqrt(2 * math.pi * 4.0)
    assert -math.log(evidence) == pytest.approx(3.4725454303, rel=1e-5)
    slope = jax.grad(circuit.content.energy)(jnp.asarray([0.03]), 1.0)
    a = np.asarray(X) * 0.02585200 / float(circuit.volts_per_unit)
    pairs = np.asarray(circuit.pair.current(a[:, 0] * 0.03)) - (2 * Y - 1) * 1e-6
    by_parts = np.sum(pairs * a[:, 0]) + 0.03 * float(circuit.content.conductance[0])
    assert float(slope[0]) == pytest.approx(by_parts, rel=1e-6)


def test_voltages_sample_the_logistic_posterior():
    circuit = tj.circuits.LogisticPosterior(X, Y, 4.0)
    duration = 4 * float(circuit.relaxation()[0])
    ramp = tj.PiecewiseConstant([1.0, 1.0], duration, initial=0.0)
    prior = 2.0 * np.random.default_rng(0).normal(size=(4000, 1)) * float(circuit.volts_per_unit)
    out = tj.simulate(circuit.system(ramp), KEY, time_steps=800, initial=prior)
    theta = np.asarray(circuit.decode(out.position))[:, 0]
    error = theta.std() / math.sqrt(len(theta))
    assert abs(theta.mean() - 1.3790973691) < 4.5 * error
    third = np.mean((theta - theta.mean()) ** 3) / theta.std() ** 3
    assert abs(third - 0.7400150772) < 4.5 * 0.09  # the error of a skewness of 0.74 at n = 4000
    fourth = np.mean((theta - theta.mean()) ** 4)
    error = math.sqrt((fourth - theta.var() ** 2) / len(theta))
    assert abs(theta.var() - 0.7111709575) < 4.5 * error


def test_the_energy_of_the_logistic_circuit_is_that_of_its_pairs():
    circuit = tj.circuits.LogisticPosterior(X, Y, 4.0)
    power = circuit.power()
    assert float(power.source) >= 6 * 1e-6 * 3.0
    # What noise puts in, the resistor and the pairs take out: <v dPsi/dv> = Theta.
    theta = np.linspace(-5.0, 15.0, 8001)
    v = jnp.asarray(theta[:, None] * float(circuit.volts_per_unit))
    value, slope = jax.vmap(jax.value_and_grad(circuit.content.energy), (0, None))(v, 1.0)
    weight = np.exp(-np.asarray((value - value.min()) / circuit.temperature))
    taken = np.sum(weight * np.asarray(v * slope)[:, 0]) / np.sum(weight)
    johnson = 1.380649e-23 * 300 * float(circuit.content.conductance[0] / circuit.capacitance)
    assert float(power.injected) == pytest.approx(taken - johnson, rel=1e-4)
    bill = circuit.bill(1e-3, bits=10)
    assert bill.total == pytest.approx(1e-3 * float(power.heat), rel=1e-12)
    assert np.all(np.asarray(circuit.shot_noise()) < 1e-7)
    # The energy of a relaxation time does not depend on the bias current.
    fast = tj.circuits.LogisticPosterior(X, Y, 4.0, pair=tj.circuits.TransistorPair(bias=1e-4))
    each = [float(c.power().source * c.relaxation()[0]) for c in (circuit, fast)]
    assert each[0] == pytest.approx(each[1], rel=1e-12)
    with pytest.raises(ValueError, match="capacitance is too small"):
        tj.circuits.LogisticPosterior(X, Y, 1e-3, capacitance=1e-18)


@ngspice.needed
@pytest.mark.parametrize("gain", [200.0, math.inf])
def test_spice_has_the_characteristic_of_the_pair(gain, tmp_path):
    pair = tj.circuits.TransistorPair(1e-5, temperature=320.0, gain=gain)
    lines = ngspice.analysis(tmp_path, "dc VIN -0.2 0.2 0.01", keep="i(VC1)-i(VC2)")
    voltage, current = ngspice.read(tmp_path, pair.netlist(*lines))
    expected = np.asarray(pair.current(voltage))
    np.testing.assert_allclose(current, expected, rtol=1e-2, atol=1e-9 * pair.bias)
    content = np.asarray(pair.content(voltage))
    steps = integrate.cumulative_trapezoid(current, voltage, initial=0)
    np.testing.assert_allclose(content - content[0], steps, atol=2e-2 * content.max())


def test_the_shot_noise_of_a_pair_is_that_of_independent_collectors():
    """Of a tail I, from q i_1 and q i_2: 4 q i_1 i_2 / I."""
    pair = tj.circuits.TransistorPair(2e-6)
    v = np.array([-0.05, 0.0, 0.03])
    one = 2e-6 / (1 + np.exp(-v / 0.02585200))
    np.testing.assert_allclose(
        pair.shot_noise(v), 4 * 1.602176634e-19 * one * (2e-6 - one) / 2e-6, rtol=1e-6
    )


def test_single_precision_is_enough_for_devices():
    with jax.enable_x64(False):
        mean, covariance = gaussian().law()
        assert mean.dtype == jnp.float32
        np.testing.assert_allclose(mean, [0.4597701149, -0.2873563218], rtol=1e-4)
        np.testing.assert_allclose(np.diagonal(covariance), [0.28160920, 0.36781609], rtol=1e-4)
        logistic = tj.circuits.LogisticPosterior(X, Y, 4.0)
        v = jnp.asarray([1.3, 2.0])[:, None] * logistic.volts_per_unit
        content = jax.vmap(logistic.content.energy, (0, None))(v, 1.0) / logistic.temperature
        z = np.array([1.3, 2.0])
        margin = (2 * Y - 1)[:, None] * X * z
        energy = z**2 / 8 + np.sum(np.logaddexp(0, -margin), 0)
        np.testing.assert_allclose(content[1] - content[0], energy[1] - energy[0], rtol=1e-3)
        made = tj.circuits.program([[3.0, -1.0], [-1.0, 2.0]], noise=1e-18, inductance=1e-6)
        inverse = made.decode_covariance(made.circuit.stationary()[1])
        np.testing.assert_allclose(inverse, [[0.4, 0.2], [0.2, 0.6]], rtol=1e-4)
