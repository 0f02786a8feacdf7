"""Every config that is shipped runs, at a reduced size, and says what its comment says."""

import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest

from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.study.driven import shared_among

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
# To compile the training takes longest: one of them trains, the others do in the slow test.
TRAINED = ["training.steps=2", "training.batch=8", "protocol.knots=3"]
MEASURED = ["evaluation.batch=512", "evaluation.chunk=512", "training=null"]


def run(name, folder, *overrides):
    assert main(["run", str(ROOT / "configs" / name), *overrides, "--out", str(folder)]) == 0
    return load(folder)


def near(estimate, exact, bias=0.0):
    """Within 4.5 standard errors, and what the time step may add."""
    return abs(float(estimate.value) - exact) < 4.5 * float(estimate.error) + bias


@pytest.mark.parametrize("config", CONFIGS, ids=lambda file: file.stem)
def test_configs_are_short_and_say_what_they_do(config):
    lines = config.read_text().splitlines()
    assert len(lines) < 40 and lines[0].startswith("# ")
    assert any(f"thermojax run configs/{config.name}" in line for line in lines)


@contextmanager
def compilations():
    """Counts the programs that are compiled, by name."""
    seen = Counter()

    def listen(event: str, duration_secs: float, **facts: str | int):
        if event.endswith("backend_compile_duration"):
            seen[facts["fun_name"]] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_dragged_trap(tmp_path, capsys):
    """It compiles each of its programs once, and another seed of it compiles nothing."""
    settings = [*MEASURED[:2], *TRAINED, "dt=0.01", "evaluation.chunk=256"]
    with compilations() as seen:
        results = run("dragged_trap.yaml", tmp_path / "out", *settings)
    assert seen["jit(run_prepared)"] == 1  # of these numbers of paths and steps only here
    assert seen["jit(update)"] <= 1 and seen["jit(evaluate)"] <= 1
    with compilations() as seen:
        run("dragged_trap.yaml", tmp_path / "again", *settings, "seed=7")
    assert not seen
    linear = results["linear"]
    assert near(linear["total_work"], 9.1969860, 0.04)  # Euler's lag: h/2 int 25 t e^-t dt
    assert linear["free_energy_change"] == 0 and "effective_samples" not in linear
    assert near(linear["dissipated_work"], 9.1969860, 0.04)
    assert results["training"]["loss"].shape == (2,)
    assert "dissipated work" in capsys.readouterr().out


def test_double_well(tmp_path):
    results = run("double_well.yaml", tmp_path / "out", *MEASURED, "dt=0.01")
    assert near(results["linear"]["total_work"], 6.6217, 0.05)
    assert results["linear"]["free_energy_change"] == 0


def test_devices(tmp_path, capsys):
    config, rest = str(ROOT / "configs" / "double_well.yaml"), ["--out", str(tmp_path / "out")]
    assert main(["run", config, "devices=9999", *rest]) == 2
    assert "devices = 9999: expected 1 to " in capsys.readouterr().err
    assert main(["run", config, "devices=al", *rest]) == 2
    assert "1 or more or one of 'all'" in capsys.readouterr().err
    assert shared_among("all", 3, 64) is None  # no number of devices but one divides both


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_cores_of_a_cpu_as_devices(tmp_path):
    """In processes of their own: JAX counts its devices once. The numbers are the same."""
    config, few = ROOT / "configs" / "double_well.yaml", ["dt=0.01", *MEASURED]

    def works(devices):
        out = tmp_path / str(devices)
        command = [sys.executable, "-m", "thermojax", "run", config, "--out", out, "--device=cpu"]
        done = subprocess.run(
            [*map(str, command), *few, f"devices={devices}"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return [load(out)["linear"][name].value for name in ("work", "heat")]

    one = works(1)
    for devices in (2, "all"):
        np.testing.assert_allclose(works(devices), one, rtol=1e-5)


def test_gaussian_inference(tmp_path):
    results = run("gaussian_inference.yaml", tmp_path / "out", *MEASURED, "dt=0.02", "devices=1")
    linear = results["linear"]
    assert near(linear["work"], 3.6819852224, 0.02)
    # The exponential average of 512 paths; its bias is far below its error here.
    assert near(linear["free_energy_change"], 3.064678613858)
    assert np.all(results["linear"]["schedule"]["control"][[0, -1]] == [0, 1])


@pytest.mark.slow
def test_erasure(tmp_path):
    few = ["training.steps=1", "training.cells=60", "training.time_steps=16"]
    fewer = ["evaluation.cells=300", "evaluation.time_steps=400", "evaluation.dt=0.002"]
    size = ["evaluation.batch=2000", "evaluation.chunk=2000"]
    given = run("erasure.yaml", tmp_path / "out", *few, *fewer, *size)["given"]
    assert abs(given["exact_work"] - 2.3276) < 0.01 * 2.3276
    assert near(given["total_work"], 2.3276, 0.03)
    assert given["exact_failures"] < 3e-5 and float(given["failures"].error) > 0
    assert 0.69 < given["landauer"] < given["full_control"] < given["exact_work"]


@pytest.mark.slow
def test_frontier(tmp_path):
    less = ["durations=[0.5,1]", "steps=2", "batch=8", "evaluation=2000", "time_steps=100"]
    results = run("frontier_stiffness.yaml", tmp_path / "out", *less, "protocol.knots=3")
    curves = results["frontier"]
    assert abs(curves["bound"][1] - 1.57384834) < 1e-4  # REFERENCE section 1
    for name in ("optimized", "linear", "geodesic"):
        work = curves[name]
        assert np.all(np.asarray(work.value) + 4.5 * np.asarray(work.error) > curves["bound"])
    assert abs(curves["linear"].value[1] - 1.778471) < 4.5 * curves["linear"].error[1] + 0.02


def test_own_potential(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # examples/ is found beside the folder of the config
    results = run("own_potential.yaml", tmp_path / "out é", *MEASURED)
    assert results.attributes["columns"] == ["linear"] and "training" not in results
    work, change = results["linear"]["total_work"], results["linear"]["free_energy_change"]
    assert float(work.value) > float(change.value)


@pytest.mark.slow
def test_trained_schedules_reach_the_known_minima(tmp_path):
    results = run("dragged_trap.yaml", tmp_path / "trap")
    assert near(results["linear"]["total_work"], 9.1969860, 0.005)
    # Twelve knots, two hundred steps: within one percent of the optimum, and never below it.
    best = results["optimized"]["total_work"]
    assert 8.3333 - 4.5 * float(best.error) < float(best.value) < 8.42 + 4.5 * float(best.error)
    results = run("erasure.yaml", tmp_path / "bit")
    assert abs(results["given"]["exact_work"] - 2.3276) < 0.003
    best = results["optimized"]
    assert best["full_control"] < best["exact_work"] < 0.75 * 2.3276
    assert best["exact_failures"] < 1e-3 and near(best["total_work"], best["exact_work"], 0.02)
    results = run("double_well.yaml", tmp_path / "well")
    best = results["optimized"]["total_work"]
    assert near(results["linear"]["total_work"], 6.6217, 0.02)
    assert 5.752 - 4.5 * float(best.error) < float(best.value) < 5.83 + 4.5 * float(best.error)
