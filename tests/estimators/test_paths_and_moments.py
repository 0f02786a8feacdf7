"""Paths against the moment equations, along the whole time axis: REFERENCE R4 and R5."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

PRIOR = tj.Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 1.0]]))
DATA = tj.Gaussian(jnp.array([1.0, -1.0]), jnp.array([[0.5, -0.2], [-0.2, 0.8]]))
RAMPS = {
    "R4": tj.Interpolation(
        tj.Harmonic(jnp.array([[3.0, 2.0], [2.0, 4.0]])), tj.Harmonic(jnp.eye(2))
    ),
    "R5": tj.Interpolation(PRIOR, PRIOR + DATA),
}
ENTRIES = ("work", "heat", "energy", "free_energy", "equilibrium_free_energy", "divergence")


@pytest.mark.slow
@pytest.mark.parametrize("ramp", RAMPS)
@pytest.mark.parametrize("kind", [tj.Overdamped, tj.Underdamped])
def test_paths_against_moments(ramp, kind):
    """W, Q, <H>, F, F_eq and KL at 9 instants within 4 standard errors; Sigma never below zero.

    In phase space (four dimensions) F and KL rest on a nearest-neighbor entropy whose bias is
    small only near a Gaussian law, which this is.
    """
    system = kind(RAMPS[ramp], tj.Linear(0.0, 1.0, 1.0), tj.Bath())
    exact = tj.moments(system, 9).ledger
    out = tj.simulate(system, jax.random.key(3), dt=5e-3, batch=8192, save=9)
    found = tj.ensemble_ledger(system, out)
    for name in ENTRIES:
        estimate = getattr(found, name)
        off = np.abs(estimate.value - getattr(exact, name)) / np.maximum(estimate.error, 1e-9)
        assert np.all(off < 4), (name, off)
    production = found.entropy_production
    assert np.all(production.value > -4 * production.error)
    assert np.all(exact.entropy_production > -1e-9)
