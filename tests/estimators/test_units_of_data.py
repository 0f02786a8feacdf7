"""The unit of the numbers does not matter, nor what they have in common.

The same data in units from 1e-25 to 1e19 apart (kT = 4e-21 J is in between), in float32, whose
squares end at 1e-19 and 1e19, and in float64; and with constants added.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

import thermojax as tj
from thermojax.estimate import weighted_mean

UNITS = (1e-25, 1e-21, 1e19)
RHO, TIME, COUNT = 0.7, 2000, 4


def chains():
    z = np.random.default_rng(0).standard_normal((COUNT, TIME))
    z[:, 1:] *= np.sqrt(1 - RHO**2)
    return np.ascontiguousarray(np.transpose(scipy.signal.lfilter([1], [1, -RHO], z)))


VALUES = chains()
STATISTICS = (
    tj.diagnostics.effective_sample_size,
    tj.diagnostics.r_hat,
    tj.diagnostics.autocorrelation,
)


@jax.jit
def streamed(values):
    step = lambda stream, x: (stream.update(x), None)
    return jax.lax.scan(step, tj.diagnostics.Streaming.start(values[0]), values)[0]


@jax.jit
def everything(values, unit):
    """Everything that is said of chains: what has their unit, what has none, entropies."""
    ones = jnp.ones(TIME, values.dtype)
    mean, paired = (weighted_mean(values[:, 0], ones, paired=pairs) for pairs in (False, True))
    tau, stream = tj.diagnostics.autocorrelation_time(values), streamed(values).summary()
    alone = tj.diagnostics.ergodicity(values)
    given = tj.diagnostics.ergodicity(values, tj.Estimate(0.05 * unit, 0.02 * unit, 100))
    entropy, space = tj.knn_entropy(values[::20, 0]), tj.knn_entropy(values[::20, :2])
    lengths = {
        "mean": mean.value,
        "error": mean.error,
        "error of pairs": paired.error,
        "time averages": given.time_averages.value,
        "their errors": given.time_averages.error,
        "streamed mean": stream.mean.value,
        "streamed error": stream.mean.error,
    }
    numbers = {
        "autocorrelation": tj.diagnostics.autocorrelation(values, 5),
        "time": tau.value,
        "error of the time": tau.error,
        "effective": tj.diagnostics.effective_sample_size(values),
        "R-hat": tj.diagnostics.r_hat(values),
        "R-hat of ranks": tj.diagnostics.r_hat(values, rank_normalized=True),
        "p of chains": alone.p_value,
        "p of chains and mean": given.p_value,
        "z": given.z,
        "streamed time": stream.autocorrelation_time.value,
        "streamed effective": stream.effective_samples,
        "streamed R-hat": stream.r_hat,
        "error of entropy": entropy.error,
    }
    return lengths, numbers, {"entropy": entropy.value, "entropy in the plane": space.value}


def without_unit(values, unit):
    """Everything that is said of chains, divided by the unit."""
    unit = np.asarray(unit, values.dtype)
    lengths, numbers, entropies = jax.tree.map(np.asarray, everything(values, unit))
    found = {name: x / unit for name, x in lengths.items()}
    for dim, (name, x) in enumerate(entropies.items(), start=1):
        found[name] = x - dim * np.log(float(unit))
    return found | numbers


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_units_do_not_matter(dtype):
    """To rounding: about sqrt(2000) roundings of a sum, 1e-5 in float32."""
    wanted = without_unit(jnp.asarray(VALUES, dtype), 1.0)
    for unit in UNITS:
        found = without_unit(jnp.asarray(VALUES * unit, dtype), unit)
        tolerance = 1e-4 if dtype == jnp.float32 else 1e-10
        for name, value in wanted.items():
            np.testing.assert_allclose(
                found[name], value, rtol=tolerance, atol=tolerance, err_msg=f"{name} at {unit}"
            )
    # A power of two changes nothing at all.
    found = weighted_mean(jnp.asarray(VALUES * 2.0**-80, dtype), jnp.ones(TIME, dtype))
    one = weighted_mean(jnp.asarray(VALUES, dtype), jnp.ones(TIME, dtype))
    np.testing.assert_array_equal(found.error * 2.0**80, one.error)


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e7])
def test_what_values_have_in_common_does_not_matter(offset):
    """float32 keeps the spread of 1 on 1e5, and does not on 1e7, whose neighbors are 1 apart."""
    values = jnp.asarray(VALUES + offset, jnp.float32)
    exact = jnp.asarray(VALUES)
    wanted, stream = streamed(exact).summary(), streamed(values)
    mean = weighted_mean(values[:, 0], jnp.ones(TIME, jnp.float32))
    assert abs(float(mean.value) - offset - VALUES[:, 0].mean()) <= 1.1 * float(mean.error)
    if offset < 1e6:
        found = stream.summary()
        assert bool(found.resolved)
        for name in ("variance", "effective_samples", "r_hat"):
            assert float(getattr(found, name)) == pytest.approx(
                float(getattr(wanted, name)), rel=1e-3
            )
        for said in STATISTICS:
            np.testing.assert_allclose(said(values), said(exact), rtol=1e-3, atol=1e-3)
        return
    for said in STATISTICS:
        with pytest.warns(UserWarning, match="no more than the rounding of float32"):
            assert np.all(np.isnan(said(values)))
    with pytest.warns(UserWarning, match="no more than the rounding of float32"):
        found = stream.summary()
    assert not bool(found.resolved) and "NOT RESOLVED" in str(found)
    assert np.isnan(found.effective_samples) and np.isnan(found.mean.error)
    with pytest.warns(UserWarning, match="no more than the rounding"):
        assert "undecided" in str(tj.diagnostics.ergodicity(values, offset))


def test_constants_are_constants_in_float32():
    """3.7 is no number of float32, and a mean of it is off by a rounding."""
    values = jnp.full((100, 4), 3.7, jnp.float32)
    assert (
        float(tj.diagnostics.r_hat(values)) == 1
        and float(tj.diagnostics.r_hat(values, rank_normalized=True)) == 1
    )
    assert float(tj.diagnostics.effective_sample_size(values)) == 4
    assert np.isinf(tj.diagnostics.r_hat(values * jnp.arange(1, 5)))
    stream = streamed(values).summary()
    assert float(stream.r_hat) == 1 and not bool(stream.resolved)
    assert float(weighted_mean(values[:, 0], jnp.ones(100)).error) == 0


def test_a_summary_of_what_is_no_number():
    values = jnp.asarray(VALUES[:64]).at[7, 1].set(jnp.nan)
    with pytest.warns(UserWarning, match="not finite at some time"):
        found = streamed(values).summary()
    assert np.isnan(found.r_hat) and not bool(found.resolved)


def test_a_trap_in_si_units():
    """An optical trap, moved: work, Jarzynski's average and the ensemble's ledger, in joules and in
    kT. One realization of noise: all are the same to rounding, of about 1e4 operations.
    """
    kt, length = 4.11e-21, 1e-7
    found = []
    for energy, meter in ((1.0, 1.0), (kt, length)):
        trap = tj.Harmonic(np.float32(2.0 * energy / meter**2), control="center")
        bath = tj.Bath(np.float32(energy), np.float32(energy / meter**2))
        protocol = tj.Linear(np.float32(0.0), np.float32(meter), np.float32(1.0))
        system = tj.Overdamped(trap, protocol, bath)
        initial = np.random.default_rng(1).normal(0, meter * 0.5**0.5, (500, 1))
        out = tj.simulate(
            system, jax.random.key(3), dt=0.05, initial=jnp.asarray(initial, jnp.float32), save=3
        )
        # The configuration integral is a length.
        ledger = tj.ensemble_ledger(system, out, energy * (0.4 - np.log(meter)))
        work = out.mean(out.ledger.total_work)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whether paths are few does not matter here
            ratio = tj.free_energy.jarzynski(out).log_ratio
        found.append(
            [
                work.value / energy,
                work.error / energy,
                ratio.value,
                ratio.error,
                *(ledger.work.value / energy),
                *(ledger.free_energy.error / energy),
                *(ledger.equilibrium_free_energy.value / energy + np.log(meter)),
                *(ledger.entropy.value - np.log(meter)),
                *(ledger.divergence.value),
                *(ledger.divergence.error),
                *(ledger.entropy_production.value),
            ]
        )
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3, atol=2e-3)
