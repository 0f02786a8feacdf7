"""One free energy difference for all columns of a driven study, from runs in both directions."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
import thermojax.execution.together as module
from thermojax._calls import alone
from thermojax.estimate import Estimate
from thermojax.estimators import Evaluation
from thermojax.estimators.pooled import pooled
from thermojax.execution.together import together
from thermojax.experiment import load
from thermojax.experiment.results.report import answer
from thermojax.experiment.results.store import Record, save
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.change import most_reliable, unlike
from thermojax.experiment.study.doubts import doubts
from thermojax.experiment.study.driven import Driven, Training
from thermojax.experiment.study.driven import Testing as Measured
from thermojax.experiment.study.evidence import is_bayesian
from thermojax.experiment.study.figures import work_distribution
from thermojax.experiment.study.work_saved import saving_sentence


class Spring(tj.AbstractPotential):
    """U = c x^2 / 2, drawn exactly; that its free energy is ln(c) / 2 it does not say."""

    def energy(self, x, control):
        return 0.5 * control * jnp.sum(x**2)

    def template(self, control):
        return jnp.zeros(1)

    def sampled_by(self, control, temperature):
        return self

    def sample(self, key, control, temperature, batch, template):
        z = jax.random.normal(key, (batch, 1), template.dtype)
        return z * jnp.sqrt(temperature / control)


def stiffened(end=4.0, duration=1.0, training=None, batch=512, friction=1.0, **settings):
    ramp = tj.PiecewiseLinear.between(1.0, end, duration, knots=3)
    size = Measured(batch, batch)
    bath = tj.Bath(friction=friction)
    return Driven(
        Spring(), ramp, bath, duration / 20, training=training, evaluation=size, **settings
    )


def results_of(study, seed=0):
    results = alone(study.run(jax.random.key(seed), Progress(io.StringIO())))
    described(results, study)
    return results


def described(results, study):
    results.attributes |= {
        "columns": list(study.columns),
        "labels": list(study.headline),
        "entries": list(study.headline.values()),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Results of a study with a training, as they are read back."""
    folder = tmp_path_factory.mktemp("trained")
    study = stiffened(training=Training(steps=3, batch=16, learning_rate=0.3))
    save(folder / "results.h5", results_of(study))
    return load(folder)


def test_columns_add_up(trained):
    """Every column has the same difference, and what is dissipated is the work beyond it."""
    changes = [trained[name]["free_energy_change"] for name in ("linear", "optimized")]
    assert changes[0].value == changes[1].value and changes[0].error == changes[1].error
    assert abs(changes[0].value - np.log(4) / 2) < 4.5 * changes[0].error
    for name in ("linear", "optimized"):
        work, lost = trained[name]["total_work"], trained[name]["dissipated_work"]
        assert float(lost.value) == pytest.approx(float(work.value - changes[0].value), abs=1e-6)
        # The work and the difference rise and fall together: their difference is better known.
        assert lost.error < np.hypot(work.error, changes[0].error)
        assert trained[name]["reverse"]["paths"].axes["total_work"] == ("path",)
    assert trained["free_energy"]["information"] > 100
    assert not doubts(trained)


def test_it_is_the_estimate_of_what_is_stored(trained):
    pairs = [
        tuple(column["paths"]["log_weight"] for column in (trained[n], trained[n]["reverse"]))
        for n in ("linear", "optimized")
    ]
    found = pooled(pairs)
    change = trained["linear"]["free_energy_change"]
    assert float(change.value) == pytest.approx(-float(found.log_ratio.value), abs=1e-9)
    assert int(change.count) == 4 * 512
    works = trained["optimized"]["paths"]["total_work"]
    lost = found.plus_mean(1, works)
    assert float(trained["optimized"]["dissipated_work"].error) == pytest.approx(float(lost.error))


def test_the_headline_says_what_was_saved(trained):
    before, after = (trained[name]["total_work"] for name in ("linear", "optimized"))
    gain = trained["optimized"]["work_saved"]
    assert float(gain.value) == pytest.approx(float(before.value - after.value), abs=1e-6)
    assert float(gain.error) == pytest.approx(np.hypot(before.error, after.error), rel=1e-6)
    text = saving_sentence(trained)
    assert f"{after} kT instead of {before} kT (linear)" in text and "of total work" in text
    assert answer(trained, Driven) == text
    costly = Record(**trained["linear"], work_saved=Estimate(-1.0, 0.1, 9))
    worse = Record(linear=trained["optimized"], optimized=costly)
    worse.attributes = trained.attributes
    assert "costs 1.00 ± 0.10 kT" in saving_sentence(worse)


def test_both_directions_are_drawn(trained):
    found = work_distribution(trained)
    assert found is not None
    figure, caption = found
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"linear, reversed", "optimized, reversed", "free energy difference"} <= set(said)
    assert str(trained["linear"]["free_energy_change"]) in caption and "Crooks" in caption


def test_no_overlap_is_said_and_the_error_infinite():
    results = results_of(stiffened(end=1e8, duration=1e-9))
    column = results["linear"]
    assert np.isinf(column["free_energy_change"].error) and np.isinf(
        column["dissipated_work"].error
    )
    (warning,) = [text for text in doubts(results) if "overlap" in text]
    assert "forward and reverse runs do not overlap" in warning


def test_points_of_a_sweep_share_the_reverse_runs(monkeypatch):
    """Two points, one program for each direction; the numbers are those of single runs."""
    sizes, joint = [], module.joint
    monkeypatch.setattr(
        module, "joint", lambda f, common, own: sizes.append(len(own)) or joint(f, common, own)
    )
    make = lambda: [stiffened(friction=x, batch=64) for x in (1.0, 2.0)]
    key = jax.random.key(3)
    both = together([study.run(key, Progress(io.StringIO())) for study in make()])
    assert sizes == [2, 2]
    for one, study in zip(both, make(), strict=True):
        assert isinstance(one, Record)
        single = results_of(study, 3)
        for entry in ("free_energy_change", "dissipated_work"):
            a, b = one["linear"][entry], single["linear"][entry]
            np.testing.assert_allclose([a.value, a.error], [b.value, b.error], rtol=1e-6)


def test_without_reverse_runs():
    """The difference is an exponential average then, and how many paths carry it is shown."""
    results = results_of(stiffened(reverse=False))
    column = results["linear"]
    assert "reverse" not in column and "free_energy" not in results
    change = column["free_energy_change"]
    assert abs(float(change.value) - np.log(4) / 2) < 4.5 * float(change.error)
    assert column["effective_samples"] > 10
    lost = float(column["total_work"].value) - float(change.value)
    assert float(column["dissipated_work"].value) == pytest.approx(lost, abs=1e-6)


def test_a_mass_that_changes_belongs_to_the_difference():
    """F of the momenta falls by ln(4) / 2, which the closed form of the potential leaves out."""
    bath = tj.Bath(mass=tj.Linear(1.0, 4.0, 1.0))
    trap = tj.Harmonic(1.0, center=[0.0], control="center")
    ramp = tj.Linear(0.0, 0.5, 1.0)
    size = Measured(512, 512)
    change = results_of(Driven(trap, ramp, bath, 0.05, "underdamped", [0.0], evaluation=size))
    change = change["linear"]["free_energy_change"]
    assert abs(float(change.value) + np.log(4) / 2) < 4.5 * float(change.error)
    assert float(change.error) < 0.05


def evaluation(work):
    nothing = np.zeros(0)
    ones = np.ones(len(work))
    return Evaluation(nothing, {"total_work": work}, -work, ones, nothing, {}, {})


def test_the_most_reliable_average():
    """Of a schedule whose average two paths carry, and of one that wastes more and knows more."""
    random = np.random.default_rng(0)
    even = evaluation(random.normal(3, 1, 1000))
    rare = evaluation(np.where(np.arange(1000) < 2, -7.0, 2.0 + 0.01 * random.normal(size=1000)))
    assert rare.average("total_work").value < even.average("total_work").value
    assert most_reliable({"given": even, "optimized": rare}) is even
    # One that has missed its rare paths says that many count; what it dissipates tells.
    missed = evaluation(random.normal(10.0, 1.0, 1000) + np.where(np.arange(1000) < 9, -9.0, 0))
    assert most_reliable({"given": missed, "optimized": even}) is even


def test_two_runs_that_are_not_one_process():
    random = np.random.default_rng(0)
    forward, reverse = -(1 + random.normal(size=400) * 1.4), -(1 + random.normal(size=400) * 1.4)
    assert unlike("given", forward, reverse) == []
    (said,) = unlike("given", forward * 0.4, reverse * 0.4)
    assert "Crooks' slope" in said and "may not be at equilibrium" in said


def test_which_ramps_are_bayesian():
    prior = tj.Gaussian(jnp.zeros(1), 1.0)
    likelihood = tj.LogisticRegression(jnp.ones((2, 1)), jnp.array([0, 1]))
    ramp = tj.Linear(0.0, 1.0, 1.0)
    system = tj.Overdamped(tj.Interpolation(prior, prior + likelihood), ramp, tj.Bath())
    assert is_bayesian(system)
    for other in (
        system.replace(potential=tj.Interpolation(prior, tj.DoubleWell(1.0))),
        system.replace(potential=tj.Interpolation(tj.Harmonic(2.0, [0.0]), prior + likelihood)),
        system.replace(protocol=tj.Linear(0.0, 0.5, 1.0)),
        system.replace(bath=tj.Bath(temperature=2.0)),
        system.replace(potential=tj.DoubleWell(1.0)),
    ):
        assert not is_bayesian(other)
