"""Energies learned from data: gradients, weights, likelihoods, and what ends a training."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from thermojax.ebm.walkers import base_of

KEY = jax.random.key(0)
MOVES = tj.ebm.Moves(dt=0.02, steps=5)
S = np.array([[1.0, 0.5], [0.5, 2.0]])


def with_moments(covariance, pairs: int = 1):
    """Positions whose mean is zero and whose second moments are exactly these."""
    rows = np.sqrt(len(covariance)) * np.linalg.cholesky(covariance).T
    return jnp.asarray(np.tile(np.concatenate([rows, -rows]), (pairs, 1)))


def test_a_gaussian_climbs_its_likelihood_as_it_must():
    """A <- A + 0.1 (A^-1 - S) from 1: |A - S^-1| after 1, 10 and 100 steps, twice the gradient."""
    data, model = with_moments(S), tj.ebm.GaussianEnergy(np.eye(2))
    slope = eqx.filter_jit(
        lambda model, *given: eqx.filter_grad(lambda m: tj.ebm.contrast(m, *given))(model)
    )
    distances = []
    for _ in range(100):
        positions = with_moments(np.linalg.inv(model.precision))
        change = 0.2 * slope(model, data, positions).precision
        model = tj.ebm.GaussianEnergy(model.precision - change)
        distances.append(np.linalg.norm(model.precision - np.linalg.inv(S)))
    exact, reference = np.eye(2), []
    for _ in range(100):
        exact = exact + 0.1 * (np.linalg.inv(exact) - S)
        reference.append(np.linalg.norm(exact - np.linalg.inv(S)))
    np.testing.assert_allclose(distances, reference, atol=1e-10)
    np.testing.assert_allclose(np.array(distances)[[0, 9, 99]], [0.489, 0.1212, 3.17e-4], rtol=2e-3)


def test_a_gaussian_is_learned_from_walkers():
    """To the maximum of the likelihood within 4.5 errors of walkers, and ln p with its error."""
    data = with_moments(S, 256)
    method = tj.ebm.Nonequilibrium(MOVES, walkers=2048, witnesses=2048)
    rate = optax.exponential_decay(0.1, 100, 0.3)
    fit = tj.ebm.fit(
        tj.ebm.GaussianEnergy(np.diag([1.0, 0.5])), data, optax.sgd(rate), KEY, method=method,
        batch=1024, steps=300,
    )  # fmt: skip
    trained: Any = fit.model
    found, best = np.asarray(trained.precision), np.linalg.inv(S)
    # Batches have moments of their own: relative errors of variances by 1024 data and walkers.
    np.testing.assert_allclose(found, best, atol=4.5 * 2 * np.linalg.norm(best) / 1024**0.5)
    exact = 0.5 * np.linalg.slogdet(found)[1] - np.log(2 * np.pi) - 0.5 * np.trace(found @ S)
    estimate = fit.log_likelihood(data)
    assert abs(float(estimate.value) - exact) < 4.5 * float(estimate.error) + 1e-3
    assert float(estimate.error) < 0.05


def test_the_evidence_of_any_model_by_fresh_walkers():
    """Of a Gaussian, ln Z = ln 2 pi - ln det A / 2, and of a ring of spins, 4.5 errors each."""
    moves = tj.ebm.Moves(dt=0.3, steps=4, friction=1.0)
    model = tj.ebm.GaussianEnergy(np.linalg.inv(S) * 3)
    found = tj.ebm.log_z(model, with_moments(S), KEY, moves=moves, walkers=2048, ramp=20)
    exact = np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(S / 3)[1]
    assert abs(float(found.value) - exact) < 4.5 * float(found.error) < 0.1
    ring = tj.ebm.Ising(tj.ebm.lattice((4,)), beta=0.5)
    found = tj.ebm.log_z(ring, jnp.ones((1, 4)), KEY, moves=moves, walkers=2048, ramp=20)
    # The transfer matrix of a ring of four.
    exact = np.log((2 * np.cosh(0.5)) ** 4 + (2 * np.sinh(0.5)) ** 4)
    assert abs(float(found.value) - exact) < 4.5 * float(found.error) < 0.1


def test_a_base_is_as_wide_as_the_data_in_any_unit():
    """In nanometers, and where a coordinate, or everything, is constant."""
    model = tj.LogDensity(lambda x: -jnp.sum(x**2))
    data = 1e-9 * jnp.array([[1.0, 5.0], [3.0, 5.0]])
    base: Any = base_of(model, data)[0]
    np.testing.assert_allclose(base.variance, np.array([1e-18, 1e-6 * np.var(data)]), rtol=1e-6)
    base = base_of(model, jnp.ones((2, 2)))[0]
    np.testing.assert_array_equal(base.variance, 1)


def two_islands(n: int):
    """80 % of the data around (3, 0), the rest around (-3, 0): exactly, and far apart."""
    noise = 0.4 * jax.random.normal(KEY, (n, 2))
    right = (jnp.arange(n) % 5 > 0)[:, None]
    return jnp.where(right, jnp.array([3.0, 0.0]), jnp.array([-3.0, 0.0])) + noise


def small_energy():
    return tj.ebm.NeuralEnergy.mlp(2, KEY, width=32, scale=4.0, activation="softplus")


def test_scores_are_those_of_noisy_data():
    """Of a Gaussian the minimum is the precision of data and noise together, at its zero slope."""
    data = with_moments(S, 4096)
    loss = lambda model: tj.ebm.score_matching(model, data, KEY, 0.5)
    at = tj.ebm.GaussianEnergy(np.linalg.inv(S + 0.25 * np.eye(2)))
    slope = np.asarray(eqx.filter_grad(loss)(at).precision)
    elsewhere = np.asarray(eqx.filter_grad(loss)(tj.ebm.GaussianEnergy(np.eye(2))).precision)
    # 16,384 data: a standard error of about one in 128 for products of order 1.
    assert np.max(np.abs(slope)) < 4.5 / 128 < np.max(np.abs(elsewhere))


@pytest.mark.parametrize("kind", ["mlp", "convolutional", "pytree"])
def test_a_network_begins_as_its_gaussian(kind):
    made: dict[str, Any] = {
        "mlp": (lambda: tj.ebm.NeuralEnergy.mlp(2, KEY, width=4, scale=3.0), jnp.ones(2)),
        "convolutional": (
            lambda: tj.ebm.NeuralEnergy.convolutional((4, 6), KEY, channels=(2, 3), scale=3.0),
            jnp.ones(24),
        ),
        "pytree": (
            lambda: tj.ebm.NeuralEnergy(lambda x: 0.0 * jnp.sum(x["a"]) * x["b"], 3.0),
            dict(a=jnp.ones((2, 2)), b=jnp.ones(())),
        ),
    }
    build, x = made[kind]
    model = build()
    size = sum(leaf.size for leaf in jax.tree.leaves(x))
    np.testing.assert_allclose(model.energy(x, None), size / 18, rtol=1e-12)
    base = model.base(x)
    exact = size / 18 + size * np.log(3 * (2 * np.pi) ** 0.5)
    np.testing.assert_allclose(base.energy(x, None), exact, rtol=1e-12)
    slope = jax.grad(lambda x: model.energy(x, None))(x)
    np.testing.assert_allclose(jax.tree.leaves(slope)[0].ravel()[0], 1 / 9, rtol=1e-12)


def test_a_network_may_tilt_any_law_that_can_be_drawn():
    law = tj.Gaussian(jnp.array([1.0, 0.0]), S)
    model = tj.ebm.NeuralEnergy.mlp(2, KEY, width=8, around=law)
    method = tj.ebm.Nonequilibrium(MOVES, walkers=64, witnesses=64)
    data = law.sample(KEY, None, 1.0, 512, jnp.zeros(2))
    fit = tj.ebm.fit(model, data, optax.adam(1e-3), KEY, method=method, batch=64, steps=20)
    # A normalized law at first, but for what the moves did; and the law itself does not train.
    assert abs(fit.history["log_z"][0]) < 4.5 * fit.history["log_z_error"][0] < 0.01
    trained: Any = fit.model
    for name in ("mean", "covariance"):
        np.testing.assert_array_equal(getattr(trained.around, name), getattr(law, name))
    with pytest.raises(ValueError, match="which cannot be drawn exactly"):
        tj.ebm.NeuralEnergy(jnp.sum, around=tj.LogDensity(jnp.sum))


def test_walkers_that_begin_far_from_the_model_are_warned_of():
    """A narrow well beside the data: a ramp brings walkers there."""
    far, data = tj.ebm.GaussianEnergy(25.0 * np.eye(2), jnp.array([2.0, 0.0])), with_moments(S)
    moves = tj.ebm.Moves(0.02, 2, adjusted=True)
    method = lambda ramp: tj.ebm.Nonequilibrium(moves, walkers=256, witnesses=256, ramp=ramp)
    with pytest.warns(UserWarning, match=r"begin far from the model.*such as ramp=100"):
        method(0).begin(far, data, KEY)
    walkers, _ = method(100).begin(far, data, KEY)  # and no warning
    assert float(walkers.effective_samples) > 0.05 * 256


class Counted(tj.AbstractPotential):
    """A well that counts how often it is traced."""

    stiffness: jax.Array
    calls: list = eqx.field(static=True)

    def energy(self, x, control):
        self.calls.append(0)
        return 0.5 * jnp.sum(self.stiffness * x**2)


def test_a_step_is_compiled_once_and_its_buffers_are_given_back():
    counts = []
    for steps in (2, 12):
        model = Counted(jnp.ones(2), [])
        fit = tj.ebm.fit(
            model, with_moments(S), optax.adam(1e-2), KEY, batch=4, steps=steps,
            method=tj.ebm.Nonequilibrium(MOVES, walkers=16, witnesses=16),
        )  # fmt: skip
        counts.append(len(model.calls))
        np.testing.assert_array_equal(model.stiffness, 1)  # the caller's own is kept
        assert np.all(np.isfinite(jax.tree.leaves(fit.positions)[0]))
    assert counts[0] == counts[1]


def test_the_evidence_that_comes_back_is_that_of_the_model_that_comes_back():
    """ln Z after two steps is what the third one begins with: adjusted moves leave it as it is."""
    moves = tj.ebm.Moves(0.05, 2, adjusted=True)
    method = tj.ebm.Nonequilibrium(moves, walkers=64, witnesses=64)
    start, data = tj.ebm.GaussianEnergy(np.eye(2)), with_moments(S, 8)
    two, three = (
        tj.ebm.fit(start, data, optax.sgd(0.2), KEY, method=method, batch=32, steps=n)
        for n in (2, 3)
    )
    assert float(two.log_z.value) == pytest.approx(three.history["log_z"][2], abs=1e-9)
    assert abs(three.history["log_z"][2] - three.history["log_z"][1]) > 0.01
    trained: Any = two.model
    mean = float(jnp.mean(jax.vmap(lambda x: trained.energy(x, None))(data)))
    found = two.log_likelihood(data)
    assert float(found.value) == pytest.approx(-mean - float(two.log_z.value))


def test_chains_of_a_loop_of_ones_own():
    """The explicit step: advance, gradient, optimizer, switch; ln Z of a Gaussian to 4.5 errors."""
    of, data = MOVES.system, with_moments(S, 64)
    base, model = tj.DiagonalGaussian(jnp.zeros(2)), tj.ebm.GaussianEnergy(np.eye(2))

    @eqx.filter_jit
    def step(model, chain, key):
        chain = tj.advance(of(model), chain, dt=0.02, steps=5)
        slope = eqx.filter_grad(tj.ebm.likelihood_loss)(model, data, chain)
        new = eqx.apply_updates(model, jax.tree.map(lambda x: -0.05 * x, slope))
        chain = tj.resample(tj.switch(chain, of(model), of(new)), key, groups=16)
        return new, chain

    chain = tj.start(of(base), KEY, batch=4096)
    chain = tj.switch(chain, of(base), of(model))
    for i in range(60):
        model, chain = step(model, chain, jax.random.key(i))
    found = tj.ebm.log_likelihood(model, data, chain, groups=16)
    a = np.asarray(model.precision)
    exact = 0.5 * np.linalg.slogdet(a)[1] - np.log(2 * np.pi) - 0.5 * np.trace(a @ S)
    # These walkers have trained the model: a bias of a few errors is expected, and told.
    assert abs(float(found.value) - exact) < 8 * float(found.error)
    assert np.linalg.norm(a - np.eye(2)) > 0.1


class Tilted(tj.AbstractPotential):
    """A quartic well whose wall trains, and a slope that falls for ever once it is negative."""

    wall: jax.Array

    def energy(self, x, control):
        return jnp.sum(self.wall * x**4)


def test_an_energy_without_a_bottom_stops_with_the_last_good_model():
    """A gradient that is turned around drives the wall down until it falls."""
    fit = tj.ebm.fit(
        Tilted(jnp.asarray(0.2)), 3 + jnp.zeros((64, 1)), optax.sgd(2e-4), KEY, batch=64, steps=200,
        method=tj.ebm.Persistent(tj.ebm.Moves(0.05, 20), buffer=256),
    )  # fmt: skip
    assert "of the walkers diverged" in fit.stopped and "no bound below" in fit.stopped
    last: Any = fit.model
    assert np.isfinite(last.wall) and len(fit.history["loss"]) < 200


def test_walkers_that_have_collapsed_are_told():
    data = two_islands(256)
    narrow = tj.ebm.GaussianEnergy(400 * np.eye(2))
    with pytest.warns(UserWarning, match="of what the data do along their main direction"):
        tj.ebm.fit(
            narrow, data, optax.sgd(1e-9), KEY, batch=64, steps=30,
            method=tj.ebm.Persistent(tj.ebm.Moves(1e-3, 50), buffer=64),
        )  # fmt: skip


def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path):
    """A callback that raises in the middle, and the same call again."""
    run = functools.partial(
        tj.ebm.fit, small_energy(), two_islands(128), optax.adam(1e-3), KEY, batch=32, steps=12,
        method=tj.ebm.Nonequilibrium(MOVES, walkers=32, witnesses=32),
    )  # fmt: skip
    whole = run()
    at = lambda: tj.Checkpoint(tmp_path / "training", interval=0.0)

    def killed(progress):
        if progress.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(callback=killed, checkpoint=at())
    seen = []
    again = run(callback=lambda p: seen.append(p.step), checkpoint=at())
    assert seen[0] == 7
    for name, values in whole.history.items():
        np.testing.assert_array_equal(again.history[name], values)
    jax.tree.map(
        np.testing.assert_array_equal,
        *map(eqx.filter, (whole.model, again.model), [eqx.is_array] * 2),
    )
    with pytest.raises(tj.CheckpointError, match="another key"):
        tj.ebm.fit(
            small_energy(), two_islands(128), optax.adam(1e-3), jax.random.key(9), batch=32,
            steps=12, method=tj.ebm.Nonequilibrium(MOVES, walkers=32, witnesses=32),
            checkpoint=at(),
        )  # fmt: skip


def test_replicas_cross_a_wall_that_one_temperature_does_not():
    """The weight of two wells by quadrature, within 4.5 errors of 64 independent columns."""

    class Wells(tj.AbstractPotential):
        def energy(self, x, control):
            return 4 * (x[0] ** 2 - 1) ** 2 - 0.25 * x[0]

    moves = tj.ebm.Moves(0.1, 5, friction=1.0, adjusted=True)
    exchange = functools.partial(
        tj.ebm.replica_exchange, Wells(), KEY, initial=-jnp.ones((64, 1)), moves=moves, rounds=500
    )
    out = exchange(temperatures=[0.25, 0.5, 1.0, 2.0])
    x = np.linspace(-3, 3, 4001)
    weight = np.exp(-(4 * (x**2 - 1) ** 2 - 0.25 * x) / 0.25)
    exact = weight[x > 0].sum() / weight.sum()
    columns = np.mean(np.asarray(out.samples)[100:, :, 0] > 0, axis=0)
    assert abs(columns.mean() - exact) < 4.5 * columns.std() / 8 and columns.std() < 0.2
    assert out.doubt is None and np.all(out.round_trips > 0) and np.all(out.swap_rate > 0.3)
    # What is swapped is accounted for: the energies belong to the positions.
    x = np.asarray(out.position)[..., 0]
    last = 4 * (x**2 - 1) ** 2 - 0.25 * x
    np.testing.assert_allclose(out.energy[-1], last, rtol=1e-6, atol=1e-9)
    rarely = eqx.tree_at(lambda out: out.swap_rate, out, jnp.array([0.5, 0.03, 0.5]))
    assert rarely.doubt is not None and "between temperatures 1 and 2 happened" in rarely.doubt
    nowhere = eqx.tree_at(lambda out: out.round_trips, out, jnp.zeros(64, int))
    assert nowhere.doubt is not None and "no replica" in nowhere.doubt


def test_conditional_laws_are_those_of_the_joint():
    """Of a Gaussian: the mean of x_1 given x_0, and its variance."""
    joint = tj.ebm.GaussianEnergy(np.linalg.inv(S))
    given = tj.ebm.Conditioned(joint, [1.2, 0.0], np.array([False, True]))
    slope, curvature = (f(lambda x: given.energy(x, None)) for f in (jax.grad, jax.hessian))
    at = jnp.array([0.6])  # 0.5 / 1 of 1.2
    np.testing.assert_allclose(slope(at), 0, atol=1e-12)
    np.testing.assert_allclose(curvature(at), 1 / (2 - 0.25), rtol=1e-12)
    np.testing.assert_allclose(given.whole(at), [1.2, 0.6])


def test_soft_spins_order_as_their_lattice_couples():
    coupling = tj.ebm.lattice((3, 3), 0.5)
    soft = tj.ebm.SoftSpins(coupling, barrier=2.0, field=0.1)
    x = jax.random.normal(KEY, (9,))
    pairs = sum(coupling[i, j] * x[i] * x[j] for i in range(9) for j in range(i))
    exact = 2 * jnp.sum((x**2 - 1) ** 2) - pairs - 0.1 * jnp.sum(x)
    np.testing.assert_allclose(soft.energy(x, None), exact, rtol=1e-12)


def fit_of(**changes):
    given: dict[str, Any] = dict(
        model=small_energy(), data=two_islands(16), optimizer=optax.adam(1e-3), key=KEY, batch=4,
        steps=1, method=tj.ebm.ScoreMatching(0.5),
    )  # fmt: skip
    return tj.ebm.fit(**(given | changes))


WRONG: Any = 0.1
BAD = {
    "nan": (lambda: fit_of(data=jnp.array([[0.0, 1.0], [jnp.nan, 0.0]])), "1 of 2 data are not"),
    "shape": (lambda: fit_of(data=jnp.zeros((4, 3))), "data of shape"),
    "nothing": (lambda: fit_of(model=tj.LogDensity(lambda x: -jnp.sum(x**2))), "nothing to train"),
    "model": (lambda: fit_of(model=3), "model is a int: expected a potential"),
    "latent": (
        lambda: fit_of(model=tj.ebm.Ising(np.zeros((2, 2))), data=jnp.ones((4, 2))),
        "whose positions are the data",
    ),
    "memory": (
        lambda: fit_of(method=tj.ebm.Persistent(MOVES, buffer=10**13)),
        "10,000,000,000,000 walkers of 2 coordinates take",
    ),
    "witnesses": (lambda: tj.ebm.Nonequilibrium(MOVES, witnesses=10), "expected a multiple of 16"),
    "scale": (lambda: tj.ebm.ScoreMatching((2.0, 1.0)), "or two in order"),
    "share": (lambda: tj.ebm.Persistent(MOVES, renewed=1.0), "expected a share"),
    "moves": (lambda: tj.ebm.ContrastiveDivergence(WRONG), "moves is a float: expected"),
    "precision": (lambda: tj.ebm.GaussianEnergy(-np.eye(2)), "has no finite integral"),
    "free": (lambda: tj.ebm.Conditioned(small_energy(), [0.0, 0.0], [0, 1]), "booleans"),
    "network": (lambda: tj.ebm.NeuralEnergy(lambda x: x).energy(jnp.ones(3), None), "one number"),
    "temperatures": (
        lambda: tj.ebm.replica_exchange(
            small_energy(), KEY, [2.0, 1.0], initial=jnp.zeros((2, 2)), moves=MOVES, rounds=1
        ),
        "positive and increasing",
    ),
    "weights": (
        lambda: tj.ebm.contrast(small_energy(), jnp.ones((2, 2)), jnp.ones((3, 2)), jnp.ones(2)),
        r"weights has shape \(2,\)",
    ),
    "groups": (
        lambda: tj.ebm.log_likelihood(
            small_energy(), jnp.ones((2, 2)),
            tj.start(MOVES.system(small_energy()), KEY, initial=jnp.ones((3, 2))), groups=2,
        ),
        "expected a divisor of 3 paths",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_in_words(case):
    make, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        make()
