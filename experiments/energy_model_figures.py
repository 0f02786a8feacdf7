"""What the study of energies shows and says: samples through training, likelihoods, inpainting."""

from __future__ import annotations

import numpy as np

from experiments.image_rows import show_rows
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, INK, ORANGE, PURPLE, legend, new
from thermojax.experiment.results.tables import records_of

COLORS = (ORANGE, BLUE, GREEN, PURPLE)
SURE = 4.0  # standard errors beyond which two numbers differ
BLACK, WHITE = -1.5, 2.5  # of pixels
AVERAGED = 20  # steps whose batches are averaged in the curve
POOR = 0.5  # of the real images that are recognized


def first(results: Record) -> tuple[str, Record]:
    """(name, record) of the first method."""
    return next(iter(records_of(results).items()))


def samples_figure(results: Record):
    """Walkers of the first method through its training."""
    name, record = first(results)
    moments = np.asarray(record["moments"])
    steps = [f"step {step:,}" for step in np.asarray(record["moment_steps"]).tolist()]
    figure, (axis,) = new(1, 2.6)
    show_rows(axis, moments, results["judge"].attributes["side"], steps, BLACK, WHITE)
    return figure, f"Walkers of the {name} training, drawn by their weights, at some of its steps."


def likelihood_figure(results: Record):
    """ln p of the batches of each step, where a method knows it, and that of the Gaussian."""
    figure, (axis,) = new()
    judge = results["judge"]
    for (name, record), color in zip(records_of(results).items(), COLORS, strict=False):
        value = np.asarray(record["training"]["log_likelihood"])
        if np.isfinite(value).any():
            count = max(1, len(value) // AVERAGED * AVERAGED)
            step = np.arange(1, len(value) + 1)[:count].reshape(-1, min(AVERAGED, count)).mean(1)
            mean = value[:count].reshape(len(step), -1).mean(1)
            axis.plot(step, mean, color=color, lw=1.3, label=f"{name}, in training")
        found, last = record["likelihood"], len(value)
        axis.errorbar(last, float(found.value), float(found.error), fmt="s", color=color, ms=5,
                      capsize=3, label=f"{name}, images not seen")  # fmt: skip
    axis.axhline(
        float(judge["gaussian"].value), color=INK, lw=1, ls=":", label="Gaussian, not seen"
    )
    axis.set(xlabel="step of training", ylabel="ln p of an image")
    legend(figure, columns=2)
    return figure, (
        "The mean of ln p over the batch of each step, with the ln Z of its witnesses, averages of "
        f"{AVERAGED} steps; at the end that of images that were not seen, with ln Z by fresh "
        "walkers. Dotted: the Gaussian of the data's moments, where training begins."
    )


def inpainting_figure(results: Record):
    """Images whose lower half was drawn given the upper one, by the first method."""
    name, record = first(results)
    rows = np.asarray(record["inpainted"])
    names = ["given", "filled in", "as it was"]
    figure, (axis,) = new(1, 1.8)
    show_rows(axis, rows, results["judge"].attributes["side"], names, BLACK, WHITE)
    return figure, f"Lower halves drawn by the {name} model given upper ones that it has not seen."


def in_words(results: Record) -> str:
    """The likelihood and the samples of the first method, beside real images."""
    name, record = first(results)
    judge = results["judge"]
    return (
        f"By {name} training ln p of images not seen is {record['likelihood']}, where the Gaussian "
        f"has {judge['gaussian']}. {float(record['recognized'].value):.0%} of its samples are "
        f"recognized as digits, of real images {judge['real_recognized']:.0%}; of images with "
        f"their lower half filled in {float(record['filled'].value):.0%} are the digit they were, "
        f"of half empty ones {float(record['half_empty'].value):.0%}."
    )


def doubtful(results: Record) -> list[str]:
    """Trainings that ended early, samples that are no digits or copies, likelihoods that differ."""
    said, judge = [], results["judge"]
    for name, record in records_of(results).items():
        stopped = str(record["training"].attributes["stopped"])
        if "is kept" in stopped:
            said.append(f"{name}: {stopped}.")
        recognized = record["recognized"]
        if float(recognized.value) < POOR * judge["real_recognized"]:
            said.append(f"{name}: {recognized} of the samples are recognized: most are no digits.")
        likeness = record["likeness"]
        if float(likeness.value) - SURE * float(likeness.error) > judge["real_likeness"]:
            said.append(
                f"{name}: samples are more like training images ({likeness}) than images are that "
                f"it has not seen ({judge['real_likeness']:.3f}): it copies."
            )
        if "likelihood_witnessed" not in record:
            continue
        fresh, witnessed = record["likelihood"], record["likelihood_witnessed"]
        off = float(fresh.value) - float(witnessed.value)
        error = np.hypot(float(fresh.error), float(witnessed.error))
        if abs(off) > SURE * error:
            said.append(
                f"{name}: ln p is {fresh} by fresh walkers and {witnessed} by witnesses of the "
                "training: one of both has missed a part of the law; take a longer ramp."
            )
    return said
