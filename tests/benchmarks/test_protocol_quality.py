"""The benchmark of protocols scores what is known, and a peer that is missing is never beaten."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import protocols
from benchmarks.race import Timing
from thermojax.potential import batched_energy

TRAP, STIFFNESS, *_ = CASES = protocols.cases()


def test_the_score_of_a_ramp_is_the_closed_form():
    """REFERENCE section 1, linear ramps: 9.1969860."""
    np.testing.assert_allclose(TRAP.dissipated(TRAP.system().protocol), 9.1969860, rtol=1e-6)


@pytest.mark.slow
def test_the_wells_are_scored_by_their_density_and_start_from_it():
    """REFERENCE section 4, linear ramps: 3.22566 and 8.8028; starts against the density."""
    for case, work in zip(CASES[3:], (3.22566, 8.8028), strict=True):
        assert case.dissipated(case.system().protocol) == pytest.approx(work, rel=1e-3)
        x = case.potential.sample(jax.random.key(2), case.ends[0], 1.0, 20_000, jnp.zeros(1))
        x = np.asarray(x).ravel()
        line = np.linspace(-4, 4, 4001)
        weight = np.exp(-batched_energy(case.potential, line[:, None], case.ends[0]))
        for power in (1, 2):
            expected = np.sum(weight * line**power) / weight.sum()
            assert abs(np.mean(x**power) - expected) < 4.5 * np.std(x**power) / np.sqrt(x.size)


@pytest.mark.slow
def test_training_lowers_the_score(monkeypatch):
    monkeypatch.setattr(protocols, "BATCH", 50)
    found = protocols.ours(TRAP, (1000,))
    assert 25 / 3 <= found[1000] < TRAP.dissipated(TRAP.system().protocol)


def test_a_missing_peer_is_missing():
    for python in (sys.executable, "/no/such/python"):
        answer = protocols.peer_run("langesim", python, [], [TRAP], (1000,))
        assert isinstance(answer, str) and answer
    race = Timing(1.0, 2.0, 0.5, 0.5)
    rows = [(TRAP, 9.197, {"thermojax": [8.5, 8.4], "langesim_optim": "missing", "other": [8.6]})]
    text = protocols.report(
        rows, (100, 1000), {"langesim_optim": "missing"}, {"x": race}, {"a": "b"}
    )
    lines = text.splitlines()
    assert lines[2].split(" | ")[-2:] == ["8.5 (+2 %)", "8.4 (+0.8 %) |"]
    assert lines[3].endswith("| langesim_optim | missing | missing |")
    assert lines[4].endswith("| 8.6 (+3.2 %) | not run |")
    assert "| x | 1e+03 | 2e+03 | 0.50 |" in lines and "langesim_optim: missing" in text


@pytest.mark.slow
def test_the_race_of_steps_runs():
    assert protocols.step_race(16, 1).ratio > 0
