"""What the study of annealers shows and says: training, schedules, the gap, and doubts."""

from __future__ import annotations

import numpy as np

from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    legend,
    new,
)
from thermojax.experiment.results.tables import records_of

COLORS = (ORANGE, BLUE, GREEN, PURPLE, SKY, VERMILION)
SURE = 4.0  # standard errors beyond which two numbers differ
FEW = 100  # effective samples below which the error of ln Z means little
MISSED = 3.0  # how many times the share that paths claim may exceed the share that is seen


def colored(results: Record):
    """(name, color, record) of every K."""
    found = records_of(results).items()
    return [(name, COLORS[i % len(COLORS)], record) for i, (name, record) in enumerate(found)]


def smoothed(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the middle, the mean) of every run of a fiftieth of the values."""
    window = max(1, len(values) // 50)
    mean = np.convolve(values, np.ones(window) / window, "valid")
    return np.arange(len(mean)) + (window + 1) / 2, mean


def training_figure(results: Record):
    """The bound of every batch against the training step, and how far below the reference it is."""
    figure, (above, below) = new(2, 4.8)
    log_z = float(results["target"]["log_z"].value)
    ends = [log_z]
    for name, color, record in colored(results):
        bound = -np.asarray(record["training"]["loss"])
        above.plot(np.arange(1, len(bound) + 1), bound, color=color, lw=0.5, alpha=0.3)
        step, mean = smoothed(bound)
        above.plot(step, mean, color=color, lw=1.5, label=name)
        below.plot(step, np.where(mean < log_z, log_z - mean, np.nan), color=color, lw=1.5)
        ends += [np.min(mean), np.max(mean)]
    above.axhline(log_z, color=INK, lw=1, ls=":", label="reference ln Z")
    low, high = min(ends), max(ends)
    above.set(ylabel="−loss (kT)")
    above.set_ylim(low - 0.15 * (high - low), high + 0.1 * (high - low))
    below.set(xlabel="training step", ylabel="ln Z + loss (kT)", yscale="log")
    plain_numbers(below.yaxis)
    legend(figure, columns=3)
    return figure, (
        "Above, the mean log weight of the batch of each training step, a lower bound of ln Z, and "
        "its running mean. Below, how far the running mean is from the reference: the dissipated "
        "work."
    )


def schedule_figure(results: Record):
    """Couplings and friction rates against time, beside where they began."""
    figure, (above, below) = new(2, 4.8)
    for i, (name, color, record) in enumerate(colored(results)):
        # The long ones behind, or they hide the short ones.
        found, how = record["schedule"], dict(color=color, zorder=3 - 0.01 * i)
        x, y, rate = (np.asarray(found[key]) for key in ("time", "coupling", "rate"))
        above.plot(x, y, "o-", lw=1.4, ms=3, label=name, **how)
        below.stairs(rate, x, lw=1.6, baseline=None, **how)
        x, y, rate = (np.asarray(found[f"start_{key}"]) for key in ("time", "coupling", "rate"))
        above.plot(x, y, lw=1, ls="--", **how)
        below.stairs(rate, x, lw=1, ls="--", baseline=None, **how)
    above.plot([], [], color=INK, lw=1, ls="--", label="before training")
    above.set(ylabel="coupling", ylim=(-0.03, 1.03))
    below.set(xlabel="time", ylabel="friction rate", yscale="log")
    plain_numbers(below.yaxis)
    legend(figure, columns=3)
    return figure, (
        "Above, the coupling of the target at the grid points, against the time of the steps "
        "before; the first force is that of a little of the target, the last not yet that of all. "
        "Below, friction / mass in every step, which is as wide as the step is long. Dashed, where "
        "training began."
    )


def plain_numbers(axis) -> None:
    """Ticks of a logarithmic axis as plain numbers, some between the powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    few = high < 100 * low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axis.set_minor_formatter(NullFormatter())


def gap_figure(results: Record):
    """The dissipated work before and after training, for every K."""
    found = records_of(results)
    figure, (axis,) = new()
    counts = np.array([len(record["schedule"]["dt"]) for record in found.values()])
    for entry, color, label in (
        ("dissipated_before", ORANGE, "before training"),
        ("dissipated_work", BLUE, "trained"),
    ):
        lost = [record[entry] for record in found.values()]
        value, error = (np.array([float(getattr(x, f)) for x in lost]) for f in ("value", "error"))
        seen = value > 2 * error
        axis.plot(counts[seen], value[seen], color=color, lw=0.9, alpha=0.6)
        axis.errorbar(counts[seen], value[seen], error[seen], fmt="o", color=color, ms=5,
                      capsize=3, label=label)  # fmt: skip
        limit = np.maximum(value, 0)[~seen] + 2 * error[~seen]
        axis.plot(counts[~seen], limit, "v", color=color, ms=6)
    alone = float(results["base"]["dissipated_work"].value)
    axis.axhline(alone, color=INK, lw=1, ls=":", label="the base alone")
    axis.set(xlabel="steps K", ylabel="dissipated work (kT)", xscale="log", yscale="log")
    axis.set_xticks(counts, [f"{k:g}" for k in counts])
    axis.set_xticks([], minor=True)
    axis.set_xlim(counts[0] / 1.5, counts[-1] * 1.5)
    plain_numbers(axis.yaxis)
    legend(figure, columns=3)
    return figure, (
        "ln Z less its lower bound, with standard errors: the work that paths waste on average. "
        "Dotted, what a draw of the base wastes that is switched to the target at once. A triangle "
        "stands at the value and two errors, where that is all that can be said."
    )


def in_words(results: Record) -> str:
    """The dissipated work of every K, before and after."""
    said = [
        f"{len(record['schedule']['dt'])} steps waste {record['dissipated_work']} kT, "
        f"{record['dissipated_before']} before training"
        for record in records_of(results).values()
    ]
    alone = results["base"]["dissipated_work"]
    return f"{'; '.join(said)}. The base alone wastes {alone} kT."


def doubtful(results: Record) -> list[str]:
    """Bounds that are broken, averages that few paths carry, paths and trainings that failed."""
    said, exact = [], results["target"]["log_z"]
    log_z, known = float(exact.value), float(exact.error)
    for name, record in records_of(results).items():
        total = record["paths_total"]
        for entry, kind in (("elbo_before", ", before training"), ("elbo", "")):
            bound = record[entry]
            above = float(bound.value) - log_z
            if above > SURE * np.hypot(float(bound.error), known):
                said.append(
                    f"{name}{kind}: the lower bound {bound} lies above the reference {log_z:g}, by "
                    f"more than {SURE:g} standard errors."
                )
        for entry, kind in (
            ("diverged_before", ", before training"),
            ("diverged", ""),
            ("diverged_back", ", from the target back"),
        ):
            if count := record.get(entry, 0):
                said.append(
                    f"{name}{kind}: {count:,} of {total:,} paths diverged; take a smaller dt."
                )
        effective = record["effective_samples"]
        if not effective >= FEW:
            said.append(
                f"{name}: {effective:,.0f} effective samples of {total:,} carry ln Z, so that its "
                "stated error may be too small; take more steps, more training or more paths."
            )
        own = record["log_z"]
        off = abs(float(own.value) - log_z)
        if effective >= FEW and off > SURE * np.hypot(float(own.error), known):
            said.append(
                f"{name}: its ln Z of {own} is not the reference {log_z:g}: paths do not reach all "
                "of the target."
            )
        if "share_seen" in record and effective / total > MISSED * record["share_seen"]:
            said.append(
                f"{name}: paths claim an effective share of {effective / total:.2g}, draws of the "
                f"target see {record['share_seen']:.2g}: paths do not reach all of it."
            )
        training = record["training"]
        if count := int(np.sum(training["diverged"])):
            said.append(f"{name}: {count:,} paths diverged in training; take a smaller dt.")
        stopped = str(training.attributes["stopped"])
        if "diverged" in stopped or "not finite" in stopped:
            said.append(f"{name}: training ended early: {stopped}.")
        if training.attributes["chosen"] == "start":
            said.append(f"{name}: training has gained nothing; take more steps or another rate.")
    return said
