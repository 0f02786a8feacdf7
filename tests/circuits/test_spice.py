"""Circuits against ngspice: the same elements, other equations, another solver."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from tests.circuits import ngspice

KT = 1.380649e-23 * 300.0
C = np.array([[3.0, -1.0], [-1.0, 2.0]]) * 1e-9
G = np.array([[3.0, -0.5], [-0.5, 1.5]]) * 1e-3
K = np.array([[2.0, -0.5], [-0.5, 3.0]]) * 1e4
L = np.array([[2.0, 0.4], [0.4, 1.0]]) * 1e-6
CIRCUITS = {
    "RC": (lambda **how: tj.circuits.RC(C, 1e3, **how), 1e-3, ("v(n1)", "v(n2)")),
    "RC coupled": (lambda **how: tj.circuits.RC(C, conductance=G, **how), 1e-3,
                   ("v(n1)", "v(n2)")),
    "RL": (lambda **how: tj.circuits.RL(L, np.linalg.inv(G), **how), 1.0,
           ("l1#branch", "l2#branch")),
    "RLC": (lambda **how: tj.circuits.RLC(C, conductance=G, inverse_inductance=K, **how), 1e-3,
            ("v(n1)", "v(n2)")),
}  # fmt: skip


@ngspice.needed
@pytest.mark.parametrize("kind", CIRCUITS)
def test_transients_without_noise_are_the_mean(kind, tmp_path):
    """From initial values, sources on: to 0.1 % of the largest value."""
    make, unit, vectors = CIRCUITS[kind]
    circuit = make(source=unit * np.array([1.0, -0.5]))
    slow, fast = float(circuit.time_constants()[0]), float(circuit.time_constants()[-1])
    initial = np.array([0.7, -0.4]) * (1e-3 if kind == "RL" else 1.0)
    run = f"tran {fast / 50:.9g} {2 * slow:.9g} 0 {fast / 200:.9g} uic"
    deck = circuit.netlist(
        *ngspice.analysis(tmp_path, run, keep=" ".join(vectors)), initial=initial
    )
    time, *found = ngspice.read(tmp_path, deck)
    chosen = np.unique(np.searchsorted(time, np.linspace(0, 2 * slow, 40)[1:-1]))
    process = circuit.process
    start = np.concatenate([np.zeros(process.dim - 2), initial])
    mean = np.array([process.mean_covariance(time[i], start)[0][-2:] for i in chosen])
    off = np.abs(np.transpose(found)[chosen] - mean)
    assert np.max(off) < 1e-3 * np.max(np.abs(mean))


@ngspice.needed
@pytest.mark.parametrize("kind", ["RC", "RC coupled", "RLC"])
def test_noise_analysis_is_the_spectrum_of_johnson_noise(kind, tmp_path):
    """To 1 %, at a temperature other than that of SPICE by default; SPICE has its root."""
    make, _, vectors = CIRCUITS[kind]
    circuit = make(temperature=350.0)
    for k in range(2):
        run = f"noise {vectors[k]} I1 dec 7 1k 10meg"
        deck = circuit.netlist(
            *ngspice.analysis(tmp_path, run, "setplot noise1", keep="onoise_spectrum")
        )
        frequency, found = ngspice.read(tmp_path, deck)
        np.testing.assert_allclose(found**2, circuit.spectrum(frequency)[:, k], rtol=1e-2)


@ngspice.needed
@pytest.mark.parametrize("kind", ["RC coupled", "RL", "RLC"])
def test_small_signals_make_the_spectrum_of_injected_noise(kind, tmp_path):
    """The sum of density |response|^2 over the sources, without resistors: cold ones."""
    make, _, vectors = CIRCUITS[kind]
    density = np.array([2e-20, 5e-20])
    circuit = make(noise=density, temperature=1e-6)
    keep = " ".join(f"mag({vector})" for vector in vectors)
    total = 0.0
    for k in range(2):
        deck = circuit.netlist(
            *ngspice.analysis(tmp_path, "ac dec 5 1k 10meg", keep=keep), excite=k
        )
        frequency, *found = ngspice.read(tmp_path, deck)
        total = total + 2 * density[k] * np.transpose(found) ** 2
    np.testing.assert_allclose(total, circuit.spectrum(frequency), rtol=1e-2)


def error_of_second_moments(process, run: float, step: float):
    """Standard errors of time averages of x_i x_j: (1/T) int (C_ii C_jj + C_ij C_ji)(s) ds."""
    times = np.arange(0.0, 30 * run / 5000, step * 4)
    _, covariance = process.stationary()
    decay = np.array([process.transition(t)[0] for t in times[:: max(1, len(times) // 300)]])
    spacing = times[max(1, len(times) // 300)]
    c = decay @ np.asarray(covariance)
    both = c[:, [[0, 0], [1, 1]], [[0, 0], [1, 1]]] * c[:, [[0, 1], [0, 1]], [[0, 1], [0, 1]]]
    integral = np.trapezoid(both + c * np.swapaxes(c, 1, 2), dx=spacing, axis=0)
    return np.sqrt(2 * integral / run)


@ngspice.needed
@pytest.mark.parametrize("noise", [pytest.param(0.0, marks=pytest.mark.slow), 3e-22])
def test_transient_noise_has_the_covariance(noise, tmp_path):
    """5 ms, 1400 of the longest time constants, noise anew every 10 ns, 1/138 of the shortest."""
    circuit = tj.circuits.RC(C, 1e3, noise=noise * np.array([1.0, 2.0]))
    run, step = 5e-3, 1e-8
    lines = ngspice.analysis(
        tmp_path, f"tran 100n {run} 0 {step} uic", keep="v(n1) v(n2)", options=ngspice.NOISY
    )
    deck = circuit.netlist(*lines, initial=[0.0, 0.0], noise_step=step)
    _, *v = ngspice.read(tmp_path, deck)
    v = np.asarray(v)[:, 300:]  # 30 us, eight of the longest time constants
    _, covariance = circuit.stationary()
    error = error_of_second_moments(circuit.process, run, step)
    off = np.abs(v @ v.T / v.shape[1] - covariance)
    assert np.all(error < 0.08 * np.sqrt(np.outer(*(2 * [np.diagonal(covariance)]))))
    assert np.all(off < 4.5 * error)
    assert noise == 0.0 or covariance[0, 0] > 5 * KT * np.linalg.inv(C)[0, 0]


def test_a_deck_says_temperature_elements_and_noise():
    text = tj.circuits.RC(C, 1e3, temperature=300.0, noise=4e-20).netlist(
        ".tran 1n 1u", noise_step=1e-8
    )
    lines = text.splitlines()
    assert lines[1] == ".temp 26.85" and lines[-2:] == [".tran 1n 1u", ".end"]
    assert "C1_2 n1 n2 1e-09" in lines and "C1 n1 0 2e-09" in lines and "R2 n2 0 1000" in lines
    size = np.sqrt(2 * KT / 1e3 / 1e-8)
    assert f"IJ1 n1 0 DC 0 TRNOISE({size:.9g} 1e-08 0 0)" in lines
    assert "I1 0 n1 DC 0 AC 0 TRNOISE(2e-06 1e-08 0 0)" in lines
    with pytest.raises(ValueError, match="excite = 2"):
        tj.circuits.RC(C, 1e3).netlist(excite=2)
    with pytest.raises(ValueError, match="noise_step"):
        tj.circuits.RC(C, 1e3).netlist(noise_step=-1.0)
    assert jnp.isfinite(tj.circuits.RC(C, 1e3).stored([1.0, 2.0]))
