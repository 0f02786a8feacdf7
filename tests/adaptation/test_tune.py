"""Chains that choose their masses, friction and step, on targets whose law is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(3)
STIFFNESS = {"slow": np.array([0.01, 0.04]), "fast": np.array(25.0)}


class Wells(tj.AbstractPotential):
    """Independent quadratic wells in a pytree: frequencies from 0.1 to 5 at mass 1."""

    def energy(self, x, control):
        return 0.5 * sum(
            jnp.sum(jnp.asarray(k, x[n].dtype) * x[n] ** 2) for n, k in STIFFNESS.items()
        )


def starts(batch, dtype=float):
    keys = jax.random.split(jax.random.key(0))
    slow = jax.random.normal(keys[0], (batch, 2), dtype)
    return {"slow": slow, "fast": jax.random.normal(keys[1], (batch,), dtype)}


WELLS = tj.Underdamped(Wells(), tj.Constant(), tj.Bath(temperature=2.0))


@pytest.fixture(scope="module")
def tuned():
    return tj.tune(WELLS, KEY, initial=starts(16))


def positions(system, chain, dt, segments=600, steps=8):
    def segment(chain, _):
        chain = tj.advance(system, chain, dt=dt, steps=steps)
        return chain, chain.position

    return jax.jit(partial(jax.lax.scan, segment, length=segments))(chain, None)


@pytest.mark.slow
def test_a_quadratic_well_gets_its_curvatures_as_masses_and_is_sampled_exactly(tuned):
    """BAOAB has no bias in a quadratic well: Var = kT / k within 4.5 standard errors."""
    for name, k in STIFFNESS.items():
        np.testing.assert_allclose(tuned.system.bath.mass[name], k, rtol=0.05)
    assert tuned.report.concerns() == [] and "16 chains" in str(tuned.report)
    chain, x = positions(tuned.system, tuned.chain, tuned.dt)
    assert float(chain.ledger.alive.min()) == 1
    for name, k in STIFFNESS.items():
        squares = np.asarray(x[name]) ** 2
        tau = np.asarray(tj.diagnostics.autocorrelation_time(squares).value)
        variance = 2.0 / k
        error = variance * np.sqrt(
            2 * tau / squares[..., 0].size if squares.ndim == 3 else 2 * tau / squares.size
        )
        assert np.all(np.abs(squares.mean((0, 1)) - variance) < 4.5 * error)
        assert np.all(error < 0.05 * variance)


@pytest.mark.slow
def test_tuned_chains_decorrelate_in_fewer_steps_than_untuned_ones(tuned):
    """At unit masses the step of the stiffest well is 50 times too short for the softest."""
    _, x = positions(tuned.system, tuned.chain, tuned.dt)
    chain = tj.start(WELLS, KEY, initial=starts(16))
    _, y = positions(WELLS, chain, float(tuned.dt) / 5.0)
    tau = lambda values: float(
        np.max(np.asarray(tj.diagnostics.autocorrelation_time(values["slow"] ** 2).value))
    )
    assert 5 * tau(x) < tau(y)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:tj.tune")  # so few steps do not satisfy it
def test_tuning_runs_under_jit_and_keeps_the_dtype():
    initial = starts(16, jnp.float32)
    run = jax.jit(lambda key: tj.tune(WELLS, key, initial=initial, steps=768).dt)
    inside = run(KEY)
    outside = tj.tune(WELLS, KEY, initial=initial, steps=768)
    assert inside.dtype == outside.dt.dtype == jnp.float32
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(outside.chain.position))
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(outside.system.bath.mass))
    np.testing.assert_allclose(inside, outside.dt, rtol=1e-3)


@pytest.mark.slow
def test_tuning_with_steps_of_every_paths_own_finds_the_same_wells():
    """And the longest step: half a radian of frequencies that are all 1 with these masses."""
    tuned = tj.tune(WELLS, KEY, initial=starts(64), adjusted=tj.LocalStep())
    for name, k in STIFFNESS.items():
        np.testing.assert_allclose(tuned.system.bath.mass[name], k, rtol=0.05)
    assert tuned.report.concerns() == [] and tuned.report.rejected < 0.6
    assert 0.5 < tuned.dt < 1.0  # omega of three coordinates varies: <ln omega> < 0


class Funnel(tj.AbstractPotential):
    """v ~ N(0, 2), w given v ~ N(0, exp(2 v)): the curvature of w varies by exp(10)."""

    def energy(self, x, control):
        return 0.25 * x["v"] ** 2 + x["v"] + 0.5 * (x["w"] * jnp.exp(-x["v"])) ** 2


@pytest.mark.slow
@pytest.mark.optimized
def test_the_masses_of_a_funnel_are_those_of_a_typical_place():
    """<ln |dU/dw|> - <ln |w|> = -2 <v> = 0; free chains, thrown out of the neck, find far less.

    Which of them diverge is a matter of rounding: ln of what they find is -2.5 +- 0.6 over 24 keys.
    """
    system = tj.Underdamped(Funnel(), tj.Constant(), tj.Bath())
    initial = {"v": jnp.zeros(64), "w": jax.random.normal(KEY, (64,))}
    tuned = tj.tune(system, KEY, initial=initial, steps=393216, adjusted=tj.LocalStep())
    assert tuned.report.concerns() == []
    error = 2 * 2**0.5 / float(tuned.report.effective_samples) ** 0.5
    assert error < 0.1 and abs(np.log(float(tuned.system.bath.mass["w"]))) < 4.5 * error
    found = []
    for key in jax.random.split(KEY, 6):
        with pytest.warns(UserWarning, match=r"biased: pass adjusted=tj.LocalStep\(\)"):
            free = tj.tune(system, key, initial=initial, steps=24576)
        found.append(np.log(float(free.system.bath.mass["w"])))
    assert np.mean(found) < -2.5 + 4.5 * 0.6 / len(found) ** 0.5


@pytest.mark.slow
def test_chains_in_different_wells_are_reported():
    """A barrier of 40 kT is never crossed."""
    system = tj.Underdamped(tj.DoubleWell(40.0), tj.Constant(), tj.Bath())
    initial = jnp.where(jnp.arange(16)[:, None] % 2, 1.0, -1.0)
    with pytest.warns(UserWarning, match="R-hat"):
        tuned = tj.tune(system, KEY, initial=initial, steps=768)
    assert float(tuned.report.r_hat[0]) > 2


WELL = tj.Underdamped(tj.DoubleWell(4.0), tj.Constant(0.5), tj.Bath(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: tj.Overdamped(s.potential, s.protocol, s.bath), "tj.Underdamped"),
        (lambda s: s.replace(drive=lambda x, c: x), "one equilibrium"),
        (lambda s: s.replace(bath=tj.Bath(tj.Linear(1.0, 2.0, duration=1.0))), "one equilibrium"),
    ],
)
def test_systems_without_one_equilibrium_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        tj.tune(change(WELL), KEY, initial=jnp.ones((4, 1)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 100}, "steps = 100"),
        ({"accuracy": 2.0}, "accuracy = 2"),
        ({"adjusted": True}, r"expected a tj.LocalStep\(\), or None"),
        ({"initial": jnp.ones((1, 1))}, "batch = 1"),
    ],
)
def test_bad_options_are_refused_in_words(options, words):
    with pytest.raises(ValueError, match=words):
        tj.tune(WELL, KEY, **{"initial": jnp.ones((4, 1)), **options})
    with pytest.raises(ValueError, match="typed key"):
        tj.tune(WELL, jax.random.PRNGKey(3), initial=jnp.ones((4, 1)))


class Stiff(tj.AbstractPotential):
    """Two quadratic wells in units of their own."""

    stiffness: jax.Array

    def energy(self, x, control):
        return 0.5 * jnp.sum(x * (self.stiffness * x))


SI = 4.11e-21, 1e-8  # kT in joules, and ten nanometres
UNITS = [SI, (1e19, 1e10), (1e-19, 1e-10), (1.0, 1e12), (1.0, 1e-12)]


def numbers(way, kt, length, mass=1.0, dtype=jnp.float32):
    """Tuned in units of this energy and length, told in reduced ones; the mass is a guess."""
    stiffness = jnp.asarray([1.0, 25.0], dtype) * (kt / length / length)
    bath = tj.Bath(jnp.asarray(kt, dtype), 1.0, mass)
    starts = length * jax.random.normal(KEY, (32, 2), dtype)
    tuned = tj.tune(
        tj.Underdamped(Stiff(stiffness), tj.Constant(), bath),
        KEY,
        initial=starts,
        steps=1536 if way is None else 12288,
        adjusted=way,
    )
    unit, report = kt / length / length, tuned.report
    found = {
        "mass": tuned.system.bath.mass / unit,
        "friction": tuned.system.bath.friction / unit,
        "dt": tuned.dt,
        "position": tuned.chain.position / length,
    }
    names = ("autocorrelation_time", "r_hat", "virial", "energy_error", "rejected")
    found |= {name: getattr(report, name) for name in names}
    return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("way", [None, tj.LocalStep(spread=0.2)], ids=["free", "local"])
def test_units_do_not_matter(way):
    """The same noise in SI, and in units 1e19 and 1e12 apart, tunes to the same, in float32.

    Paths that share their noise forget what rounding has done to them. Where they are accepted or
    refused they need not: there the masses are compared, and the step to what 32 chains can tell.
    """
    reduced = numbers(way, 1.0, 1.0)
    for kt, length in UNITS:
        mass = 1e-18 if kt == SI[0] else 1.0  # of a bead in kilograms, or anything
        other = numbers(way, kt, length, mass)
        for name, value in reduced.items():
            assert np.all(np.isfinite(other[name])), (name, kt, length)
            if way is None or name == "mass":
                rtol, atol = (2e-3, 2e-3) if way is None else (1e-4, 0.0)
                np.testing.assert_allclose(other[name], value, rtol, atol, err_msg=name)
        np.testing.assert_allclose(other["dt"], reduced["dt"], rtol=0.25)
    with pytest.raises(ValueError, match=r"mass times kT is .* beyond the squares that float32"):
        numbers(way, 1e19, 1.0)


def test_what_tuning_cannot_do_is_said_for_what_it_is():
    """No step of nan is handed out, and what is nan is not blamed on chains that have not mixed."""
    walled = tj.LogDensity(lambda x: jnp.where(x[0] > 1, jnp.nan, -0.5 * x[0] ** 2))
    system = tj.Underdamped(walled, tj.Constant(), tj.Bath())
    with pytest.raises(ValueError, match="found nothing: 4 of 4 chains stand where LogDensity"):
        tj.tune(system, KEY, initial=jnp.full((4, 1), 2.0), steps=768)
    one = jnp.ones(2)
    report = tj.TuningReport(one, one, one * jnp.nan, one, one, one, steps=768, chains=4)
    (only,) = report.concerns()
    assert "r_hat could not be computed (nan)" in only and "R-hat" not in only
