"""A device that is steered to its answer: closed forms, moments, trajectories and bounds."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from scipy.linalg import expm

import thermojax as tj

KEY = jax.random.key(5)
DIM, KT, GAMMA = 8, 2.0, 3.0
BATH = tj.Bath(temperature=KT, friction=GAMMA)
SNAPSHOTS = 5  # one program for all tests
STEERINGS = ["waiting", "ramp", "transport"]


def coupled():
    """A full matrix of eigenvalues 0.5 to 5, and a right-hand side."""
    random = np.random.default_rng(26)
    vectors = np.linalg.qr(random.normal(size=(DIM, DIM)))[0]
    return (vectors * np.geomspace(0.5, 5.0, DIM)) @ vectors.T, random.normal(size=DIM)


A, B = coupled()
X, INVERSE = np.linalg.solve(A, B), np.linalg.inv(A)
REST = np.linalg.eigvalsh(A)[-1]


def driven(steering, duration=4.0, b: Any = B, **options):
    return tj.linalg.driven(
        A, b, duration=duration, steering=steering, bath=BATH, times=SNAPSHOTS, **options
    )


def lacking(mean, covariance):
    """kT KL(N(mean, covariance) || N(X, kT A^-1)) by determinants."""
    ratio = A @ covariance / KT
    lag = (mean - X) @ A @ (mean - X)
    return 0.5 * KT * (np.trace(ratio) - DIM - np.linalg.slogdet(ratio)[1]) + 0.5 * lag


def test_waiting_is_relaxation_in_closed_form():
    """C(t) = e^(-At) C_0 e^(-At) + kT A^-1 (1 - e^(-2At)), by the exponentials of scipy."""
    found = driven("waiting")
    for i, t in enumerate(np.linspace(0, 4.0, SNAPSHOTS)):
        decay = expm(-A * t / GAMMA)
        covariance = KT / REST * decay @ decay + KT * INVERSE @ (np.eye(DIM) - decay @ decay)
        mean = X - decay @ X
        np.testing.assert_allclose(found.law.covariance[i], covariance, atol=1e-9)
        np.testing.assert_allclose(found.law.mean[i], mean, atol=1e-9)
    assert found.deficiency == pytest.approx(lacking(mean, covariance), rel=1e-8)
    assert found.bias == pytest.approx(np.linalg.norm(mean - X) / np.linalg.norm(X), rel=1e-8)
    # The couplings are set at once, to coordinates that are still idle.
    assert found.work == pytest.approx(0.5 * KT * np.trace(A / REST - np.eye(DIM)), rel=1e-9)


@pytest.mark.parametrize("steering", STEERINGS)
def test_trajectories_agree_with_the_moments(steering):
    """Mean, covariance through time and the ledger, by steps that see A in products alone."""
    found = driven(steering)
    if steering != "transport":
        springs = getattr(found.system.potential, "coupled")  # noqa: B009
        assert isinstance(springs.operator, lx.MatrixLinearOperator)  # and no eigenvectors
    out = tj.simulate(
        found.system,
        KEY,
        time_steps=240,
        batch=8000,
        save=SNAPSHOTS,
        observe=lambda time, state, ledger: state.position,
    )
    assert out.saved is not None
    x = np.asarray(out.saved.values)
    y = x - np.asarray(found.law.mean)[:, None]
    squares = y[..., :, None] * y[..., None, :]
    for values, exact in ((x, found.law.mean), (squares, found.law.covariance)):
        error = values.std(axis=1) / np.sqrt(values.shape[1])
        # The largest of 360 entries, each with its error.
        assert np.max(np.abs(values.mean(axis=1) - exact) / error) < 4.5
    for name, exact in (("total_work", found.work), ("heat", found.heat)):
        measured = out.mean(getattr(out.ledger, name))
        assert abs(measured.value - exact) < 4.5 * measured.error


def test_the_moment_equations_of_the_whole_device():
    """The law put together from single modes, against all eight coordinates at once."""
    found = driven("ramp")
    whole = tj.moments(found.system, 2)
    np.testing.assert_allclose(found.law.mean[-1], whole.mean[-1], atol=1e-9)
    np.testing.assert_allclose(found.law.covariance[-1], whole.covariance[-1], atol=1e-9)
    for name in ("work", "heat", "free_energy", "equilibrium_free_energy", "entropy_production"):
        one, other = (getattr(law.ledger, name)[-1] for law in (found.law, whole))
        assert float(one) == pytest.approx(float(other), abs=1e-8)


def test_springs_couplings_and_b_have_a_share_each():
    potential, x = driven("ramp").system.potential, jnp.linspace(-1.0, 2.0, DIM)
    for own, coupled, push in ((1.0, 0.0, 0.0), (0.3, 0.5, 0.9), (0.0, 1.0, 1.0)):
        energy = 0.5 * own * REST * x @ x + 0.5 * coupled * x @ A @ x - push * B @ x
        found = potential.energy(x, jnp.array([own, coupled, push]))
        assert float(found) == pytest.approx(float(energy), rel=1e-12)
    with pytest.raises(ValueError, match=r"control of CoupledSprings has shape \(2,\)"):
        potential.energy(x, jnp.ones(2))


@pytest.mark.parametrize("duration", [0.3, 4.0])
def test_transport_dissipates_the_least(duration):
    """Exactly gamma W_2^2 / tau, by a W_2 of full matrices, and nothing is lacking in the end."""
    found = driven("transport", duration)
    cost = tj.distances.transport_cost_gaussian(np.zeros(DIM), KT / REST, X, KT * INVERSE)
    assert found.dissipation == pytest.approx(GAMMA * float(cost) / duration, rel=1e-8)
    assert abs(found.deficiency) < 1e-9
    np.testing.assert_allclose(found.law.covariance[-1], KT * INVERSE, atol=1e-9)
    np.testing.assert_allclose(found.law.mean[-1], X, atol=1e-9)
    assert found.work == pytest.approx(found.free_energy + found.dissipation, rel=1e-9)


@pytest.mark.parametrize("steering", STEERINGS)
def test_no_steering_is_below_a_bound(steering):
    for duration in (0.3, 4.0):
        found = driven(steering, duration)
        assert found.dissipation >= found.bound * (1 - 1e-8) > 0
        least = tj.linalg.energy_delay(A, max(found.deficiency, 0.0), B, bath=BATH)
        assert found.dissipation * duration >= float(least) * (1 - 1e-7)
        balance = found.free_energy + found.dissipation + found.deficiency
        assert found.work == pytest.approx(balance, rel=1e-9)
    assert f"dissipation {found.dissipation:.4g}, at least {found.bound:.4g}" in str(found)
    ramp = driven("ramp", duration)
    assert found.work >= float(tj.bounds.free_end(ramp.system).work)


def test_infinite_time_takes_the_free_energy_alone():
    """A slow ramp loses in proportion to 1 / duration."""
    lost = [
        found.work - found.free_energy for found in (driven("ramp", x) for x in (1500.0, 3000.0))
    ]
    assert lost[0] == pytest.approx(2 * lost[1], rel=0.02)
    assert 0 < lost[1] < 0.02 * KT
    exact = 0.5 * KT * (np.linalg.slogdet(A)[1] - DIM * np.log(REST)) - 0.5 * B @ X
    assert driven("ramp", 4.0).free_energy == pytest.approx(exact, rel=1e-12)


def test_the_least_energy_times_delay():
    """Against the free ends of transport, each the nearest law with its own deficiency."""
    ramp = driven("ramp")
    for pull in (0.2, 2.0, 20.0):
        longer = ramp.system.replace(protocol=tj.Linear([1.0, 0.0, 0.0], [0.0, 1.0, 1.0], pull))
        bound = tj.bounds.free_end(longer)
        deficiency = float(bound.free_energy) - ramp.free_energy
        least = float(tj.linalg.energy_delay(A, deficiency, B, bath=BATH))
        assert least == pytest.approx(float(bound.dissipation) * pull, rel=1e-6)
        found = driven("transport", 4.0, deficiency=deficiency)
        assert found.deficiency == pytest.approx(deficiency, rel=1e-7)
        assert found.dissipation == pytest.approx(least / 4.0, rel=1e-7)
    levels = tj.linalg.energy_delay(A, [0.0, 0.1, 1.0, 1e4], B, bath=BATH)
    assert np.all(np.diff(levels) < 0) and levels[-1] == pytest.approx(0, abs=1e-9)


def test_answers_are_read_with_their_bill():
    for b, exact in ((B, X), (None, INVERSE)):
        found = driven("transport", b=b)
        answer = found.read(KEY, trajectories=4000, dt=0.02, idle_power=2.0)
        assert np.max(np.abs(answer.value - exact) / answer.error) < 4.5
        assert answer.decomposed and answer.products == 4000 * (200 + 3) * 2
        assert answer.energy.idle == pytest.approx(2.0 * 4000 * 4.0)
        # To let go of the couplings takes what the springs of the idle device have more of.
        position = found.law.mean[-1], found.law.covariance[-1]
        second = np.outer(position[0], position[0]) + np.asarray(position[1])
        idle, there = 0.5 * REST * np.trace(second), 0.5 * np.sum(A * second)
        let_go = idle - there + (0 if b is None else B @ position[0])
        work = answer.energy.work
        assert abs(work.value - 4000 * (found.work + let_go)) < 4.5 * work.error


@pytest.mark.parametrize("b", [B, None], ids=["solution", "inverse"])
def test_the_error_of_what_is_read_knows_what_the_law_lacks(b):
    """Of a short ramp and so many devices that what is wrong is no scatter."""
    found = driven("ramp", 1.5, b)
    answer = found.read(KEY, trajectories=4000, dt=0.02)
    end, exact = (
        (found.law.mean[-1], X) if b is not None else (found.law.covariance[-1] / KT, INVERSE)
    )
    assert answer.bias is not None
    np.testing.assert_allclose(answer.bias, end - exact, atol=1e-9)
    off, scatter = answer.value - exact, np.sqrt(answer.error**2 - answer.bias**2)
    assert np.max(np.abs(off - answer.bias) / scatter) < 4.5
    z = off / answer.error
    assert np.max(np.abs(z)) < 4.5 and np.sqrt(np.mean(z**2)) < 1.2
    assert np.sqrt(np.mean((off / scatter) ** 2)) > 2  # without it the error would be too small


def test_float32_and_other_units():
    single, double = (
        tj.linalg.driven(a, duration=time, steering="ramp", bath=bath, times=SNAPSHOTS)
        for a, time, bath in (
            (A.astype(np.float32), 0.7e-12, tj.Bath(4e-21, 1e-12)),
            (A, 0.7, tj.Bath()),
        )
    )
    assert single.law.covariance.dtype == jnp.float32
    for name in ("work", "dissipation", "deficiency", "bound"):
        assert getattr(single, name) / 4e-21 == pytest.approx(getattr(double, name), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "most"), [(0.0, 1.1), (1.0, 1.3)])
def test_a_trained_steering_knows_the_ends_of_the_spectrum_alone(shift, most):
    """Near to the least for a matrix and b that it has not seen, and far better than the ramp."""
    low, high = np.linalg.eigvalsh(A)[[0, -1]]
    duration, b = GAMMA / low, B if shift else None
    protocol = tj.linalg.trained_steering(
        low, high, duration=duration, shift=shift, steps=120, bath=BATH
    )
    found, ramp = driven(protocol, duration, b), driven("ramp", duration, b)
    least = float(tj.linalg.energy_delay(A, found.deficiency, b, bath=BATH))
    assert least < found.dissipation * duration < most * least
    assert found.deficiency < 0.1 * ramp.deficiency and found.bias < 0.5 * ramp.bias


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(duration=0.0), "duration = 0.0: expected a positive time"),
        (dict(duration=float("nan")), "duration = nan"),
        (dict(steering="fast"), "steering = 'fast': expected 'waiting' or 'ramp' or 'transport'"),
        (dict(steering="ramp", deficiency=0.1), "deficiency is what steering='transport'"),
        (dict(steering="transport", deficiency=-1.0), "deficiency = -1.0"),
        (dict(steering=tj.Linear([1.0, 0.0], [0.0, 1.0], 4.0)), "initial control"),
        (
            dict(steering=tj.Linear([1.0, 0.0, 0.0], [0.0, 1.0, 1.0], 3.0)),
            "steering lasts 3 and duration",
        ),
        (dict(A=lambda x: x), "known by its products alone"),
        (dict(A=-A), "indefinite"),
        (dict(A=A[:4]), "shape"),
        (dict(b=np.full(DIM, np.nan)), "b = "),
        (dict(bath=tj.Bath(friction=jnp.ones(DIM))), "bath changes"),
    ],
)
def test_refusals(change, words):
    arguments = dict(A=A, b=B, duration=4.0) | change
    with pytest.raises(ValueError, match=words):
        tj.linalg.driven(**arguments)
    with pytest.raises(ValueError, match="energies, 0 or more"):
        tj.linalg.energy_delay(A, -0.1)
