"""A number with its error: what it says of few samples, large offsets and small units."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from thermojax.estimate import weighted_mean, with_error


def test_by_its_definition():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((50, 3)), rng.uniform(0, 1, 50) * (rng.uniform(size=50) > 0.2)
    n = np.sum(w != 0)
    mean = w @ x / w.sum()
    error = np.sqrt(w**2 @ (x - mean) ** 2 * n / (n - 1)) / w.sum()
    found = weighted_mean(jnp.asarray(x), jnp.asarray(w))
    np.testing.assert_allclose(found.value, mean, rtol=1e-13)
    np.testing.assert_allclose(found.error, error, rtol=1e-13)
    equal = weighted_mean(jnp.asarray(x), jnp.ones(50))
    np.testing.assert_allclose(equal.error, x.std(0, ddof=1) / np.sqrt(50), rtol=1e-13)
    pairs = weighted_mean(jnp.asarray(x), jnp.ones(50), paired=True)
    means = x.reshape(25, 2, 3).mean(1)
    np.testing.assert_allclose(pairs.error, means.std(0, ddof=1) / np.sqrt(25), rtol=1e-13)


def test_gradients_are_those_of_the_plain_formulas():
    rng = np.random.default_rng(1)
    x, w = jnp.asarray(rng.standard_normal(20)), jnp.asarray(rng.uniform(0.1, 1, 20))

    def plain(x, w):
        mean = jnp.sum(w * x) / jnp.sum(w)
        return mean, jnp.sqrt(jnp.sum(w**2 * (x - mean) ** 2) * 20 / 19) / jnp.sum(w)

    def ours(x, w):
        found = weighted_mean(x, w)
        return found.value, found.error

    for of in (0, 1):
        for i in (0, 1):
            wanted = jax.grad(lambda *a: plain(*a)[i], of)(x, w)  # noqa: B023
            found = jax.grad(lambda *a: ours(*a)[i], of)(x, w)  # noqa: B023
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)
    hessian = jax.hessian(lambda w: ours(x, w)[0])(w)
    np.testing.assert_allclose(hessian, jax.hessian(lambda w: plain(x, w)[0])(w), atol=1e-12)


def test_too_few_samples_have_no_error():
    one = jnp.array([0.0, 1.0, 0.0, 0.0])
    found = weighted_mean(jnp.arange(4.0), one)
    assert float(found.value) == 1 and np.isnan(found.error)
    pair = weighted_mean(jnp.arange(4.0), jnp.array([1.0, 1.0, 0.0, 0.0]), paired=True)
    assert np.isnan(pair.error) and float(pair.value) == 0.5
    assert np.isfinite(weighted_mean(jnp.arange(4.0), jnp.ones(4), paired=True).error)
    none = weighted_mean(jnp.arange(4.0), jnp.zeros(4))
    assert np.isnan(none.value) and np.isnan(none.error) and int(none.count) == 0
    assert str(found) == "1 ± nan" and str(none) == "nan ± nan"


def test_an_error_is_not_below_the_rounding_of_its_value():
    """1e7 in float32 has neighbors 1 apart; of 4096 samples of spread 1 the error is 1/64."""
    x = np.random.default_rng(2).standard_normal(4096)
    for offset in (1e7, -3e7):
        values = jnp.asarray(x + offset, jnp.float32)
        found = weighted_mean(values, jnp.ones(4096, jnp.float32))
        exact = np.mean(np.asarray(values, float))
        assert abs(float(found.value) - exact) <= float(found.error)
        assert float(found.error) >= 0.5 * np.finfo(np.float32).eps * abs(offset)
    same = weighted_mean(jnp.full(100, 3.7, jnp.float32), jnp.ones(100, jnp.float32))
    assert str(same) == "3.7 ± 0"


def test_means_of_a_run_say_what_survived():
    system = tj.Overdamped(tj.Harmonic(1.0), tj.Constant(0.0, 0.2), tj.Bath())
    start = jnp.linspace(0, 1, 4)[:, None]
    out = tj.simulate(system, jax.random.key(0), dt=0.1, initial=start)

    def surviving(alive):
        ledger = out.ledger
        return dataclasses.replace(
            out, ledger=dataclasses.replace(ledger, alive=jnp.asarray(alive))
        )

    with pytest.warns(UserWarning, match=r"all paths diverged.*\(4 paths\): take a smaller dt"):
        assert np.isnan(surviving([0.0] * 4).mean(out.ledger.heat).value)
    with pytest.warns(UserWarning, match="one path survived"):
        assert np.isnan(surviving([0.0, 1.0, 0.0, 0.0]).mean(out.ledger.heat).error)
    assert np.isfinite(surviving([0.0, 1.0, 1.0, 0.0]).mean(out.ledger.heat).error)
    jax.jit(lambda result: result.mean(result.ledger.heat))(surviving([0.0] * 4))  # silent
    one = tj.simulate(system, jax.random.key(0), dt=0.1, initial=start[:1])
    assert np.isnan(one.mean(one.ledger.heat).error)
    wrong: Any
    for wrong in (None, "heat", jnp.ones(3), 1.0, jnp.ones(4) * 1j):
        with pytest.raises(
            ValueError, match=r"values = .*expected real numbers of shape \(4, \.+\)"
        ):
            out.mean(wrong)


def test_printed_with_numbers():
    found = tj.Estimate(jnp.asarray(-0.6222), jnp.asarray(0.0312), jnp.asarray(1000))
    assert str(found) == "-0.62 ± 0.03"
    assert repr(found) == "Estimate(-0.62 ± 0.03, count=1000)"
    assert repr({"linear": found}) == "{'linear': Estimate(-0.62 ± 0.03, count=1000)}"
    many = tj.Estimate(np.arange(20.0), 1.0, 5)
    assert "(20 in all)" in str(many) and str(many).endswith("19.0 ± 1.0]")
    seen = []
    jax.jit(lambda x: seen.extend([str(weighted_mean(x, jnp.ones(3)))]))(jnp.ones(3))
    assert seen == ["Estimate(value=f64[], error=f64[], count=i64[])"]
    parts = (0.8, 0.5, -1.25, 0.5, 0.0, 2.0, 0.1)
    report = tj.BurnInReport(*(jnp.asarray(x, jnp.float32) for x in parts))
    assert " ".join(repr(report).split()) == (
        "BurnInReport( acceptance=0.8, lowest_ess=0.5, drift=-1.25, reach=0.5, rounding=0, "
        "log_normalizer=2, log_normalizer_error=0.1 )"
    )
    produced = tj.EntropyProduction(jnp.ones(2), jnp.zeros(3000))
    assert repr(produced) == "EntropyProduction(medium=[1, 1], system=f64[3000])"


def test_digits():
    assert with_error(1.77e-21, 1.2e-22) == "1.77e-21 ± 1.2e-22"
    assert with_error(1.77e19, 3e17) == "1.77e+19 ± 3e+17"
    assert with_error(1234.5, 12.3) == "1234 ± 12" and with_error(np.inf, 1.0) == "inf ± 1"


def test_refusals():
    parts: Any
    for name, parts in (
        ("value", (None, 1.0, 1)),
        ("error", (1.0, "small", 1)),
        ("count", (1.0, 1.0, 1j)),
    ):
        with pytest.raises(ValueError, match=f"{name} = .*: expected real numbers"):
            tj.Estimate(*parts)
    with pytest.raises(ValueError, match=r"error has shape \(2,\): expected \(3,\)"):
        tj.Estimate(np.ones(3), np.ones(2), 1)
