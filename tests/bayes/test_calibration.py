"""The calibration of posteriors: right samplers pass at the stated rate, wrong ones are caught.

The samplers are exact ones of conjugate models, and the same ones spoiled on purpose.
"""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
# pyright: reportOptionalMemberAccess=false

import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import thermojax as tj
from thermojax.bayes import (
    Model,
    Posterior,
    calibrate,
    ecdf_band,
    ecdf_p_value,
    pit,
    scalars_needed,
)
from thermojax.bayes.calibration.calibrate import WIDTH, judged
from thermojax.bayes.calibration.data import halvings
from thermojax.bayes.calibration.simulate import simulated
from thermojax.bayes.evidence import Goal

KEY = jax.random.key(0)
# The module, beside the function of the same name.
calibrating = sys.modules["thermojax.bayes.calibration.calibrate"]


class Measured(tj.AbstractLikelihood):
    """Every coordinate of x measured with Gaussian noise; or its absolute value."""

    data: jax.Array
    noise: float = 0.5
    folded: bool = False

    def log_likelihood(self, x):
        seen = jnp.abs(x) if self.folded else x
        return jax.scipy.stats.norm.logpdf(self.data, seen, self.noise)

    def energy(self, x, control):
        return -jnp.sum(self.log_likelihood(x))

    def template(self, control):
        return jnp.zeros_like(self.data)

    def draw_data(self, key, x):
        seen = jnp.abs(x) if self.folded else x
        return seen + self.noise * jax.random.normal(key, self.data.shape)

    def with_data(self, data):
        return Measured(data, self.noise, self.folded)

    def with_rows(self, rows):
        return Measured(self.data[rows], self.noise, self.folded)


def linear_model(dim=3):
    return Model(tj.Gaussian(jnp.zeros(dim)), Measured(jnp.linspace(-1.0, 1.0, dim)))


def posterior_of(model, position, log_weight=None, log_evidence=np.nan):
    n = position.shape[0]
    return Posterior(
        model=model,
        position=position,
        log_weight=jnp.zeros(n) if log_weight is None else log_weight,
        prior_position=None,
        log_evidence=tj.Estimate(log_evidence, 0.01, n),
        account=None,
        time=1.0,
        gradients=0,
        warnings=(),
    )


def gaussian_sampler(n=200, width=1.0, shift=0.0, sees_data=True, weighted=False):
    """The exact posterior of `linear_model`, narrower, shifted, or without its data."""

    def sampler(model, key):
        y, noise = model.likelihood.data, model.likelihood.noise
        variance = 1 / (1 + 1 / noise**2) if sees_data else 1.0
        mean = variance * y / noise**2 if sees_data else 0 * y
        z = jax.random.normal(key, (n, y.size))
        scale = jnp.sqrt(variance)
        evidence = jnp.sum(jax.scipy.stats.norm.logpdf(y, 0, jnp.sqrt(1 + noise**2)))
        if weighted:  # from a law that is a little wider, with the weights that correct for it
            wide = 1.3
            log_weight = -jnp.sum(z**2, axis=1) * (wide**2 - 1) / 2
            return posterior_of(model, mean + scale * wide * z, log_weight, evidence)
        x = mean + scale * (shift + width * z)
        return posterior_of(model, x, log_evidence=evidence)

    return sampler


def trials(sampler, simulations, repeats, dim=3):
    """The least p-value and that of the width, in many calibrations of one sampler."""
    model = linear_model(dim)
    total = simulations * repeats
    places, effective, *_ = simulated(model, KEY, sampler, total, model.prior, model.likelihood)
    rows = {k: np.asarray(u, float).reshape(repeats, simulations, -1) for k, u in places.items()}
    found = [judged({k: u[i] for k, u in rows.items()}, dim)[0] for i in range(repeats)]
    return (
        np.array([min(p.values()) for p in found]),
        np.array([p["width"] for p in found]),
        np.asarray(effective),
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_an_exact_sampler_passes_95_percent_of_1000_trials(weighted):
    """Within 2 %; of weighted samples 400 trials, within 4 standard errors."""
    repeats = 400 if weighted else 1000
    least, width, effective = trials(gaussian_sampler(100, weighted=weighted), 20, repeats)
    slack = 4 * np.sqrt(0.05 * 0.95 / repeats) if weighted else 0.02
    assert abs(np.mean(least > 0.05) - 0.95) <= slack
    # All p-values of the width have the law that they should have, small ones and others.
    assert stats.kstest(width[width < 1], "uniform").pvalue > 1e-3
    assert (effective < 90).all() == weighted


def test_a_posterior_10_percent_too_narrow_is_caught_with_the_power_that_is_claimed():
    """597 scalars for 95 %: measured 0.92 with posteriors of 200 draws, whose ranks are coarse."""
    needed = scalars_needed(0.1, 0.95, WIDTH * 0.05)
    least, _, _ = trials(gaussian_sampler(200, width=0.9), -(-needed // 3), 60)
    caught, error = np.mean(least <= 0.05), np.sqrt(0.92 * 0.08 / 60)
    assert 0.92 - 4 * error < caught


def test_the_number_of_scalars_is_that_of_the_chi_squared_law():
    """A normal approximation, by hand: 2 ((1.96 + 1.645 s) / (s - 1))^2 with s = 1 / 0.81."""
    s = 1 / 0.81
    assert abs(scalars_needed(0.1, 0.95, 0.05) - 2 * ((1.960 + 1.645 * s) / (s - 1)) ** 2) < 15
    for narrow, power, level in ((0.1, 0.95, 0.05), (0.3, 0.8, 0.01), (-0.2, 0.9, 0.05)):
        ratio = (1 - narrow) ** 2

        def convicted(m, ratio=ratio, level=level):
            low, high = stats.chi2.ppf([level / 2, 1 - level / 2], m)
            return stats.chi2.cdf(low * ratio, m) + stats.chi2.sf(high * ratio, m)

        m = scalars_needed(narrow, power, level)
        assert convicted(m) >= power > convicted(m - 1)
    assert scalars_needed(0.5) < scalars_needed(0.1) < scalars_needed(0.05)


SPOILED = {
    "shifted": (dict(shift=0.5), "a parameter is shifted"),
    "ignores the data": (dict(sees_data=False), "the samples fit the data worse"),
    "twice too narrow": (dict(width=0.5), "too narrow"),
    "twice too wide": (dict(width=2.0), "too wide"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_sampler_fails_with_the_right_words(name):
    spoiled, words = SPOILED[name]
    found = calibrate(
        linear_model(), KEY, sampler=gaussian_sampler(**spoiled), simulations=40, data=False
    )
    assert not found.passed and found.p_value < 1e-3
    assert found.verdict.startswith("Failed.") and words in found.verdict, found.verdict


def grid_sampler(least=-6.0):
    """The exact posterior of one coordinate, on a grid from `least` to 6."""
    grid = jnp.linspace(least, 6.0, 1201)

    def sampler(model, key):
        which, within = jax.random.split(key)
        energy = lambda x: model.prior.energy(x, None) + model.likelihood.energy(x, None)
        logits = -jax.vmap(energy)(grid[:, None])
        place = jax.random.categorical(which, logits, shape=(200,))
        x = grid[place] + (grid[1] - grid[0]) * jax.random.uniform(
            within, (200,), minval=-0.5, maxval=0.5
        )
        return posterior_of(model, x[:, None])

    return sampler


@pytest.mark.slow
def test_a_sampler_that_stays_in_one_of_two_modes_is_caught_by_both_kinds_of_data():
    """|x| is measured, so that x and -x are alike; the sampler never leaves x > 0."""
    model = Model(tj.Gaussian(jnp.zeros(1)), Measured(jnp.array([1.5]), 0.2, True))
    right = calibrate(model, KEY, sampler=grid_sampler(), simulations=100, data=False)
    assert right.passed, right.verdict
    stuck = calibrate(model, KEY, sampler=grid_sampler(0.0), simulations=100)
    assert not stuck.passed and stuck.p_value < 1e-6
    (said,) = stuck.doubts
    assert ("mode at [1.4" in said and "crowd together" in said) or "miss it" in said
    for name, interval in right.coverage(0.8).items():
        assert abs(interval.value - 0.8) < 4 * np.sqrt(0.16 / 100), name
    assert np.all(stuck.coverage(0.8)["x"].value < 0.65)


def test_a_sampler_that_cannot_be_traced_gives_the_same_places():
    model, exact = linear_model(), gaussian_sampler(50)

    def concrete(model, key):
        float(model.likelihood.data[0])
        return exact(model, key)

    one, other = (
        calibrate(model, KEY, sampler=x, simulations=4, data=False) for x in (exact, concrete)
    )
    for name, u in one.pit.items():
        np.testing.assert_allclose(u, other.pit[name], rtol=1e-12)
    assert "one data set after the other" in other.verdict
    assert one.pit["x"].shape == (4, 3) and one.scalars == 12 and one.needed == 597
    assert "Only a posterior" in one.verdict and "597 scalars" in one.verdict


def test_a_finer_sampler_that_moves_the_answer_is_told():
    model, exact = linear_model(), gaussian_sampler(400)
    still = calibrate(model, KEY, sampler=exact, finer=exact, simulations=0)
    assert still.passed and still.verdict == "Passed."

    def other(model, key):
        posterior = exact(model, key)
        return posterior_of(model, posterior.position + 0.3, log_evidence=-20.0)

    found = calibrate(model, KEY, sampler=exact, finer=other, simulations=0)
    assert [x.split(" moves")[0] for x in found.doubts] == ["ln p(y)", "the mean of x"]
    assert all(x.endswith("with the finer sampler") for x in found.doubts)
    alone = calibrate(model, KEY, sampler=exact, simulations=0)
    assert alone.passed and "pass finer=, a sampler of half the step" in alone.verdict
    shifted = calibrate(model, KEY, sampler=gaussian_sampler(400, shift=0.7), simulations=0)
    assert any("Stein" in x for x in shifted.doubts)


@pytest.mark.slow
def test_infer_is_asked_whether_its_step_and_its_ramp_time_matter(monkeypatch):
    """By itself, and a moved answer of either is told by its name."""
    model = linear_model(2)
    found = calibrate(model, KEY, simulations=0)
    assert found.passed, found.verdict
    assert "Half of the step and twice the ramp time were tried for" in found.verdict
    given = inspect.signature(tj.bayes.infer).parameters
    goal = Goal()
    for name in ("error", "effective", "samples", "budget"):
        assert getattr(goal, name) == given[name].default
    # One has half of the step in the same time, the other as long steps in twice the time.
    plain = tj.bayes.infer(model, KEY)
    short, slow = (sampler(model, KEY) for sampler in halvings().values())
    assert 0.8 < short.time / plain.time < 1.25 < 1.6 < slow.time / plain.time < 2.5
    for other in (short, slow):  # of which less than half has nothing to do with the ramps
        assert 1.1 < other.gradients / plain.gradients < 2.1
    evidence = float(jnp.sum(jax.scipy.stats.norm.logpdf(jnp.array([-1.0, 1.0]), 0, 1.25**0.5)))
    for one in (plain, short, slow):
        assert abs(one.log_evidence.value - evidence) < 4.5 * one.log_evidence.error

    exact = gaussian_sampler(400)

    def moved(model, key):
        posterior = exact(model, key)
        return posterior_of(model, posterior.position + 0.3)

    others = {"half of the step": exact, "twice the ramp time": moved}
    monkeypatch.setattr(calibrating, "halvings", lambda: others)
    monkeypatch.setattr(calibrating, "infer", exact)
    found = calibrate(model, KEY, simulations=0)
    (said,) = found.doubts
    assert said.startswith("the mean of x moves") and said.endswith("with twice the ramp time")


def test_draws_that_are_unknown_have_no_place():
    """Nan among draws that count; what has no weight may hold anything."""
    draws = jnp.array([0.0, 1.0, jnp.nan])
    assert np.isnan(tj.bayes.pit(0.5, draws, KEY))
    assert np.isfinite(tj.bayes.pit(0.5, draws, KEY, jnp.array([0.0, 0.0, -jnp.inf])))


def test_places_of_equal_and_of_weighted_draws_are_uniform():
    """Mean, variance and tails of u, each within 4 errors, of 20 draws and ties among them."""
    n, cases = 20, 20_000
    keys = jax.random.split(KEY, 4)
    plain = jax.random.normal(keys[0], (cases, n + 1))
    wide = 1.5 * jax.random.normal(keys[1], (cases, 10 * n))
    log_weight = -(wide**2) / 2 * (1 - 1 / 1.5**2)
    ties = jnp.round(plain)
    each = jax.random.split(keys[2], cases)
    draw = jax.jit(jax.vmap(pit))
    for u, slack in (
        (draw(plain[:, 0], plain[:, 1:], each), 0),
        (draw(ties[:, 0], ties[:, 1:], each), 0),
        (draw(plain[:, 0], wide, each, log_weight), 1e-3),
    ):
        u = np.asarray(u)
        assert abs(u.mean() - 0.5) < slack + 4 / np.sqrt(12 * cases)
        assert abs(u.var() - 1 / 12) < slack + 4 / np.sqrt(180 * cases)
        for tail in (0.02, 0.1):
            error = 4 * np.sqrt(2 * tail / cases)
            assert abs(np.mean(np.abs(u - 0.5) > 0.5 - tail) - 2 * tail) < slack + error
    # Without the correction the ends would be too heavy by 1/m.
    naive = np.mean(np.asarray(plain[:, :1] > plain[:, 1:]), axis=1)
    assert np.mean((naive == 0) | (naive == 1)) > 0.09


def test_bands_and_p_values_of_the_distribution_function_have_their_level():
    rng, trials = np.random.default_rng(1), 400
    for n in (1, 7, 60):
        u = rng.uniform(size=(trials, n))
        p = np.array([ecdf_p_value(x) for x in u])
        for level in (0.05, 0.2):
            assert np.mean(p <= level) < level + 4 * np.sqrt(level * (1 - level) / trials)
        if n > 1:
            assert np.mean(p <= 0.2) > 0.1  # counts are whole, and yet it is no empty test
        points, lower, upper = ecdf_band(n, 0.9)
        ecdf = np.mean(u[:, :, None] <= points, axis=1)
        inside = np.mean(np.all((ecdf >= lower - 1e-9) & (ecdf <= upper + 1e-9), axis=1))
        assert inside > 0.9 - 4 * np.sqrt(0.09 / trials)
    # One number: its side of the middle can surprise nobody.
    assert ecdf_p_value([0.3]) == 1
    assert ecdf_p_value(0.5 + 0.1 * rng.uniform(size=60)) < 1e-6


def test_bad_input_is_answered_in_words():
    model, sampler = linear_model(), gaussian_sampler(50)
    flat = Model(None, Measured(jnp.zeros(2)))
    mute = Model(tj.Gaussian(jnp.zeros(1)), tj.Gaussian(jnp.ones(1)))
    for message, call in {
        "model is a Gaussian": lambda: calibrate(tj.Gaussian(jnp.zeros(1)), KEY),
        "key must be": lambda: calibrate(model, 0),
        "sampler = ": lambda: calibrate(model, KEY, sampler=3),
        "finer = ": lambda: calibrate(model, KEY, finer=3),
        "flat prior": lambda: calibrate(flat, KEY, sampler=sampler),
        "cannot draw data": lambda: calibrate(mute, KEY, sampler=sampler),
        "simulations = -1": lambda: calibrate(model, KEY, simulations=-1),
        "level = 0": lambda: calibrate(model, KEY, level=0.0),
        "expected a power above": lambda: calibrate(model, KEY, power=0.01),
        "narrow = 1.0": lambda: calibrate(model, KEY, narrow=1.0),
        "more than 10.9": lambda: scalars_needed(1e-6),
        "nothing to test on": lambda: calibrate(model, KEY, simulations=0, data=False),
        "is a float": lambda: calibrate(model, KEY, sampler=lambda m, k: 1.0, simulations=2),
        r"draws have shape": lambda: pit(0.0, jnp.zeros((3, 1)), KEY),
        "log_weight has shape": lambda: pit(0.0, jnp.zeros(3), KEY, jnp.zeros(2)),
        "log_weight holds nan": lambda: pit(0.0, jnp.zeros(3), KEY, jnp.full(3, jnp.nan)),
        "values = ": lambda: ecdf_p_value([0.5, 1.5]),
        "n = 0": lambda: ecdf_band(0),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
