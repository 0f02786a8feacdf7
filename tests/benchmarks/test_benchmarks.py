"""The benchmark's two programs solve the same problem, and its measuring functions run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.__main__ import forward_row, gradient_row, header, table
from benchmarks.measure import forward, gradient, ours, plain, stiffness_ramp
from benchmarks.sampling import least_effective, verdict


def test_the_plain_scan_and_ours_do_the_same_mean_work():
    """Two independent sets of paths through a stiffness ramp, within 4 standard errors."""
    case = stiffness_ramp(batch=4096, dim=2, steps=60)
    mine = jax.jit(ours(case))(*case.inputs(jax.random.key(0))).ledger.work
    hand = jax.jit(plain(case))(*case.inputs(jax.random.key(1)))[2]
    mine, hand = np.asarray(mine, float), np.asarray(hand, float)
    error = np.sqrt((mine.var() + hand.var()) / case.batch)
    assert abs(mine.mean() - hand.mean()) < 4 * error
    assert error < 0.03 * mine.mean()


def test_the_measuring_functions_run_a_small_case():
    case = stiffness_ramp(batch=8, dim=1, steps=8)
    fast = forward_row(case, forward(case, rounds=2))
    steep = gradient_row(case, gradient(case, rounds=2))
    assert all(float(fast[name]) > 0 for name in ("ours ns", "scan ns", "speed ratio"))
    assert float(steep["time ratio"]) > 0
    assert len(table([fast]).splitlines()) == len(table([steep]).splitlines()) == 3
    assert {"date", "jax", "jaxlib", "diffrax", "equinox", "device", "cpu"} <= set(header())


def test_a_variance_counts_only_within_the_gate_or_its_noise():
    assert verdict(0.049, 0.001) == verdict(-0.049, 0.1) == "passed"
    assert verdict(-0.08, 0.01) == "too noisy" and verdict(0.08, 0.005) == "FAILED"


def test_the_least_effective_size_is_that_of_the_slowest_coordinate():
    """Independent draws beside an autoregression of rho = 0.9, whose tau is 19: to 20 %."""
    z = jax.random.normal(jax.random.key(0), (4000, 8, 2))
    slow = jax.lax.scan(lambda x, e: (0.9 * x + 0.19**0.5 * e,) * 2, z[0, :, 0], z[:, :, 0])[1]
    values = jnp.stack([slow, z[:, :, 1]], axis=-1)
    assert least_effective(values) == pytest.approx(32000 / 19, rel=0.2)
    assert least_effective(values.at[5, 0, 0].set(jnp.nan)) == 0
