"""The benchmark's programs solve the same problem, rightly, and its measuring functions run."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import exact, forward, gradient, growth, summary
from benchmarks.cases import Case, our_gradient, ours, posterior_ramp, stiffness_ramp
from benchmarks.peers import PEERS, plain, plain_gradient, virtual_gradient
from benchmarks.peers.peer import AbstractPeer
from benchmarks.report import header, table
from benchmarks.sampling import least_effective, verdict


def test_the_plain_scan_and_ours_do_the_exact_mean_work():
    """Two sets of paths through a stiffness ramp, each within 4 standard errors."""
    case = stiffness_ramp(batch=4096, dim=2, steps=60)
    mine = jax.jit(ours(case))(*case.inputs(jax.random.key(0))).ledger.work
    hand = jax.jit(plain(case))(*case.inputs(jax.random.key(1)))[2]
    for work in (np.asarray(mine, float), np.asarray(hand, float)):
        error = work.std() / case.batch**0.5
        assert abs(work.mean() - exact.of_case(case)) < 4 * error
        assert error < 0.03 * work.mean()


def test_the_exact_mean_work_is_that_of_a_slow_ramp_in_the_limit():
    """Slowly, work is the free energy difference between the jumps, and the jumps' own work."""
    first, last = 0.25 + 0.075, 1 - 0.075
    limit = 0.5 * (0.075 / 0.25 + math.log(last / first) + 0.075 / last)
    fast, slow = (exact.of_case(stiffness_ramp(1, 3, steps)) / 3 for steps in (30, 20000))
    assert 0 < slow / limit - 1 < 2e-3 < 0.1 < fast / limit - 1


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_is_right(peer):
    if missing := peer.missing():
        pytest.skip(missing)
    check = peer.check(stiffness_ramp(4096, 2, 60))
    assert check.passed, check
    assert check.error < 0.03 * check.exact


@pytest.mark.slow
@pytest.mark.parametrize(
    "slope",
    [our_gradient, plain_gradient, lambda case: virtual_gradient(case, case.steps)],
    ids=["ours", "plain scan", "diffrax"],
)
def test_every_gradient_is_right(slope):
    """The mean over 16 sets of 256 paths against the exact gradient, along two directions."""
    case = stiffness_ramp(batch=256, dim=1, steps=60)
    values = case.inputs(jax.random.key(0))[0]

    def drawn(key):
        _, state, noise = case.inputs(key)
        return slope(case)(values, state, noise)

    found = np.asarray(jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.key(3), 16)), float)
    true = exact.of_case(case, jax.grad(exact.mean_work, 1))
    for direction in (np.ones(64), np.linspace(-1, 1, 64)):
        along = found @ direction
        error = along.std(ddof=1) / 4
        assert abs(along.mean() - true @ direction) < 4 * error
        assert error < 0.1 * np.abs(true).sum()


@pytest.mark.slow
def test_the_measuring_functions_run_a_small_case():
    case = stiffness_ramp(batch=8, dim=1, steps=8)
    own, found = forward.rows(case, rounds=2, peers=PEERS[:1])
    steep = gradient.row(case, rounds=1)
    assert own["particle-steps/s"] > 0 and own["compile s"] > 0
    assert found[0]["ratio"] > 0 and found[0][""] in ("met", "MISSED")
    assert steep["/ forward"] > 0 and steep["diffrax / ours"] > 0
    assert steep["<= 3"] == "-"  # a target of 1000 steps alone
    assert len(table([own]).splitlines()) == len(table([steep]).splitlines()) == 3
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


class Absent(AbstractPeer):
    name = "absent"
    packages = (("no-such-package", "no_such_module"),)
    least = least_wide = least_single = 2.0

    def build(self, case: Case, steps, seed=0):
        raise AssertionError("a missing peer is not run")


def test_a_missing_peer_is_reported_as_missing_never_as_beaten():
    case = stiffness_ramp(batch=2, dim=1, steps=2)
    _, found = forward.rows(case, rounds=1, peers=[Absent()])
    checked = forward.check_rows([Absent()])
    for line in (found[0], checked[0], *summary.table_rows(found, [], [])):
        assert "no-such-package not installed" in line.values()
        assert not {"met", "MISSED", "yes", "NO"} & set(map(str, line.values()))


def test_the_posterior_ramp_is_for_the_plain_scan_alone():
    case = posterior_ramp(4, 2)
    assert [peer.name for peer in PEERS if peer.takes(case)] == ["plain lax.scan"]
    assert math.isnan(PEERS[0].target(case))


def test_growth_tells_a_line_from_a_curve(tmp_path):
    sizes = growth.ladder(10, 3)
    assert (sizes[0], sizes[-1], len(sizes)) == (10, 10_000, 7)
    line = growth.Sweep("steps", sizes, "", 3e-3 + 2e-5 * np.asarray(sizes))
    curve = growth.Sweep("batch", sizes, "", 1e-6 * np.asarray(sizes, float) ** 1.5)
    np.testing.assert_allclose(line.line(), (3e-3, 2e-5))
    assert line.row()["<= 0.1"] == "met" and curve.row()["<= 0.1"] == "MISSED"
    assert curve.row()["exponent"] == pytest.approx(1.5)
    assert {row[""] for row in summary.table_rows([], [], [line, curve])} == {"met", "MISSED"}
    growth.plot([line, curve], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_growth_is_measured():
    found = growth.sweep("batch", (2, 4), "", dict(dim=1, steps=2), rounds=1)
    assert np.all(found.seconds > 0)


def test_the_c_loop_draws_our_noise():
    """The same counters give the same normals as `thermojax.dynamics.random`."""
    c_loop = pytest.importorskip("benchmarks.peers.c_loop")
    if missing := c_loop.CLoop().missing():
        pytest.skip(missing)
    from thermojax.dynamics.random import normal

    words, index = (123, 456), jnp.arange(4096, dtype=jnp.uint32)
    for half, drawn in enumerate(c_loop.draw(4096, 7, words)):
        step = jnp.uint32(14 + half)
        expected = normal(tuple(jnp.uint32(w) for w in words), index, step)
        np.testing.assert_allclose(drawn, expected, rtol=2e-5, atol=2e-6)
