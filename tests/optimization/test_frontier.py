"""Energy against time, and against error, where the whole front is known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj

KEY = jax.random.key(11)
POINT = tj.Equilibrium(jnp.zeros(1))
RUN: dict[str, Any] = {"time_steps": 100, "batch": 512, "steps": 100, "initial": POINT}


def squeezed(final, duration=1.0, knots=10):
    protocol = tj.PiecewiseLinear.between(1.0, final, duration, knots, lower=0.05)
    return tj.Overdamped(tj.Harmonic(control="stiffness"), protocol, tj.Bath())


def adam(rate, steps=100):
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def exact(protocol):
    """<W> and the final variance, from the moment equations."""
    out = tj.moments(squeezed(2.0).replace(protocol=protocol), 2, POINT)
    return float(out.ledger.work[-1]), float(out.covariance[-1, 0, 0])


def arrays(estimate):
    return np.asarray(estimate.value), np.asarray(estimate.error)


class FinalVariance(tj.AbstractObjective):
    def __call__(self, system, result):
        if isinstance(result, tj.Moments):
            return tj.Estimate(result.covariance[-1, 0, 0], jnp.zeros(()), jnp.asarray(jnp.inf))
        return result.mean(jnp.sum(result.position**2, axis=1))


@pytest.mark.slow
def test_the_frontier_of_a_stiffness_in_the_exact_picture():
    """Beside the bound, which Gaussian protocols reach, and the ramp (REFERENCE section 1)."""
    found = tj.frontier(
        squeezed(10.0),
        tj.MeanWork(),
        optax.lbfgs(),
        durations=[1.0, 3.0],
        steps=40,
        initial=POINT,
        picture=tj.ExactMoments(),
    )
    best, none = arrays(found.work["optimized"])
    bound = np.asarray(found.bound)
    assert bound[0] == pytest.approx(1.57384834, abs=1e-8)
    assert np.all(best > bound) and np.all(best < 1.003 * bound) and np.all(none == 0)
    assert arrays(found.work["linear"])[0][0] == pytest.approx(1.778471, abs=2e-6)


@pytest.mark.slow
def test_the_frontier_of_a_stiffness():
    """Within 1 % of the bound, which Gaussian protocols reach, below ramp and geodesic."""
    durations = [0.3, 1.0]
    seen = []
    found = tj.frontier(
        squeezed(10.0),
        tj.MeanWork(),
        adam(0.2),
        KEY,
        durations=durations,
        evaluation=4000,
        callback=lambda duration, fit: seen.append(duration),
        **RUN,
    )
    assert seen == durations and list(found.work) == ["optimized", "linear", "geodesic"]
    assert found.bound is not None
    assert float(found.bound[1]) == pytest.approx(1.57384834, abs=1e-8)  # REFERENCE section 1
    works = []
    for i, fit in enumerate(found.fits):
        assert float(fit.system.protocol.duration) == durations[i]
        works.append(exact(fit.system.protocol)[0])
        assert float(found.bound[i]) < works[-1] < 1.01 * float(found.bound[i])
    best, best_error = arrays(found.work["optimized"])
    linear, linear_error = arrays(found.work["linear"])
    assert np.all(np.abs(best - works) < 4.5 * best_error) and best.shape == (2,)
    assert np.all(linear > best)
    assert abs(linear[1] - 1.778471) < 4.5 * linear_error[1]
    lines = str(found).splitlines()
    assert lines[0].split() == ["duration", "optimized", "linear", "geodesic", "bound"]
    assert len(lines) == 3 and "±" in lines[1]


def test_schedules_are_stretched_all_of_them():
    from thermojax.optimization.frontier import stretched

    bath = tj.Bath(friction=tj.PiecewiseLinear([1.0, 2.0, 3.0], 1.0))
    system = squeezed(2.0).replace(bath=bath)
    longer = stretched(system, 4.0)
    assert float(longer.protocol.duration) == float(longer.bath.friction.duration) == 4.0
    np.testing.assert_array_equal(
        longer.protocol(jnp.asarray(2.0)), system.protocol(jnp.asarray(0.5))
    )
    mirrored = stretched(tj.reverse(system), 3.0)
    assert float(mirrored.protocol.duration) == 3.0


def front(s):
    """W(s) = (k s - 1)/2 - ln(sqrt(s)/y0) + (sqrt(s) - y0)^2/tau, with k = 2, y0 = tau = 1."""
    return (2 * s - 1) / 2 - np.log(np.sqrt(s)) + (np.sqrt(s) - 1) ** 2


@pytest.mark.slow
def test_the_front_of_work_and_final_variance_in_the_exact_picture():
    found = tj.pareto(
        squeezed(2.0),
        tj.MeanWork(),
        FinalVariance(),
        optax.lbfgs(),
        weights=[0.0, 0.3, 1.0, 3.0],
        steps=60,
        initial=POINT,
        picture=tj.ExactMoments(),
        tolerance=1e-7,
    )
    s = np.asarray(found.error.value)
    assert s[0] == pytest.approx(0.654508, rel=2e-3) and np.all(np.diff(s) < -0.05)
    np.testing.assert_allclose(np.asarray(found.cost.value), front(s), rtol=0.01)
    assert np.all(np.asarray(found.cost.value) > front(s)) and np.all(found.cost.error == 0)


class Killed(Exception):
    pass


class Dying(tj.Checkpoint):
    """A checkpoint that does not survive its `saves`-th save."""

    saves = 10**6

    def save(self, state, *, last=False):
        super().save(state, last=last)
        self.saves -= 1
        if self.saves == 0:
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("saves", [2, 4, 6])
def test_a_frontier_that_was_killed_goes_on_where_it_was(tmp_path, saves):
    """In the first training, between two, and in the second: the same numbers to the last bit."""
    options: dict[str, Any] = dict(
        durations=[1.0, 2.0], steps=3, initial=POINT, picture=tj.ExactMoments(), time_steps=20
    )
    system, adam_ = squeezed(2.0, knots=4), optax.adam(0.1)
    run = lambda **more: tj.frontier(
        system, tj.MeanWork(), adam_, rivals={}, bound=None, **(options | more)
    )
    whole, seen, file = run(), [], tmp_path / "frontier.ckpt"
    dying = Dying(file, interval=0)
    dying.saves = saves
    with pytest.raises(Killed):
        run(checkpoint=dying)
    again = run(
        checkpoint=tj.Checkpoint(file), callback=lambda duration, fit: seen.append(duration)
    )
    assert seen == ([2.0] if saves >= 4 else [1.0, 2.0])
    for found, expected in zip(again.fits, whole.fits, strict=True):
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(a, b)
        assert (found.chosen, found.stopped) == (expected.chosen, expected.stopped)
    np.testing.assert_array_equal(again.work["optimized"].value, whole.work["optimized"].value)
    with pytest.raises(tj.CheckpointError, match="of other trainings"):
        run(checkpoint=tj.Checkpoint(file), durations=[1.0, 3.0])


def test_mistakes_of_frontiers():
    system, rest = squeezed(2.0), (tj.MeanWork(), adam(0.1), KEY)
    for durations in (
        [1.0, 0.5],
        [1.0, 1.0],
        [0.0, 1.0],
        [-1.0],
        [],
        1.0,
        [1.0, np.nan],
        None,
        ["a"],
    ):
        with pytest.raises(
            ValueError,
            match=r"each once and in increasing order|durations = .*: expected real numbers",
        ):
            tj.frontier(system, *rest, durations=durations, **RUN)
    with pytest.raises(ValueError, match=r"rivals\['mine'\] is a float: expected a protocol"):
        tj.frontier(system, *rest, durations=[1.0], rivals={"mine": 1.0}, **RUN)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="evaluation = 0"):
        tj.frontier(system, *rest, durations=[1.0], evaluation=0, **RUN)
    with pytest.raises(ValueError, match="key must be a typed key"):
        tj.frontier(system, *rest[:-1], 3, durations=[1.0], **RUN)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="the bound starts from equilibrium"):
        positions: dict[str, Any] = RUN | {"initial": jnp.zeros((512, 1))}
        tj.frontier(system, *rest, durations=[1.0], **positions)
    with pytest.raises(ValueError, match=r"weights = \[1.0, 0.5\]"):
        tj.pareto(system, tj.MeanWork(), FinalVariance(), *rest[1:], weights=[1.0, 0.5], **RUN)
