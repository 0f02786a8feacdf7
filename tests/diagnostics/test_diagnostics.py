"""Autocorrelation, effective samples, R-hat and ergodicity, kept whole and streamed.

The chains are AR(1), x' = rho x + sqrt(1 - rho^2) z from a stationary start: an Ornstein-Uhlenbeck
process of rate 1 sampled every dt has rho = exp(-dt) exactly, and tau = (1 + rho)/(1 - rho).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.special
import scipy.stats

from thermojax.diagnostics import (
    Streaming,
    autocorrelation,
    autocorrelation_time,
    effective_sample_size,
    ergodicity,
    r_hat,
)
from thermojax.estimate import Estimate


def chains(rho, time, count, seed):
    z = np.random.default_rng(seed).standard_normal((count, time))
    z[:, 1:] *= np.sqrt(1 - rho**2)
    return np.ascontiguousarray(np.transpose(scipy.signal.lfilter([1], [1, -rho], z, axis=1)))


@jax.jit
def streamed(values):
    step = lambda stream, x: (stream.update(x), None)
    return jax.lax.scan(step, Streaming.start(values[0]), values)[0]


@pytest.mark.parametrize(
    ("dt", "wanted", "time", "count", "groups"),
    [
        pytest.param(0.01, 200.0017, 10_000, 500, 7, marks=pytest.mark.slow),
        (0.1, 20.01666, 5000, 400, 2),
        (1.0, 2.163953, 2000, 300, 1),
    ],
)
def test_autocorrelation_times_of_reference_r8(dt, wanted, time, count, groups):
    """Within 2 %. Standard errors sqrt(16 tau/samples) of the window 4 tau, and sqrt(6 b/samples)
    of streamed blocks b <= 4 tau, both asserted below 1 %: 35 million samples in the first row.
    """
    whole, stream = [], []
    for seed in range(groups):
        values = jnp.asarray(chains(np.exp(-dt), time, count, seed))
        whole.append(autocorrelation_time(values, 4.0))
        stream.append(streamed(values).summary())
        assert bool(stream[-1].resolved)
    times = [[float(x.value) for x in whole]]
    times += [[float(x.autocorrelation_time.value) for x in stream]]
    np.testing.assert_allclose(np.mean(times, axis=1), wanted, rtol=0.02)
    for found in (whole[0], stream[0].autocorrelation_time):
        assert float(found.error / found.value) / np.sqrt(groups) < 0.01
    # The error of the mean, exact: sqrt(tau / samples) for unit variance.
    exact = np.sqrt(wanted / (time * count))
    assert float(stream[0].mean.error) == pytest.approx(exact, rel=0.05)
    assert abs(float(stream[0].mean.value)) < 4.5 * exact


def test_the_errors_of_the_times_are_right():
    """The scatter over 200 groups, known to 5 % (1/sqrt(400)), against the errors stated."""
    values = chains(np.exp(-0.2), 2000, 200 * 10, 1)
    groups = jnp.asarray(values.reshape(2000, 200, 10).swapaxes(0, 1))
    wanted = float(1 / np.tanh(0.1))
    whole = jax.jit(jax.vmap(autocorrelation_time))(groups)
    stream = jax.vmap(lambda s: s.summary().autocorrelation_time)(jax.vmap(streamed)(groups))
    for found in (whole, stream):
        scatter, stated = np.std(found.value), np.mean(found.error)
        assert abs(np.mean(found.value) - wanted) < 4.5 * scatter / np.sqrt(200) + 0.005 * wanted
        assert scatter == pytest.approx(stated, rel=0.25)


def test_autocorrelation_by_its_definition():
    values = np.random.default_rng(2).standard_normal((30, 3, 2)).cumsum(axis=0)
    y = values - values.mean(axis=(0, 1))
    wanted = np.array([np.sum(y[: 30 - k] * y[k:], axis=(0, 1)) for k in range(12)])
    np.testing.assert_allclose(autocorrelation(values, 12), wanted / wanted[0], atol=1e-12)
    one = autocorrelation(values[:, 0, 0])
    assert one.shape == (30,) and float(one[0]) == 1
    assert np.asarray(autocorrelation(np.ones((8, 2)))).tolist() == [1.0] * 8


def test_autocorrelation_of_an_ornstein_uhlenbeck_process():
    """Bartlett's error at large lags, sqrt(sum rho^2 / samples) = sqrt(coth(dt) / samples)."""
    rho = autocorrelation(chains(np.exp(-0.1), 5000, 200, 3), 40)
    error = np.sqrt(1 / np.tanh(0.1) / 1e6)
    np.testing.assert_allclose(rho, np.exp(-0.1 * np.arange(40)), atol=4.5 * error)


def test_effective_samples():
    noise = chains(0.0, 1000, 50, 4)
    assert float(effective_sample_size(noise)) == pytest.approx(50_000, rel=0.1)
    anti = chains(-0.5, 1000, 50, 5)
    assert float(effective_sample_size(anti)) == pytest.approx(150_000, rel=0.1)
    assert float(streamed(jnp.asarray(anti)).summary().effective_samples) > 100_000
    both = jnp.stack([noise, anti], axis=-1)
    assert effective_sample_size(both).shape == (2,)
    stuck = noise * 0.01 + np.arange(50)
    assert float(effective_sample_size(stuck)) == pytest.approx(50, rel=0.01)
    assert float(effective_sample_size(np.ones((100, 5)))) == 5


REFERENCES = {  # ess "mean" and "bulk", rhat "split" and "rank" of arviz-stats 0.8.0
    "a slow chain": (
        250.77140892307065,
        251.92750380019945,
        1.0090115177150307,
        1.0083117406989428,
    ),
    "anticorrelated": (
        3551.310195834842,
        3556.280577306297,
        0.9977481093800824,
        0.9994084211793427,
    ),
    "heavy tails": (554.7078273264532, 533.9094483140739, 1.0003928182995878, 0.9996479565897324),
    "chains apart": (6.308878102842211, 6.3985863001861185, 1.7420235093278904, 1.7212103560937624),
    "ties": (130.2851311620074, 129.98926373382577, 0.9992196352104018, 1.0144451521252769),
    "too short": (2.2635974533473022, 2.8620689651870466, 5.176319679861227, 2.1044103686655395),
}


def test_effective_samples_and_r_hat_are_those_of_arviz():
    """Numbers of another program, computed from the same chains by arviz-stats 0.8.0."""
    cases = {
        "a slow chain": chains(0.7, 501, 3, 40),
        "anticorrelated": chains(-0.4, 300, 4, 41),
        "heavy tails": np.tan(1.2 * np.tanh(chains(0.5, 400, 4, 42))) ** 3,
        "chains apart": chains(0.9, 250, 4, 43) + np.arange(4),
        "ties": np.round(chains(0.6, 200, 2, 44)),
        "too short": chains(0.99, 100, 2, 45),
    }
    for name, values in cases.items():
        found = [
            *(float(effective_sample_size(values, method=m)) for m in ("split", "bulk")),
            *(float(r_hat(values, rank_normalized=ranks)) for ranks in (False, True)),
        ]
        np.testing.assert_allclose(found, REFERENCES[name], rtol=1e-11, err_msg=name)


def test_effective_samples_by_geyer_of_an_exact_chain():
    """tau = (1 + rho)/(1 - rho), to the 5 % of 200,000 samples; bulk sees through a cube."""
    values = chains(0.8, 2000, 100, 46)
    cases: list = [("split", values), ("bulk", values), ("bulk", values**3)]
    for method, x in cases:
        assert float(effective_sample_size(x, method=method)) == pytest.approx(2e5 / 9, rel=0.05)
    both = effective_sample_size(np.stack([values, -values], axis=-1), method="bulk")
    np.testing.assert_allclose(both[0], both[1], rtol=1e-9)
    assert float(effective_sample_size(np.ones((100, 5)), method="split")) == 500  # as ArviZ says


def test_r_hat_by_its_definition():
    values = chains(0.5, 101, 6, 6).reshape(101, 3, 2) ** 3

    def plain(x):
        n = x.shape[0]
        within, between = x.var(0, ddof=1).mean(0), n * x.mean(0).var(0, ddof=1)
        return np.sqrt(((n - 1) / n * within + between / n) / within)

    def scores(x):
        rank = scipy.stats.rankdata(x).reshape(x.shape)
        return scipy.special.ndtri((rank - 3 / 8) / (x.size + 1 / 4))

    halves = np.concatenate([values[:50], values[-50:]], axis=1)
    np.testing.assert_allclose(r_hat(values), plain(halves), rtol=1e-12)
    wanted = []
    for x in np.moveaxis(halves, -1, 0):
        folded = np.abs(x - np.median(x))
        wanted.append(max(plain(scores(x)), plain(scores(folded))))
    np.testing.assert_allclose(r_hat(values, rank_normalized=True), wanted, rtol=1e-12)


def test_r_hat_sees_what_it_should():
    good = chains(0.5, 1000, 8, 7)
    assert float(r_hat(good)) < 1.01 and float(r_hat(good, rank_normalized=True)) < 1.01
    assert float(r_hat(good + (np.arange(8) == 0))) > 1.03
    assert float(r_hat(good + np.linspace(0, 1, 1000)[:, None])) > 1.03
    scaled = good * np.where(np.arange(8) < 2, 3, 1)
    assert float(r_hat(scaled)) < 1.01 < 1.03 < float(r_hat(scaled, rank_normalized=True))
    assert float(r_hat(np.ones((8, 2)))) == 1
    assert np.isinf(float(r_hat(np.ones((8, 2)) * np.arange(2.0))))


def test_ergodicity_is_calibrated():
    """200 groups of 20 chains, 50 tau long: p-values uniform, z of deviation 1."""
    values = chains(np.exp(-0.1), 1000, 200 * 20, 8)
    groups = jnp.asarray(values.reshape(1000, 200, 20).swapaxes(0, 1))
    guess = jnp.asarray(np.random.default_rng(9).normal(0, 0.1, 200))

    @jax.jit
    @jax.vmap
    def p_values(x, guess):
        exact = ergodicity(x, 0.0)
        return (
            exact.z,
            exact.p_value,
            ergodicity(x).p_value,
            ergodicity(x, Estimate(guess, 0.1, 1)).p_value,
        )

    z, *ps = p_values(groups, guess)
    assert np.std(z) == pytest.approx(1, abs=4.5 / np.sqrt(8000))
    for p in ps:
        assert scipy.stats.kstest(p, "uniform").pvalue > 1e-3


def test_ergodicity_is_denied():
    good = chains(np.exp(-0.1), 2000, 10, 10)
    assert "equal the ensemble average 0 ± 0: holds" in str(ergodicity(good, 0.0))
    # Five chains in each of two wells: right on average, wrong for every one of them.
    wells = good * 0.3 + np.where(np.arange(10) < 5, -1, 1)
    for ensemble in (None, 0.0, Estimate(0.0, 0.05, 100)):
        found = ergodicity(wells, ensemble)
        assert float(found.p_value) < 1e-9 and "VIOLATED" in str(found)
    assert np.all(np.abs(ergodicity(wells, 0.0).z) > 5)
    off = ergodicity(jnp.stack([good, good + 0.5], axis=-1), jnp.zeros(2))
    assert off.z.shape == (10, 2) and "the least of 2" in str(off)
    assert float(off.p_value[0]) > 1e-3 > 1e-6 > float(off.p_value[1])
    frozen = ergodicity(np.ones((10, 3)), 1.0)
    assert float(frozen.p_value) > 0.9 and np.all(np.abs(frozen.z) < 1)


def test_streaming_is_what_it_says():
    """Every level by brute force, and the same statistics as on whole chains."""
    values = chains(0.7, 64, 3, 11).reshape(64, 3)
    stream = streamed(jnp.asarray(values))
    np.testing.assert_array_equal(stream.shift, values[0])
    assert np.frexp(float(stream.scale))[0] == 0.5  # a power of two
    kept = (values - values[0]) / float(stream.scale)
    for level in range(6):
        blocks = kept.reshape(-1, 2**level, 3).mean(axis=1)
        np.testing.assert_allclose(stream.mean[level], blocks.mean(0), atol=1e-12)
        np.testing.assert_allclose(stream.variance[level], blocks.var(0), atol=1e-12)
        if level < 5:
            half = 0.5 * np.mean(np.diff(blocks, axis=0) ** 2, axis=0)
            np.testing.assert_allclose(stream.difference[level], half, atol=1e-12)
    found = stream.summary()
    assert float(found.mean.value) == pytest.approx(values.mean(), rel=1e-12)
    assert float(found.variance) == pytest.approx(values.var(ddof=1), rel=1e-12)
    assert float(found.r_hat) == pytest.approx(float(r_hat(values)), rel=1e-12)
    assert int(found.samples) == 192 and int(stream.count) == 64
    slow = Streaming.start(values[0])
    for x in values[:5]:
        slow = slow.update(x)
    means = slow.shift + slow.scale * slow.mean
    np.testing.assert_allclose(means[0], values[:5].mean(0), rtol=1e-12)
    np.testing.assert_allclose(means[1], values[:4].mean(0), rtol=1e-12)


def test_streaming_shapes_types_and_gradients():
    values = jnp.asarray(chains(0.5, 500, 6, 12), jnp.float32).reshape(500, 3, 2)
    stream = streamed(values)
    assert stream.mean.shape == (31, 3, 2) and stream.mean.dtype == jnp.float32
    found = jax.jit(lambda s: s.summary())(stream)
    shapes = (found.mean.value, found.variance, found.r_hat, found.resolved)
    assert all(x.shape == (2,) for x in shapes) and found.mean.error.dtype == jnp.float32
    assert str(found).startswith("mean [") and "from 1500 samples" in str(found)

    def loss(scale):
        return jnp.sum(streamed(scale * values).summary().mean.value) + scale

    assert float(jax.grad(loss)(jnp.float32(2.0))) == 1  # statistics are not for differentiation


def test_float32_with_a_large_mean():
    """Means beyond 1/eps^(1/2) deviations leave the variance whole."""
    values = chains(0.9, 20_000, 8, 13)
    found = streamed(jnp.asarray(values + 1000, jnp.float32)).summary()
    wanted = streamed(jnp.asarray(values)).summary()
    assert float(found.variance) == pytest.approx(float(wanted.variance), rel=2e-3)
    tau = float(wanted.autocorrelation_time.value)
    assert float(found.autocorrelation_time.value) == pytest.approx(tau, rel=1e-2)


def test_streaming_knows_when_it_does_not_know():
    short = streamed(jnp.asarray(chains(np.exp(-0.01), 300, 2, 14))).summary()
    assert not bool(short.resolved) and "NOT RESOLVED" in str(short)
    wells = chains(0.5, 1000, 4, 15) + 10 * np.arange(4)
    stuck = streamed(jnp.asarray(wells)).summary()
    assert not bool(stuck.resolved) and float(stuck.r_hat) > 2
    assert float(stuck.effective_samples) < 20
    frozen = streamed(jnp.ones((50, 2))).summary()
    assert float(frozen.effective_samples) == 2 and float(frozen.mean.error) == 0


def test_refusals():
    for check in (autocorrelation, autocorrelation_time, effective_sample_size, r_hat, ergodicity):
        with pytest.raises(ValueError, match=r"shape \(3, 2\): expected \(time, chains"):
            check(np.ones((3, 2)))
        with pytest.raises(ValueError, match="not finite"):
            check(np.full((5, 2), np.nan))
    with pytest.raises(ValueError, match="method = 'sokal': expected 'window' or 'split'"):
        effective_sample_size(np.ones((8, 2)), method="sokal")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="eight times or more for method='bulk'"):
        effective_sample_size(np.ones((7, 2)), method="bulk")
    with pytest.raises(ValueError, match="lags = 9"):
        autocorrelation(np.ones((8, 2)), 9)
    with pytest.raises(ValueError, match="one chain and no ensemble average"):
        ergodicity(np.ones((8, 1)))
    with pytest.raises(ValueError, match="expected at least four"):
        Streaming.start(jnp.zeros(2)).summary()
    with pytest.raises(ValueError, match=r"shape \(\)"):
        Streaming.start(jnp.zeros(()))
    with pytest.raises(ValueError, match=r"shape \(3,\): expected \(2,\)"):
        Streaming.start(jnp.zeros(2)).update(jnp.zeros(3))
