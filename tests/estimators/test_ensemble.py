"""The ensemble's ledger from paths, entropy from samples, the entropy production of a path."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(0)
PRIOR = tj.Gaussian(jnp.zeros(1), 2.0)
DATA = tj.Gaussian(jnp.ones(1), 0.5)
RAMP = tj.Overdamped(tj.Interpolation(PRIOR, PRIOR + DATA), tj.Linear(0.0, 1.0, 1.0), tj.Bath())
ENTRIES = (
    "work",
    "heat",
    "energy",
    "entropy",
    "free_energy",
    "equilibrium_free_energy",
    "divergence",
    "entropy_production",
)


@pytest.fixture(scope="module")
def run():
    return tj.simulate(RAMP, KEY, dt=2.5e-3, batch=8000, save=5)


@pytest.fixture(scope="module")
def exact():
    return tj.moments(RAMP, 5)


def test_paths_agree_with_the_moment_equations(run, exact):
    """Every quantity at every instant, within 4 standard errors."""
    found = tj.ensemble_ledger(RAMP, run)
    for name in ENTRIES:
        estimate, value = getattr(found, name), getattr(exact.ledger, name)
        error = np.maximum(estimate.error, 1e-12)
        z = np.asarray((estimate.value - value) / error)
        assert np.all(np.abs(z) < 4), (name, z)


def test_entropy_production_of_every_path(run, exact):
    """<exp(-total)> = 1, the mean is the entropy production, its parts are Delta S and beta Q."""
    found = tj.entropy_production(RAMP, run, exact.log_density(-1))
    ledger = exact.ledger
    for values, wanted in (
        (jnp.exp(-found.total), 1.0),
        (found.total, ledger.entropy_production[-1]),
        (found.medium, ledger.bath_entropy[-1]),
        (found.system, ledger.entropy[-1] - ledger.entropy[0]),
    ):
        mean = run.mean(values)
        assert abs(float(mean.value - wanted)) < 4 * float(mean.error)


def test_with_the_final_equilibrium_it_is_the_dissipated_work(run):
    """Path by path: total = beta (W_total - Delta F)."""
    posterior = tj.Gaussian(jnp.full(1, 0.8), 0.4)  # 1/2 + 2 = 1/0.4; 0.4 * 2 = 0.8
    density = lambda x: -posterior.energy(x, None)
    level = -jax.scipy.stats.norm.logpdf(1.0, 0.0, np.sqrt(2.5))  # -ln p(y)
    found = tj.entropy_production(RAMP, run, density)
    np.testing.assert_allclose(found.total, run.ledger.total_work - level, atol=1e-9)


def test_heat_splits_into_kinetic_and_configurational():
    """A released pendulum, without noise to speak of: Q_kin = -Delta K, and both add up."""
    system = tj.Underdamped(tj.Harmonic(2.0, jnp.zeros(1)), tj.Constant(0.0, 2.0), tj.Bath(0.5))
    state = tj.State(jnp.ones((6, 1)), jnp.full((6, 1), 0.3))
    book = tj.simulate(system, KEY, dt=0.02, initial=state).ledger
    out = tj.simulate(system, KEY, dt=0.02, initial=state)
    kinetic = 0.5 * (jnp.sum(out.momentum**2, axis=1) - 0.09)
    np.testing.assert_allclose(book.kinetic_heat, -kinetic, atol=1e-12)
    potential = jnp.sum(out.position**2, axis=1) - 1.0
    np.testing.assert_allclose(book.configurational_heat, book.total_work - potential, atol=1e-12)


def test_power_at_requested_instants(exact):
    """<dU/dt> = <-ln p(y|x)> of the law at that instant; nothing else is kept."""
    out = tj.simulate(RAMP, KEY, dt=2.5e-3, batch=8000, save=5, observe=tj.diagnostics.power(RAMP))
    assert out.saved is not None
    found = out.saved.values
    mean, variance = exact.mean[:, 0], exact.covariance[:, 0, 0]
    wanted = ((mean - 1) ** 2 + variance) / (2 * 0.5) + 0.5 * np.log(2 * np.pi * 0.5)
    assert found.value.shape == found.error.shape == (5,)
    assert np.all(np.abs(found.value - wanted) < 4 * found.error)


def test_knn_entropy():
    """Of an exponential law it is 1 nat; of a Gaussian pair ln det(2 pi e C) / 2."""
    x = jax.random.exponential(KEY, (20_000,))
    found = tj.knn_entropy(x)
    assert abs(float(found.value) - 1.0) < 4 * float(found.error) + 1e-3
    # Beyond one dimension: the error is honest over 20 repetitions, without bias to speak of.
    factor = jnp.array([[2.0, 0.0], [1.5, 0.3]])
    wanted = np.log(2 * np.pi * np.e) + np.log(0.6)
    draws = jax.random.normal(jax.random.key(1), (20, 500, 2)) @ factor.T
    many = jax.jit(jax.vmap(tj.knn_entropy))(draws)
    # The reference numbers are common to the repetitions, and half of the error's square.
    spread = float(jnp.std(many.value, ddof=1))
    assert spread < float(jnp.mean(many.error)) < 3 * spread
    assert abs(float(jnp.mean(many.value)) - wanted) < 4 * float(jnp.mean(many.error))


def test_the_entropy_of_numbers_on_a_grid_is_refused_with_its_cure():
    """1.42 for a normal law; rounded to .1 or .001, 2000 numbers have neighbors at distance 0."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(2000)
    wanted = 0.5 * np.log(2 * np.pi * np.e)
    for step in (1.0, 0.1, 1e-3):
        with pytest.warns(UserWarning, match="repeat, or lie on a grid"):
            found = tj.knn_entropy(np.round(x / step) * step)
        assert np.isnan(found.value) and np.isnan(found.error)
    # Fine enough, and with the noise that the warning names, it is what it was.
    noisy = np.round(x, 1) + rng.uniform(-0.05, 0.05, x.size)
    traced = jax.jit(tj.knn_entropy)
    for y in (np.round(x, 5), noisy, x.astype(np.float32), x.astype(np.float16) + 0.001 * noisy):
        found = traced(y)
        assert abs(float(found.value) - wanted) < 4 * float(found.error) + 1e-3
    with pytest.warns(UserWarning, match="repeat, or lie on a grid"):
        assert np.isnan(tj.knn_entropy(rng.integers(0, 10, 2000)).value)
    assert np.isnan(traced(np.round(x, 1)).value)  # silent while tracing
    # In the plane: one column on a grid, and points on a line, have no density either.
    pair = rng.standard_normal((600, 2))
    for y in (pair.round(1), np.stack([pair[:, 0], pair[:, 1].round(1)], 1), pair[:, :1] * [1, 2]):
        with pytest.warns(UserWarning, match="repeat, or lie on a grid"):
            assert np.isnan(tj.knn_entropy(y).value)


def test_the_reference_numbers_are_none_of_the_users():
    """With the user's own key(n) the samples were the reference, and the error 0."""
    found = tj.knn_entropy(jax.random.normal(jax.random.key(500), (500, 2)))
    assert float(found.error) > 0.02


def test_refusals(run):
    with pytest.raises(ValueError, match="has no snapshots"):
        tj.ensemble_ledger(RAMP, tj.simulate(RAMP, KEY, dt=0.1, batch=4))
    warm = RAMP.replace(bath=tj.Bath(temperature=tj.Linear(1.0, 2.0, 1.0)))
    with pytest.raises(ValueError, match="needs a constant one"):
        tj.ensemble_ledger(warm, run)
    unknown = RAMP.replace(potential=2.0 * tj.DoubleWell())
    with pytest.raises(ValueError, match="does not know its free energy at the start"):
        tj.entropy_production(unknown, run, lambda x: 0.0)
    with pytest.raises(ValueError, match="have no 4-th neighbor"):
        tj.knn_entropy(jnp.zeros(3))
    with pytest.raises(ValueError, match="log_density returns no array for one path"):
        tj.entropy_production(RAMP, run, lambda x: None)
    with pytest.raises(ValueError, match=r"log_density returns an array of shape \(1,\)"):
        tj.entropy_production(RAMP, run, lambda x: x)
