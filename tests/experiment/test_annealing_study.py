"""The study of annealers at a tiny size, what it says of broken bounds, and what it refuses."""

import functools
from pathlib import Path
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from experiments.annealing import Annealing, Training, optimizer
from experiments.annealing_figures import doubtful, gap_figure, in_words, smoothed
from experiments.annealing_targets import TARGETS
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "annealing.yaml"
TINY = ["target=funnel", "steps=[2]", "drive=none", "base_steps=20", "paths=256"]
TRAINED = ["training.steps=6", "training.batch=16", "training.learning_rate=0.05"]


@pytest.mark.slow
def test_a_small_annealer_from_its_config(tmp_path, capsys):
    """The numbers are those of direct calls on a potential that is written down here again."""
    given = [*TINY, *TRAINED, "precision=float64", "seed=3"]
    assert main(["run", str(CONFIG), *given, "--out", str(tmp_path)]) == 0
    results = load(tmp_path)
    record, said = results["K = 2"], capsys.readouterr().out
    base_key, _, measuring, _, key = jax.random.split(jax.random.key(3), 5)

    def funnel(x):
        body = jax.scipy.stats.norm.logpdf(x[1:], scale=jnp.exp(x[0] / 2))
        return jax.scipy.stats.norm.logpdf(x[0], scale=3.0) + jnp.sum(body)

    target = tj.LogDensity(funnel)
    base = tj.anneal.variational(None, target, base_key, template=jnp.zeros(10), steps=20)
    begun = tj.anneal.Annealer(base, target, steps=2, template=jnp.zeros(10))
    fit = tj.anneal.fit(begun, optimizer(0.05, 6), jax.random.fold_in(key, 2), batch=16, steps=6)
    np.testing.assert_allclose(record["training"]["loss"], fit.history["loss"], rtol=1e-6)
    assert record["training"].attributes["chosen"] == fit.chosen
    for annealer, end in ((begun, "_before"), (fit.annealer, "")):
        out = annealer.run(measuring, 256)
        for name in ("elbo", "log_z"):
            found, exact = record[f"{name}{end}"], getattr(out, name)
            assert float(found.value) == pytest.approx(float(exact.value), rel=1e-6)
            assert float(found.error) == pytest.approx(float(exact.error), rel=1e-5)
        # ln Z is zero: the whole mean work is wasted.
        lost = record["dissipated_before" if end else "dissipated_work"]
        assert float(lost.value) == pytest.approx(-float(out.elbo.value), rel=1e-6)
        schedule, start = record["schedule"], "start_" if end else ""
        couplings, dt, rate = annealer.schedule.values()
        np.testing.assert_allclose(schedule[f"{start}coupling"], couplings[:, 0], rtol=1e-6)
        np.testing.assert_allclose(schedule[f"{start}rate"], rate, rtol=1e-6)
        np.testing.assert_allclose(np.diff(schedule[f"{start}time"]), dt, rtol=1e-6)
    assert record["effective_samples"] == pytest.approx(float(out.effective_samples), rel=1e-5)
    # Work in parts is the total work, of which log weights are the negative.
    parts = [float(record[f"mean_{x}_work"].value) for x in ("protocol", "shadow", "drive")]
    assert sum(parts) == pytest.approx(-float(out.elbo.value), rel=1e-6) and parts[2] == 0
    assert record["gradients"] == 6 * 16 * 3 + 20 * 64
    # An exact draw of the funnel sees the upper bound; draws of the base alone the least.
    assert float(record["upper"].value) > 0 and record["diverged_back"] == 0
    z = jax.vmap(base.place)(jax.random.normal(jax.random.key(0), (4000, 10)))
    alone = float(jnp.mean(jax.vmap(funnel)(z)) + 5 * jnp.log(2 * jnp.pi * jnp.e))
    alone += float(jnp.sum(base.log_volume()))
    error = 5 * float(results["base"]["elbo"].error)
    assert abs(float(results["base"]["elbo"].value) - alone) < error
    assert "2 steps waste" in said and "The base alone wastes" in said
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure") == 3 and "running mean" in page and "before training" in page


def column(elbo: float, log_z: float, effective: float, **more) -> Record:
    """The record of a K as the study makes it, of two steps."""
    record = Record(paths_total=1000, effective_samples=effective, **more)
    for end, worse in (("_before", 1.0), ("", 0.0)):
        record[f"elbo{end}"] = tj.Estimate(elbo - worse, 0.01, 1000)
        record[f"log_z{end}"] = tj.Estimate(log_z, 0.02, 1000)
    record["dissipated_before"] = tj.Estimate(1 - elbo, 0.01, 1000)
    record["dissipated_work"] = tj.Estimate(-elbo, 0.01, 1000)
    record["schedule"] = Record(dt=np.ones(2))
    record["training"] = training = Record(diverged=np.zeros(4))
    training.attributes.update(stopped="all 4 steps done", chosen="averaged")
    return record


def results_of(record: Record) -> Record:
    results = Record(target=Record(log_z=tj.Estimate(0.0, 0.01, 1)))
    results["base"] = Record(dissipated_work=tj.Estimate(3.0, 0.02, 1000))
    results["K = 2"] = record
    results.attributes["columns"] = ["K = 2"]
    return results


def test_doubts_in_words():
    assert doubtful(results_of(column(-0.5, 0.0, 500.0))) == []
    # Above by ten errors of 0.01 and 0.01; before training the bound is in order.
    (said,) = doubtful(results_of(column(0.15, 0.0, 500.0)))
    assert said.startswith("K = 2: the lower bound 0.150 ± 0.010 lies above the reference 0, by")
    assert doubtful(results_of(column(0.05, 0.0, 500.0))) == []  # 3.5 errors
    (said,) = doubtful(results_of(column(-0.5, 0.0, 12.0)))
    assert "12 effective samples of 1,000 carry ln Z" in said
    (said,) = doubtful(results_of(column(-2.5, -1.0, 500.0)))
    assert "its ln Z of -1.00 ± 0.02 is not the reference 0" in said
    (said,) = doubtful(results_of(column(-0.5, 0.0, 500.0, share_seen=0.02)))
    assert "an effective share of 0.5, draws of the target see 0.02" in said
    (said,) = doubtful(results_of(column(-0.5, 0.0, 500.0, diverged=1200)))
    assert said == "K = 2: 1,200 of 1,000 paths diverged; take a smaller dt."
    record = column(-0.5, 0.0, 500.0)
    record["training"]["diverged"] = np.array([0, 3, 2, 0])
    record["training"].attributes.update(stopped="the loss was not finite", chosen="start")
    said = doubtful(results_of(record))
    assert len(said) == 3 and "5 paths diverged in training" in said[0]
    assert "ended early" in said[1] and "gained nothing" in said[2]


def test_the_gap_in_words_and_points():
    assert in_words(results_of(column(-0.5, 0.0, 500.0))) == (
        "2 steps waste 0.500 ± 0.010 kT, 1.500 ± 0.010 before training. The base alone wastes "
        "3.00 ± 0.02 kT."
    )
    # A gap that is not told from zero, here -0.005, is a limit and no point.
    figure, _ = gap_figure(results_of(column(0.005, 0.0, 500.0)))
    limits = [line for line in figure.axes[0].lines if line.get_marker() == "v"]
    heights = [np.asarray(line.get_ydata()).tolist() for line in limits]
    assert heights == [[], [pytest.approx(0.02)]]


def test_running_means():
    step, mean = smoothed(np.arange(100.0))
    np.testing.assert_allclose(mean, step - 1)  # a straight line is its own mean


def test_bases_and_drives_that_are_not_fitted_first():
    """A wide base of a given scale, Laplace's, and the network with two sides."""
    made = functools.partial(Annealing, steps=(2,), training=Training(steps=3))
    wide, progress = made("forty_modes", base_scale=25.0), Progress()
    base = wide.fitted_base(jax.random.key(0), progress)
    assert isinstance(base, tj.anneal.DiagonalBase) and wide.base_gradients == 0
    np.testing.assert_allclose(base.place(jnp.ones(2)) - base.place(jnp.zeros(2)), 25.0)
    wells = made("five_wells", base="laplace", drive="two-sided")
    with pytest.raises(ValueError, match="pass a template nearer to a maximum"):  # 0 is a saddle
        wells.fitted_base(jax.random.key(0), progress)
    wells.target = wells.target._replace(template=jnp.ones(50))
    base = wells.fitted_base(jax.random.key(0), progress)
    # (x^2 - 2)^2 has the curvature 16 at sqrt(2), x^2 / 2 has 1.
    scale = np.repeat([0.25, 1.0], [5, 45])
    np.testing.assert_allclose(base.place(jnp.ones(50)) - base.place(jnp.zeros(50)), scale, 1e-5)
    np.testing.assert_allclose(base.place(jnp.zeros(50))[:5], 2**0.5, 1e-5)
    assert wells.base_gradients == 0 and made("funnel").base_gradients == 2000 * 64
    drive = wells.drive_of(jax.random.key(1))
    assert drive is not None
    closing, opening = drive(jnp.ones(50), jnp.float32(0.5))
    assert closing.shape == opening.shape == (50,)


def test_every_target_can_be_named():
    assert get_args(get_type_hints(Annealing.__init__)["target"]) == tuple(TARGETS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(steps=()), r"steps = \[\]: expected positive numbers"),
        (dict(steps=(4, 0)), "expected positive numbers"),
        (dict(steps=(4, 4)), "each once"),
        (dict(target="rosenbrock"), "target = 'rosenbrock': expected one of ionosphere"),
        (dict(base="laplace", base_scale=2.0), "a base that is not fitted is diagonal"),
    ],
)
def test_refused_settings(change, words):
    given = dict(target="funnel", steps=(2,), training=Training(steps=3))
    with pytest.raises(ValueError, match=words):
        Annealing(**(given | change))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("target=sonr", "did you mean 'sonar'"),
        ("drive=quadratic", "drive"),
        ("training.objective=log_variance", "training.objective"),
        ("paths=1", "paths"),
        ("rate=0", "rate"),
    ],
)
def test_refused_in_a_config(override, words, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", str(CONFIG), override, "--out", str(out)]) == 2
    assert words in capsys.readouterr().err and not out.exists()
