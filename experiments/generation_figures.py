"""What the study of generation shows and says: samples, training, heat against quality, doubts."""

from __future__ import annotations

import numpy as np

from experiments.annealing_figures import plain_numbers
from experiments.image_rows import show_rows
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, INK, ORANGE, PURPLE, legend, new
from thermojax.experiment.results.tables import records_of

SURE = 4.0  # standard errors beyond which two numbers differ
POOR = 0.5  # of the real images that are recognized: samples below are no digits
UNLIKE = 0.25  # the share of negatives that is worth a word


def by_rule(results: Record, rule: str) -> dict[str, Record]:
    """The columns that one rule has trained, in the order of their durations."""
    found = records_of(results).items()
    return {name: r for name, r in found if r["training"].attributes["rule"] == rule}


def shown(results: Record) -> tuple[str, Record]:
    """(name, record) of the duration at which both rules were trained, by that of batches."""
    (online,) = by_rule(results, "online").values()
    batch = by_rule(results, "batch").items()
    return next((n, r) for n, r in batch if r["duration"] == online["duration"])


def samples_figure(results: Record):
    """Rows of images: a moment each, from noise to what the machine has generated."""
    _, record = shown(results)
    side = results["judge"].attributes["side"]
    moments = np.asarray(record["snapshots"])
    figure, (axis,) = new(1, 2.9)
    spread = float(np.quantile(np.abs(moments), 0.98))
    times = [f"{t:.2g}" for t in np.asarray(record["times"])]
    show_rows(axis, moments, side, times, -spread, spread)
    axis.set(ylabel="time")
    return figure, (
        "Each column is one sample, from the first row, noise of units without couplings, to the "
        "last, where it is read out."
    )


def training_figure(results: Record):
    """The loss of both rules against the cycle."""
    figure, (axis,) = new()
    name, batch = shown(results)
    (online,) = by_rule(results, "online").values()
    for record, color, label in ((batch, ORANGE, "batch"), (online, BLUE, "online")):
        loss = np.asarray(record["training"]["loss"])
        axis.plot(np.arange(1, len(loss) + 1), loss, color=color, lw=1.2, label=label)
    axis.set(xlabel="cycle", ylabel="entropy production (k_B)", xscale="log", yscale="log")
    legend(figure)
    return figure, (
        f"At {name}: the mean of ln [P(noising path) / P(its reverse by the machine)] over the "
        "paths of each cycle, which is what training lowers; of the online rule while it learns."
    )


def frontier_figure(results: Record):
    """Quality against heat, and heat and work against the duration."""
    figure, (above, below) = new(2, 5.2, sharex=False)
    found = list(by_rule(results, "batch").values())
    time = np.array([record["duration"] for record in found])
    heat, heat_error = estimates(found, "heat")
    for entry, color, label in (
        ("recognized", BLUE, "recognized"),
        ("likeness", GREEN, "likeness to training images"),
        ("negative", PURPLE, "negatives"),
    ):
        value, error = estimates(found, entry)
        above.errorbar(heat, value, error, heat_error, fmt="o-", color=color, ms=4, lw=1,
                       capsize=2, label=label)  # fmt: skip
    for t, x, record in zip(time, heat, found, strict=True):
        y = float(record["recognized"].value)
        above.annotate(f"{t:g}", (x, y), (-3, 6), textcoords="offset points", fontsize=7.5)
    above.axhline(results["judge"]["noise_recognized"], color=INK, lw=1, ls=":",
                  label="noise, recognized")  # fmt: skip
    above.set(xlabel="heat per sample (kT)", ylabel="share, correlation", ylim=(-0.05, 1.05))
    for entry, color, marker, label in (
        ("heat", ORANGE, "o-", "heat while it runs"),
        ("cycle_work", INK, "s--", "work of the cycle"),
    ):
        value, error = estimates(found, entry)
        below.errorbar(time, value, error, fmt=marker, color=color, ms=4, lw=1, capsize=2,
                       label=label)  # fmt: skip
    below.set(xlabel="duration", ylabel="kT per sample", xscale="log", yscale="log")
    below.set_xticks(time, [f"{t:g}" for t in time])
    below.set_xticks([], minor=True)
    entries = [*zip(*above.get_legend_handles_labels(), strict=True)]
    legend(figure, entries + [*zip(*below.get_legend_handles_labels(), strict=True)], 2)
    plain_numbers(below.yaxis)
    return figure, (
        "Machines that were trained for one duration each, which stands beside the points. Above, "
        "the share of samples in which the classifier sees one of the digits and that are no "
        "negatives, their mean correlation with the nearest training image, and the share that is "
        "nearer to the negative of one. Below, the heat to the bath while the machine runs, and "
        "the work of the cycle, couplings switched off again included."
    )


def heat_figure(results: Record):
    """Histograms of the heat of single samples."""
    figure, (axis,) = new()
    colors = (ORANGE, BLUE, GREEN, PURPLE, INK)
    for i, (name, record) in enumerate(by_rule(results, "batch").items()):
        heats = np.asarray(record["heats"])
        axis.hist(heats, 30, histtype="step", color=colors[i % 5], lw=1.3, label=name, density=True)
    axis.set(xlabel="heat of a sample (kT)", ylabel="density")
    legend(figure, columns=3)
    return figure, "The heat of each sample, V at the start less V at the end, in kT."


def estimates(records: list[Record], entry: str) -> tuple[np.ndarray, np.ndarray]:
    """(values, standard errors) of an entry of several records."""
    found = [record[entry] for record in records]
    value, error = (np.array([float(getattr(x, f)) for x in found]) for f in ("value", "error"))
    return value, error


def in_words(results: Record) -> str:
    """The heat and the quality at the duration of both rules, and the judge."""
    name, batch = shown(results)
    (online,) = by_rule(results, "online").values()
    judge = results["judge"]
    return (
        f"At {name} a sample costs {batch['heat']} kT of heat, {batch['heat_per_bit']} kT ln 2 per "
        f"pixel, by the batch rule and {online['heat']} kT by the online one; a whole cycle "
        f"{batch['cycle_work']} kT. {float(batch['recognized'].value):.0%} are recognized as one "
        f"of the digits, by a classifier that is right on {judge['accuracy']:.1%} of real images "
        f"it has not seen, recognizes {judge['real_recognized']:.0%} of those of these digits, "
        f"and {judge['noise_recognized']:.0%} of noise. "
        f"{float(batch['negative'].value):.0%} are negatives of a training image."
    )


def doubtful(results: Record) -> list[str]:
    """Samples that diverged, are no digits or negatives; trainings that ended early."""
    said, judge = [], results["judge"]
    for name, record in records_of(results).items():
        if count := record["diverged"]:
            total = record["samples_total"]
            said.append(f"{name}: {count:,} of {total:,} samples diverged; take more steps.")
        stopped = str(record["training"].attributes["stopped"])
        if "best before is kept" in stopped:
            said.append(f"{name}: training ended early: {stopped}.")
    name, record = shown(results)
    recognized, least = record["recognized"], POOR * judge["real_recognized"]
    if float(recognized.value) < least:
        said.append(
            f"{name}: {recognized} of the samples are recognized, of real images "
            f"{judge['real_recognized']:.2f}: most are no digits; take more hidden units or cycles."
        )
    if float(record["negative"].value) - SURE * float(record["negative"].error) > UNLIKE:
        said.append(
            f"{name}: {record['negative']} of the samples are negatives of training images: only "
            "biases tell an image from its negative, and more hidden units make them heard."
        )
    return said
