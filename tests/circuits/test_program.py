"""Programs: laws of the programmed circuits against the inverse, elements against their range."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

import thermojax as tj
from thermojax.circuits.series import mantissas, preferred

KEY = jax.random.key(0)
M = np.array([[4.0, -1.0, 0.0], [-1.0, 3.0, -0.5], [0.0, -0.5, 2.0]])
SIGNED = np.array([[4.0, 1.0, -2.0], [1.0, 3.0, 0.5], [-2.0, 0.5, 1.8]])  # one row not dominant
NOISE = 1e-18


@pytest.mark.parametrize("matrix", [M, SIGNED], ids=["plain", "in pairs"])
@pytest.mark.parametrize("into", ["capacitance", "conductance"])
@pytest.mark.parametrize("inductance", [None, 1e-6])
def test_voltages_have_the_inverse_as_covariance(matrix, into, inductance):
    made = tj.circuits.program(matrix, into=into, inductance=inductance, noise=NOISE)
    _, covariance = made.circuit.stationary()
    inverse = made.decode_covariance(covariance)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-7, atol=1e-9)
    assert made.error < 1e-8
    nodes = made.readout.shape[1]
    assert nodes == (3 if matrix is M else 6)
    v = np.random.default_rng(0).normal(size=(5, nodes))
    x = made.decode(v)
    outer = np.einsum("bi,bj->ij", x, x) / 5 - np.diag(made.excess)
    np.testing.assert_allclose(outer, made.decode_covariance(v.T @ v / 5), rtol=1e-9)
    assert all(value > 0 for _, _, value in made.elements)
    assert made.circuit.netlist().count("\nC" if into == "capacitance" else "\nR") == len(
        made.elements
    )


def test_johnson_noise_alone_does_it_in_capacitors_and_not_in_resistors():
    made = tj.circuits.program(M)
    inverse = made.decode_covariance(made.circuit.stationary()[1])
    np.testing.assert_allclose(inverse, np.linalg.inv(M), rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(made.excess, 0)
    with pytest.raises(ValueError, match="whatever they are"):
        tj.circuits.program(M, into="conductance")


@pytest.mark.parametrize("matrix", [M, SIGNED], ids=["plain", "in pairs"])
def test_sources_make_the_mean_a_solution(matrix):
    b = np.array([1.0, -2.0, 0.5])
    made = tj.circuits.program(matrix, into="conductance", noise=NOISE, b=b)
    mean, covariance = made.circuit.stationary()
    np.testing.assert_allclose(made.decode(mean), np.linalg.solve(matrix, b), rtol=1e-7)
    inverse = made.decode_covariance(covariance)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-7, atol=1e-9)
    with pytest.raises(ValueError, match="unless A is in resistors"):
        tj.circuits.program(matrix, b=b)


def test_elements_keep_their_range_series_and_tolerance():
    made = tj.circuits.program(SIGNED, value_range=(1e-12, 4.7e-9), series="E24")
    values = np.array([x.value for x in made.elements])
    assert np.max(values) == pytest.approx(4.7e-9) and np.min(values) > 1e-12
    mantissa = values / 10.0 ** np.floor(np.log10(values))
    assert np.all(np.min(np.abs(mantissa[:, None] - mantissas("E24")), 1) < 1e-6)
    assert 1e-4 < made.error < 0.05  # neighbors are 10 % apart
    fine = tj.circuits.program(SIGNED, series="E192")
    assert fine.error < 0.006  # 1.2 % apart
    inverse = made.decode_covariance(made.circuit.stationary()[1])
    np.testing.assert_allclose(inverse, np.linalg.inv(made.matrix), rtol=1e-9, atol=1e-12)
    loose = tj.circuits.program(SIGNED, tolerance=0.01, key=KEY)
    exact = tj.circuits.program(SIGNED)
    off = np.array([a.value / b.value for a, b in zip(loose.elements, exact.elements, strict=True)])
    assert 0.002 < np.max(np.abs(off - 1)) <= 0.01
    with pytest.raises(ValueError, match="widen value_range"):
        tj.circuits.program(M, value_range=(1e-9, 2e-9))
    with pytest.raises(ValueError, match="key is None"):
        tj.circuits.program(M, tolerance=0.01)
    with pytest.raises(ValueError, match="diagonally dominant"):
        tj.circuits.program(np.full((3, 3), 0.9) + 0.1 * np.eye(3))


def test_series_are_those_of_the_standard():
    assert list(mantissas("E12")) == [1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2]
    assert list(mantissas("E96")[[1, 13, 95]]) == [1.02, 1.37, 9.76]
    assert 9.2 in mantissas("E192") and len(mantissas("E192")) == 192
    np.testing.assert_allclose(preferred(np.array([319.0, 9.7e-9, 1.0]), "E24"), [330, 1e-8, 1])


@pytest.mark.parametrize("pairs", [False, True])
def test_eight_cells_sample_in_the_engine(pairs):
    """Resonators with a matrix in capacitors, hot by noise currents: cov x = A^-1."""
    signs = np.random.default_rng(3).choice([-1.0, 1.0] if pairs else [-1.0], (8, 8))
    matrix = np.triu(0.25 * signs, 1)
    matrix = matrix + matrix.T + np.diag(np.linspace(2.0, 4.0, 8))
    made = tj.circuits.program(matrix, noise=NOISE, inductance=1e-4, value_range=(1e-12, 1e-9))
    circuit = made.circuit
    system = circuit.system(tj.Constant(circuit.source, 2e-6))
    out = tj.simulate(system, KEY, time_steps=100, batch=4000)
    x = np.asarray(made.decode(circuit.read(out)))
    inverse = np.linalg.inv(matrix)
    spread = np.outer(np.diagonal(inverse), np.diagonal(inverse)) + inverse**2
    error = np.sqrt(spread / len(x))
    assert np.all(np.abs(x.T @ x / len(x) - inverse) < 4.5 * error)


def test_a_bill_adds_up():
    bill = tj.circuits.Bill(
        1e-6,
        work=tj.Estimate(2e-12, 1e-13, 100),
        injected=3e-12,
        bias=1e-12,
        readout=4e-12,
        heat=5e-12,
        idle_power=1e-3,
        period=3600.0,
        bits=8,
        operations=1000,
        joules_per_operation=1e-12,
    )
    assert bill.total == pytest.approx(1e-11 + 3.6, rel=1e-15)
    assert bill.duty_cycle == pytest.approx(1e-6 / 3600)
    assert bill.error == pytest.approx(1e-13)
    assert bill.landauer == pytest.approx(8 * 1.380649e-23 * 300 * math.log(2), rel=1e-12)
    assert bill.digital == pytest.approx(1e-9)
    text = str(bill)
    assert "idle, 0.001 W for 3600 s (duty cycle 2.78e-10)  3.6 J" in text
    assert "8 bits" in text and "1000 operations of 1e-12 J" in text
    with pytest.raises(ValueError, match="shorter than one computation"):
        tj.circuits.Bill(2.0, period=1.0)
    with pytest.raises(ValueError, match="expected both"):
        tj.circuits.Bill(2.0, operations=1.0)
