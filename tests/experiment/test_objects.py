"""A `Result`, a `Fit` and a system in a file, and back: bit for bit, or refused in words."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from thermojax.experiment import UserError
from thermojax.experiment.compare import compare
from thermojax.optimize import Fit


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert type(a) is type(b)
        if isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


@pytest.fixture(scope="module")
def system():
    ramp = tj.PiecewiseLinear.between(0.0, 2.0, duration=1.0, knots=3)
    return tj.Overdamped(tj.Harmonic(1.0, jnp.zeros(2), control="center"), ramp, tj.Bath())


@pytest.fixture(scope="module")
def out(system):
    return simulated(system)


def simulated(system):
    start = jnp.ones((8, 2))
    return tj.simulate(system, jax.random.key(0), time_steps=4, initial=start, save=3)


def test_a_result(system, out, tmp_path):
    tj.save(tmp_path / "out.h5", out)
    record = tj.load(tmp_path / "out.h5")
    np.testing.assert_array_equal(record["ledger"]["work"], out.ledger.work)
    assert '"the class of it": "Result"' in record.attributes["classes"]
    assert record.attributes["antithetic"] is False
    for like in (out, jax.eval_shape(lambda: simulated(system))):
        same(tj.load(tmp_path / "out.h5", like=like), out)
    back = tj.load(tmp_path / "out.h5", like=out)
    assert str(back.mean(back.ledger.work)) == str(out.mean(out.ledger.work))


def test_a_fit_and_its_system(system, tmp_path):
    cost = tj.Estimate(2.5, 0.25, 8)
    history = {"loss": np.arange(3.0), "diverged": np.zeros(3, int)}
    trained = jax.tree.map(lambda x: x + 0.5, system)
    fit = Fit(trained, cost, history, {"last": cost}, "last", "all steps done")
    tj.save(tmp_path / "fit.h5", fit)
    like = Fit(system, cost, history, {"last": cost}, "first", "")
    back = tj.load(tmp_path / "fit.h5", like=like)
    same(back, fit)
    assert back.chosen == "last" and back.stopped == "all steps done" and like.chosen == "first"
    assert str(tj.load(tmp_path / "fit.h5")["value"]) == "2.5 ± 0.2"
    tj.save(tmp_path / "system.h5", trained)
    same(tj.load(tmp_path / "system.h5", like=system), trained)


def test_chains_keys_and_other_dtypes(system, tmp_path):
    thing = {
        "key": jax.random.key(3),
        "keys": jax.random.split(jax.random.key(4), 2),
        "half": jnp.arange(3, dtype=jnp.bfloat16),
        "a/b": [jnp.array(True), 2, 0.5, "text", np.float32(3.0)],
        "state": optax.adam(0.1).init(jnp.ones(2)),
    }
    tj.save(tmp_path / "thing.h5", thing)
    same(tj.load(tmp_path / "thing.h5", like=thing), thing)
    tj.save(tmp_path / "one.h5", jnp.ones(3))
    same(tj.load(tmp_path / "one.h5", like=jnp.zeros(3)), jnp.ones(3))


def test_what_does_not_fit(system, out, tmp_path):
    tj.save(tmp_path / "out.h5", out)
    less = jax.tree.map(lambda x: x[:4] if jnp.ndim(x) else x, out)
    for like, said in (
        (less, r"another thing than like, a Result: .*position is 'float64 \(4, 2\)' here and was"),
        (system, "holds another thing than like, an? Overdamped"),
        (jax.tree.map(lambda x: x.astype(jnp.float32), out), "'float32 "),
    ):
        with pytest.raises(UserError, match=said):
            tj.load(tmp_path / "out.h5", like=like)
    tj.save(tmp_path / "out.h5", system)
    underdamped = tj.Underdamped(system.potential, system.protocol, system.bath)
    harmonic = tj.Harmonic(1.0, jnp.zeros(2), control="stiffness")
    for like, said in (
        (underdamped, "the class of it is 'Underdamped' here and was 'Overdamped'"),
        (system.replace(potential=harmonic), "potential.control is \"'stiffness'\" here and was"),
    ):
        with pytest.raises(UserError, match=said):
            tj.load(tmp_path / "out.h5", like=like)
    for nothing in (None, len, [], object()):
        with pytest.raises(ValueError, match="without arrays or numbers: expected a Record"):
            tj.save(tmp_path / "none.h5", nothing)
    assert [file.name for file in tmp_path.iterdir()] == ["out.h5"]
    with pytest.raises(UserError, match="no config, no columns"):
        compare([tmp_path / "out.h5"])
