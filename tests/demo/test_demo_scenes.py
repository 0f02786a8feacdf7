"""The pictures of the live page without any server: against exact laws that are found otherwise."""

# pyright: reportAttributeAccessIssue=false, reportOptionalSubscript=false

from __future__ import annotations

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.stats import multivariate_normal

import thermojax as tj
from thermojax.demo import erasure, inference, oscillators
from thermojax.demo.erasure import ErasureScene, LeastWork, density_erased
from thermojax.demo.inference import InferenceScene
from thermojax.demo.law import QuadraticEnergy, divergence_from, equilibrium_law, law_moved
from thermojax.demo.messages import Erase, Forget, Point, Ramp
from thermojax.demo.oscillators import Knobs, OscillatorScene, oscillator_truth
from thermojax.demo.self_check import self_check

KNOBS = Knobs(temperature=0.7, friction=0.6, mass=1.4, coupling=1.3)


def drift_of(knobs):
    """d(x, p)/dt = -A (x, p), written out."""
    c, rate = knobs.coupling, knobs.friction / knobs.mass
    k = np.array([[1 + c, -c], [-c, 1 + c]])
    return np.block([[np.zeros((2, 2)), -np.eye(2) / knobs.mass], [k, rate * np.eye(2)]])


def test_the_law_moves_as_its_moment_equation():
    """Against an integrator of ordinary differential equations, heat included."""
    a = drift_of(KNOBS)
    noise = np.diag([0, 0, *2 * [2 * KNOBS.friction * KNOBS.temperature]])
    slope = np.array([0.4, -0.2])
    pull = np.array([0, 0, *slope])

    def rate(_, y):
        m, c = y[:4], y[4:].reshape(4, 4)
        return np.concatenate([pull - a @ m, (noise - a @ c - c @ a.T).ravel()])

    mean, covariance = np.array([1.0, -0.5, 0.3, 0.2]), np.diag([0.2, 0.5, 1.0, 0.1])
    begun = np.concatenate([mean, covariance.ravel()])
    reference = solve_ivp(rate, (0, 1.7), begun, rtol=1e-10, atol=1e-12).y[:, -1]
    energy = QuadraticEnergy(jnp.array(a[2:, :2]), jnp.array(slope), jnp.array(0.3))
    bath = oscillators.bath_of(KNOBS)
    law = equilibrium_law(energy, bath)._replace(
        mean=jnp.array(mean), covariance=jnp.array(covariance)
    )
    after = law_moved(law, energy, bath, 1.7)
    np.testing.assert_allclose(after.mean, reference[:4], atol=1e-8)
    np.testing.assert_allclose(after.covariance, reference[4:].reshape(4, 4), atol=1e-8)

    def h(m, c):
        second = c + np.outer(m, m)
        k = np.block([[a[2:, :2], np.zeros((2, 2))], [np.zeros((2, 2)), np.eye(2) / KNOBS.mass]])
        return 0.5 * np.sum(k * second) - slope @ m[:2]

    lost = h(mean, covariance) - h(reference[:4], reference[4:].reshape(4, 4))
    assert float(after.heat) == pytest.approx(lost, abs=1e-8)


def test_the_divergence_is_that_of_two_gaussians():
    energy = QuadraticEnergy(jnp.array([[2.0]]), jnp.array([1.0]), jnp.array(0.0))
    rest = equilibrium_law(energy, tj.Bath(1.0, 1.0, 1.0))
    other = rest._replace(mean=jnp.array([1.5, 0.0]), covariance=jnp.diag(jnp.array([1.0, 1.0])))
    # x alone differs: N(1.5, 1) from N(0.5, 1/2); (2 + 2 - 1 - ln 2) / 2.
    assert float(divergence_from(other, rest)) == pytest.approx((3 - math.log(2)) / 2)


def test_the_truth_of_the_knobs():
    interval = 0.8
    inverse, covariance, correlation, tau = oscillator_truth(KNOBS, interval)
    a = np.array([[2.3, -1.3], [-1.3, 2.3]])
    np.testing.assert_allclose(inverse, np.linalg.inv(a), atol=1e-12)
    np.testing.assert_allclose(covariance, 0.7 * np.linalg.inv(a), atol=1e-12)
    positions = 0.7 * np.linalg.inv(a)
    full = np.block([[positions, np.zeros((2, 2))], [np.zeros((2, 2)), 0.7 * 1.4 * np.eye(2)]])
    drift = drift_of(KNOBS)
    rho = lambda k: (expm(-drift * interval * k) @ full)[0, 0] / full[0, 0]
    np.testing.assert_allclose(correlation, [rho(k) for k in range(32)], atol=1e-10)
    assert float(tau) == pytest.approx(1 + 2 * sum(rho(k) for k in range(1, 200)), abs=1e-9)


@pytest.fixture(scope="module")
def quenched():
    """128 machines at equilibrium; then the coupling jumps from 0 to 1, and they relax."""
    scene = OscillatorScene(jax.random.key(1))
    scene.frame()
    scene.turn(coupling=1.0, speed=8.0)
    frames = [scene.frame() for _ in range(200)]
    return scene, frames


def test_moving_the_coupling_is_work(quenched):
    """Half of tr(dA Cov): 1 kT at the coupling 1, and all of it becomes heat; Delta S is known."""
    scene, frames = quenched
    (work, heat, energy, entropy) = frames[-1]["account"]
    assert work[2] == pytest.approx(1.0, abs=1e-4)
    assert heat[2] == pytest.approx(1.0, abs=1e-3)  # <H> is kT for each mode before and after
    assert energy[2] == pytest.approx(0.0, abs=1e-3)
    # dS = -ln det A / 2 and Q = 1: Sigma = 1 - ln(3) / 2 > 0.
    assert entropy[2] == pytest.approx(1 - 0.5 * math.log(3), abs=1e-3)
    for mean, error, exact in (work, heat, energy, entropy):
        assert 0 < error < 0.5 and abs(mean - exact) < 5 * error  # 128 independent machines
    book = scene.chain.ledger
    missed = book.energy - book.energy_start - (book.total_work - book.heat)
    assert float(jnp.max(jnp.abs(missed))) < 1e-9


def test_samples_count_only_where_the_law_has_relaxed(quenched):
    _, frames = quenched
    # KL of the quench is (tr A - 2 - ln det A) / 2 at first, then it falls.
    assert not frames[0]["relaxed"] and frames[0]["samples"] == 0 and frames[0]["new"] == []
    assert frames[0]["divergence"] < (4 - 2 - math.log(3)) / 2
    assert frames[-1]["relaxed"] and frames[-1]["divergence"] < 1e-3
    first = next(i for i, frame in enumerate(frames) if frame["relaxed"])
    assert all(frame["divergence"] >= 0.01 for frame in frames[:first])


def test_the_inverse_and_the_correlation_are_those_of_the_truth(quenched):
    scene, frames = quenched
    value, error = np.array(frames[-1]["estimate"])
    exact = np.array([2 / 3, 1 / 3, 2 / 3])
    assert np.all(error < 0.05) and np.all(np.abs(value - exact) < 5 * error)
    truth, tau = scene.truth(), frames[-1]["tau"]
    assert abs(tau[0] - truth["tau"]) < 5 * tau[1] and tau[1] < 0.2 * truth["tau"]
    # 256 samples of 128 machines: the error of rho(k) is below sqrt(tau / samples).
    spread = math.sqrt(truth["tau"] / (256 * 128))
    away = np.abs(np.array(frames[-1]["correlation"]) - truth["correlation"]) / 1000
    assert np.max(away) < 5 * spread
    counts = np.array(frames[-1]["counts"])
    assert counts.sum(1).tolist() == [frames[-1]["samples"]] * 2


def test_every_knob_is_felt_and_nothing_is_traced_again(quenched):
    scene, _ = quenched
    compiled = [
        oscillators.oscillator_frame._cache_size(),
        oscillators.oscillator_account._cache_size(),
    ]
    before = scene.truth()
    for name, value in dict(temperature=2.0, friction=0.3, mass=2.5, coupling=3).items():
        scene.turn(**{name: value})
        frame = scene.frame()
        after = frame["truth"]
        moved = {"temperature": "covariance", "coupling": "inverse"}.get(name, "correlation")
        assert after[moved] != before[moved], name
        before = after
    steps = []
    for interval, speed in ((0.05, 1.0), (6.0, 1.0), (6.0, 16.0)):
        scene.turn(interval=interval, speed=speed)
        assert scene.frame()["truth"]["interval"] == interval
        assert scene.stride * scene.segment == pytest.approx(interval)
        steps.append(scene.segment)
    assert steps[2] > steps[1]  # faster
    assert compiled == [
        oscillators.oscillator_frame._cache_size(),
        oscillators.oscillator_account._cache_size(),
    ]


def test_what_a_scene_keeps_is_bounded(quenched):
    """All that it holds is of one size, however long it runs, and so are the frames."""
    scene, _ = quenched
    scene.turn(interval=0.05, speed=1.0)

    def held():
        arrays = [x for x in vars(scene).values() if isinstance(x, np.ndarray)]
        leaves = jax.tree.leaves((scene.chain, scene.law, scene.first_law))
        return sum(x.size for x in arrays) + sum(jnp.size(x) for x in leaves)

    for _ in range(30):
        scene.frame()
    before = held()
    sizes = [len(json.dumps(scene.frame())) for _ in range(150)]
    assert held() == before and max(sizes) < 12_000


def test_the_self_check_finds_a_wrong_simulation(monkeypatch):
    from thermojax.demo import self_check as module

    good = self_check(jax.random.key(3))
    assert good.fine and good.first_law < 1e-10
    assert len(good.comparisons) == 9 and all(x.error > 0 for x in good.comparisons)

    def warmer(knobs):  # a bath that is a tenth too hot
        bath = tj.Bath(1.1 * knobs.temperature, knobs.friction, knobs.mass)
        return oscillators.oscillator_system(knobs).replace(bath=bath)

    monkeypatch.setattr(module, "oscillator_system", warmer)
    bad = self_check(jax.random.key(3))
    assert not bad.fine
    wrong = {x.name for x in bad.comparisons if not x.fine}
    assert "(A^-1)_11 from <x1 x1>/kT" in wrong and "mean of x1 at time 1" not in wrong


LINES = np.array(erasure.LINES, float)


def test_a_bit_is_erased_as_its_density_says():
    scene = ErasureScene(jax.random.key(4))
    frame = scene.frame()
    assert frame is not None and scene.frame() is None  # until something is drawn
    for numbers in (frame["hand"], frame["trained"]):
        mean, error = numbers["work"]
        assert error < 0.06 and abs(mean - numbers["exact_work"]) < 5 * error
        failed, spread = numbers["failures"]
        assert abs(failed - numbers["exact_failures"]) < 5 * spread
        assert numbers["landauer"] < numbers["in_time"] < numbers["exact_work"]
    assert frame["trained"]["exact_work"] < frame["hand"]["exact_work"] - 0.5
    assert np.all(np.array(frame["counts"]).sum(1) == erasure.PATHS)
    mass = np.array(frame["density"]).sum(1) / 1000 * (2 * erasure.WALL / erasure.CELLS)
    np.testing.assert_allclose(mass, 1, atol=5e-3)


def test_a_protocol_that_does_nothing_costs_nothing_and_erases_nothing():
    scene = ErasureScene(jax.random.key(5))
    scene.take(Erase(do="erase", lowering=[1.0] * 9, tilt=[0.0] * 9, duration=3))
    numbers = scene.frame()["hand"]
    assert numbers["exact_work"] == pytest.approx(0, abs=1e-9)
    assert numbers["exact_failures"] == pytest.approx(0.5, abs=1e-6)
    assert numbers["in_time"] == pytest.approx(0, abs=1e-3)
    assert abs(numbers["failures"][0] - 0.5) < 5 * math.sqrt(0.25 / erasure.PATHS)
    assert abs(numbers["work"][0]) < 0.05  # of steps in narrow wells
    # The other way round is as bad a bit, and as dear: nobody asked for that side.
    other = ErasureScene(jax.random.key(6))
    lowering, tilt = LINES[:, 0].tolist(), (-LINES[:, 1] / 2).tolist()
    other.take(Erase(do="erase", lowering=lowering, tilt=tilt, duration=3))
    numbers = other.frame()["hand"]
    assert numbers["exact_failures"] > 0.95 and numbers["in_time"] < numbers["exact_work"]


def test_the_bounds_that_are_shipped_are_those_of_the_library():
    """At a success between the points where they were computed, and at a sure one."""
    bounds = LeastWork()
    system = erasure.erasure_system(LINES, 3.0)
    for success in (0.87, 1.0):
        direct = tj.bounds.erasure(system, success, end="free", template=erasure.bit_at_rest())
        assert bounds.in_time(success, 3.0) == pytest.approx(float(direct.work), abs=2e-3)
        assert bounds.in_time(1 - success, 3.0) == bounds.in_time(success, 3.0)
    odds = np.linspace(0.5, 1, 200)
    for duration in (1.0, 3.0, 10.0):
        works = [bounds.in_time(p, duration) for p in odds]
        assert np.all(np.diff(works) > -1e-6)
        assert np.all(works >= np.asarray(tj.bounds.landauer(odds)) - 2e-3)
    for p in odds:  # slower is cheaper
        assert bounds.in_time(p, 10.0) <= bounds.in_time(p, 3.0) <= bounds.in_time(p, 1.0)


def test_the_trained_schedules_are_better_than_straight_lines():
    """With next to no failures, and never below the bound; the density on a grid says so."""
    bounds = LeastWork()
    for duration in (1.0, 3.0, 10.0):
        _, work, failures = density_erased(bounds.trained(duration), duration)
        _, lines, _ = density_erased(LINES, duration)
        least = bounds.in_time(1 - float(failures), duration)
        assert failures < 2e-3 and least < work < lines


DATA = [(-0.8, -0.5), (0.1, 0.3), (0.9, 1.4)]


def evidence(points, noise):
    """ln p(y) of y = a + b u + noise with a, b ~ N(0, 1), from the law of y itself."""
    u, y = np.array(points).T
    covariance = 1 + np.outer(u, u) + noise**2 * np.eye(len(u))
    return multivariate_normal(np.zeros(len(u)), covariance).logpdf(y)


def test_points_carry_the_machines_to_the_posterior():
    scene = InferenceScene(jax.random.key(7))
    compiled = None
    scene.take(Ramp(do="ramp", duration=6.0))
    for u, y in DATA:
        scene.take(Point(do="point", u=u, y=y))
    for _ in range(160):
        frame = scene.frame()
        compiled = compiled or inference.inference_frame._cache_size()
    work, heat, free, wasted, above = np.array(frame["books"])
    exact = -evidence(DATA, 0.3)
    assert free[2] == pytest.approx(exact, abs=1e-3)
    assert abs(free[0] - exact) < 5 * free[1] and free[1] < 0.5
    assert wasted[2] == pytest.approx(work[2] - exact, abs=1e-3) and wasted[2] > 0
    assert 0 <= above[2] < 1e-3
    for mean, error, of_law in (work, heat):
        assert abs(mean - of_law) < 5 * error and error < 1
    features = np.stack([np.ones(3), [u for u, _ in DATA]], 1)
    precision = np.eye(2) + features.T @ features / 0.09
    mean = np.linalg.solve(precision, features.T @ [y for _, y in DATA] / 0.09)
    np.testing.assert_allclose(np.array(frame["posterior"][0]) / 1000, mean, atol=1e-3)
    covariance = np.linalg.inv(precision)
    np.testing.assert_allclose(frame["posterior"][1], covariance[[0, 0, 1], [0, 1, 1]], atol=1e-4)
    machines = np.array(frame["machines"]) / 1000
    error = np.sqrt(np.diagonal(covariance) / len(machines))
    assert np.all(np.abs(machines.mean(0) - mean) < 5 * error)
    assert [point[2] for point in frame["points"]] == [1.0] * 3

    # Other noise is another energy; without data all is as it was, but for the work.
    scene.take(Ramp(do="ramp", duration=1.0, noise=0.6))
    frame = scene.frame()
    assert frame["books"][2][2] == pytest.approx(-evidence(DATA, 0.6), abs=1e-3)
    scene.take(Forget(do="forget"))
    for _ in range(100):
        frame = scene.frame()
    assert frame["books"][2][2] == pytest.approx(0, abs=1e-3) and frame["points"] == []
    assert frame["books"][0][2] > work[2] - exact  # second law: a cycle costs
    assert inference.inference_frame._cache_size() == compiled
    scene.take(Point(do="point", u=0.0, y=1.0))  # in a row that is free again
    assert len(scene.frame()["points"]) == 1
