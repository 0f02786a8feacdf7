"""Networks: their laws, power and systems against closed forms, node equations, and the engine."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(0)
KT = 1.380649e-23 * 300.0
C = np.array([[3.0, -1.0], [-1.0, 2.0]]) * 1e-9  # R15 of the reference values
G = np.array([[3.0, -0.5], [-0.5, 1.5]]) * 1e-3
K = np.array([[2.0, -0.5], [-0.5, 3.0]]) * 1e4
R = np.array([[2.0, 1.0], [1.0, 3.0]]) * 1e2


def test_two_cells_have_the_covariance_and_the_times_of_the_reference():
    circuit = tj.circuits.RC(C, 1e3)
    mean, covariance = circuit.stationary()
    expected = np.array([[1.6567788, 0.8283894], [0.8283894, 2.4851682]]) * 1e-12
    np.testing.assert_allclose(covariance, expected, rtol=1e-7)
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_allclose(circuit.time_constants(), [3.618034e-6, 1.381966e-6], rtol=1e-6)
    assert tj.circuits.johnson_noise(1e3, 300.0) == pytest.approx(4.07035e-9, rel=2e-6)
    assert tj.circuits.thermal_voltage(300.0) == pytest.approx(0.02585200, rel=1e-6)


@pytest.mark.parametrize("grounded", [True, False])
def test_johnson_noise_alone_knows_nothing_of_the_resistors(grounded):
    resistors = {"resistance": [1e3, 4e4]} if grounded else {"conductance": G}
    circuit = tj.circuits.RC(C, **resistors)
    np.testing.assert_allclose(circuit.stationary()[1], KT * np.linalg.inv(C), rtol=1e-12)
    power = circuit.power()
    assert float(power.injected) == 0
    assert abs(float(power.heat)) < 1e-12 * KT / 1e-6  # of kT per time constant
    inductance = np.array([[2.0, 0.3], [0.3, 1.0]]) * 1e-6
    currents = tj.circuits.RL(inductance, R).stationary()[1]
    np.testing.assert_allclose(currents, KT * np.linalg.inv(inductance), rtol=1e-12)
    resonant = tj.circuits.RLC(C, inverse_inductance=K, **resistors)
    np.testing.assert_allclose(resonant.stationary()[1], KT * np.linalg.inv(C), rtol=1e-11)
    flux = resonant.process.stationary()[1][:2, :2]
    np.testing.assert_allclose(flux, KT * np.linalg.inv(K), rtol=1e-11)


def test_a_law_in_resistors_needs_noise_that_is_injected_and_paid_for():
    """cov = (S / 2l) R^-1 beside kT / l, power d S / (2l), all of which becomes heat."""
    inductance, density = 1e-6, 3e-15
    circuit = tj.circuits.RL(inductance, R, noise=density, temperature=300.0)
    injected = density / (2 * inductance) * np.linalg.inv(R)
    expected = injected + KT / inductance * np.eye(2)
    np.testing.assert_allclose(circuit.stationary()[1], expected, rtol=1e-12)
    power = circuit.power()
    np.testing.assert_allclose(power.injected, 2 * density / (2 * inductance), rtol=1e-12)
    np.testing.assert_allclose(power.heat, power.injected, rtol=1e-12)
    assert float(power.source) == 0


@pytest.mark.parametrize("kind", ["RC", "RL", "RLC"])
def test_what_goes_in_comes_out_as_heat(kind):
    """The first law at rest, with sources, uneven noise and dense matrices."""
    noise, source = np.array([1e-20, 5e-20]), np.array([1e-6, -2e-6])
    circuit = {
        "RC": lambda: tj.circuits.RC(C, conductance=G, noise=noise, source=source),
        "RL": lambda: tj.circuits.RL(1e-6, R, noise=noise, source=source),
        "RLC": lambda: tj.circuits.RLC(
            C, conductance=G, inverse_inductance=K, noise=noise, source=source
        ),
    }[kind]()
    power = circuit.power()
    np.testing.assert_allclose(power.heat, power.source + power.injected, rtol=1e-12)
    assert float(power.injected) > 0
    assert kind == "RLC" or float(power.source) > 0  # inductors short all sources


def test_the_power_of_a_law_on_its_way_is_the_change_of_its_energy():
    """d<E>/dt = source + injected - heat, by finite differences of the exact moments."""
    circuit = tj.circuits.RC(C, conductance=G, noise=[1e-20, 5e-20], source=[1e-6, -2e-6])
    start, step = np.array([2e-3, 1e-3]), 1e-10
    energies = []
    for time in (1e-6 - step, 1e-6, 1e-6 + step):
        m, c = circuit.process.mean_covariance(time, start)
        energies.append(0.5 * np.sum(C * (c + np.outer(m, m))))
        if time == 1e-6:
            power = circuit.power(m, c)
    change = (energies[2] - energies[0]) / (2 * step)
    np.testing.assert_allclose(change, power.source + power.injected - power.heat, rtol=1e-5)
    with pytest.raises(ValueError, match="expected both"):
        circuit.power(start)


def test_the_spectrum_is_that_of_the_impedance():
    """Nyquist: one-sided, 4 kT Re Z; and its integral over all frequencies is the variance."""
    frequencies = np.array([1e3, 1e5, 3e6])
    circuit = tj.circuits.RLC(C, conductance=G, inverse_inductance=K)
    for f, found in zip(frequencies, circuit.spectrum(frequencies), strict=True):
        s = 2j * math.pi * f
        impedance = np.linalg.inv(G + s * C + K / s)
        np.testing.assert_allclose(found, 4 * KT * np.diagonal(impedance.real), rtol=1e-9)
    one = tj.circuits.RC(1e-9, 1e3, noise=1e-20)
    f = np.concatenate([[0], np.geomspace(1.0, 1e10, 4000)])
    total = np.trapezoid(one.spectrum(f)[:, 0], f)
    np.testing.assert_allclose(total, one.stationary()[1][0, 0], rtol=1e-3)


def moments(samples):
    """(mean, its error, second moments, their errors) of `(batch, dim)`."""
    x = np.asarray(samples, float)
    root = math.sqrt(len(x))
    squares = np.einsum("bi,bj->bij", x, x)
    return x.mean(0), x.std(0) / root, squares.mean(0), squares.std(0) / root


@pytest.mark.parametrize("kind", ["RC", "RC coupled", "RL", "RLC", "RLC coupled"])
def test_systems_of_the_engine_move_as_the_exact_law_says(kind):
    """From equilibrium, sources are switched on: mean, covariance, and the first law in joules."""
    off, on = np.zeros(2), np.array([2e-9, 1e-9])
    circuit, scale = {
        "RC": lambda: (tj.circuits.RC(C, [1e3, 2e3]), 1.0),
        "RC coupled": lambda: (tj.circuits.RC(C, conductance=G), 1.0),
        "RL": lambda: (tj.circuits.RL([1e-6, 3e-6], R), 20.0),
        "RLC": lambda: (tj.circuits.RLC([3e-9, 2e-9], [1e3, 2e3], inverse_inductance=K), 5.0),
        "RLC coupled": lambda: (tj.circuits.RLC(C, conductance=G, inverse_inductance=K), 5.0),
    }[kind]()
    on = scale * on
    slowest = float(circuit.time_constants()[0])
    duration = 0.7 * slowest
    step = tj.PiecewiseConstant([on, on], duration, initial=off, final=on)
    system = circuit.system(step)
    out = tj.simulate(system, KEY, time_steps=120, batch=6000)
    mean, mean_error, square, square_error = moments(circuit.read(out))
    _, equilibrium = circuit.process.stationary()
    driven = circuit_with(circuit, on).process
    expected, covariance = driven.mean_covariance(duration, 0.0, equilibrium)
    expected, covariance = expected[-2:], covariance[-2:, -2:]
    assert np.all(np.abs(mean - expected) < 5 * mean_error + 2e-3 * np.abs(expected))
    second = covariance + np.outer(expected, expected)
    assert np.all(np.abs(square - second) < 5 * square_error + 4e-3 * np.abs(second))
    # Work is booked where the sources are switched, and none comes later.
    ledger = out.ledger
    balance = ledger.energy - ledger.energy_start - ledger.work - ledger.shadow_work + ledger.heat
    assert np.max(np.abs(balance)) < 1e-10 * np.max(np.abs(ledger.energy))


def circuit_with(circuit, source):
    """The circuit with other sources."""
    return eqx.tree_at(lambda c: c.source, circuit, jnp.asarray(source))


@pytest.mark.parametrize("coupled", [False, True])
def test_injected_noise_that_is_a_temperature_is_kept_apart_from_heat(coupled):
    """A device at 40 times the temperature: its ledger is split into work, injection, and heat."""
    hot = 2 * 39 * KT
    how = {"conductance": np.eye(2) * 1e-3} if coupled else {"resistance": 1e3}
    circuit = tj.circuits.RC(C, **how, noise=hot * 1e-3, source=[2e-8, 0.0])
    duration = 2e-5
    off_on = tj.PiecewiseConstant([circuit.source] * 2, duration, initial=np.zeros(2))
    system = circuit.system(off_on)
    assert float(system.bath.temperature) == pytest.approx(40 * KT, rel=1e-9)
    out = tj.simulate(system, KEY, time_steps=200, batch=4000)
    flows = circuit.flows(out, duration)
    assert float(flows.injected) == pytest.approx(
        0.5 * hot * 1e-3 * np.trace(np.linalg.inv(C)) * duration, rel=1e-9
    )
    # In equilibrium but for the current that charges the capacitors to R i, heat C (R i)^2 / 2.
    charged = 0.5 * C[0, 0] * (1e3 * 2e-8) ** 2
    extra = flows.heat.value - flows.injected
    assert abs(extra - charged) < 5 * flows.heat.error + 0.02 * charged
    assert np.all(np.abs(flows.work.value) < 5 * flows.work.error)  # none at a charge of 0


def test_noise_that_is_no_temperature_has_no_system():
    uneven = tj.circuits.RC(C, 1e3, noise=[1e-20, 2e-20])
    with pytest.raises(ValueError, match="no temperature"):
        uneven.system()
    with pytest.raises(ValueError, match="no temperature"):
        tj.circuits.RL(1e-6, R, noise=1e-15).system()


@pytest.mark.parametrize("kind", ["RC", "RLC"])
def test_single_precision_holds_the_units(kind):
    """kT is 4e-21 J, whose square float32 does not hold; picofarads and femtocoulombs."""
    with jax.enable_x64(False):
        c = C.astype(np.float32) * np.float32(1e-3)
        circuit = tj.circuits.RC(c, 1e3) if kind == "RC" else tj.circuits.RLC(c, 1e4, 1e-6)
        covariance = circuit.stationary()[1]
        assert covariance.dtype == jnp.float32
        expected = KT * np.linalg.inv(C * 1e-3)
        np.testing.assert_allclose(covariance, expected, rtol=1e-4)
        duration = float(circuit.time_constants()[0])
        system = circuit.system(tj.Constant(np.zeros(2), duration))
        out = tj.simulate(system, KEY, time_steps=100, batch=8000)
        v = circuit.read(out)
        assert v.dtype == jnp.float32 and int(out.diverged) == 0
        ratio = np.einsum("bi,bj->ij", *(2 * [np.asarray(v, float)])) / len(v) / expected
        assert np.all(np.abs(ratio - 1) < 5 * np.sqrt(5 / len(v)))  # at most (1 + 1 / rho^2) / n
        heat = circuit.flows(out, duration).heat
        assert 0 < heat.error < 10 * KT / np.sqrt(len(v))
        assert abs(heat.value) < 5 * heat.error


def test_matrices_that_no_elements_have_are_refused():
    with pytest.raises(ValueError, match="conductance: expected one of the two"):
        tj.circuits.RC(C)
    with pytest.raises(ValueError, match="not positive definite"):
        tj.circuits.RC([[1e-9, 2e-9], [2e-9, 1e-9]], 1e3)
    with pytest.raises(ValueError, match="positive numbers"):
        tj.circuits.RC(-1e-9, 1e3)
    with pytest.raises(ValueError, match="shapes are capacitance"):
        tj.circuits.RC(C, [1e3, 1e3, 1e3])
    with pytest.raises(ValueError, match="give conductance= one"):
        tj.circuits.RC(1e-9, G)
    with pytest.raises(ValueError, match="crosswise"):
        tj.circuits.RC(np.abs(C), 1e3).netlist()
    with pytest.raises(ValueError, match="row 0 of capacitance sums to"):
        tj.circuits.RC([[1e-9, -2e-9], [-2e-9, 9e-9]], 1e3).netlist()
    with pytest.raises(ValueError, match="no flux"):
        tj.circuits.RC(C, 1e3).flux(None)
