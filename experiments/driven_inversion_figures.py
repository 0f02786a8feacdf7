"""What `driven_inversion` shows: matrix pictures, the surface, and the start along slow modes."""

from __future__ import annotations

from typing import Any

import numpy as np

from thermojax.experiment.results.film import Film
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    legend,
    new,
)

SHOWN = 5  # of the snapshots, as pictures
STEERINGS = {
    "waiting": (ORANGE, "o"),
    "ramp": (GREEN, "s"),
    "trained": (BLUE, "D"),
    "transport": (PURPLE, "^"),
}
KNOWN = {
    "waiting": "A",
    "ramp": "A",
    "trained": "A, and the ends of its spectrum",
    "transport": "the answer",
}


def covariance_through_time(results: Record):
    """The covariance at a few times as matrices, beside the inverse that it comes to."""
    through = results.get("through")
    if through is None:
        return None
    from matplotlib.figure import Figure

    names = [name for name in STEERINGS if name in through]
    target, time = np.asarray(results["matrix"]["inverse"]), np.asarray(through["time"])
    shown = np.unique(np.linspace(0, len(time) - 1, SHOWN).round().astype(int))
    figure = Figure(figsize=(4.8, 0.8 * len(names) + 0.8))
    # Placed by hand: a layout of so many squares leaves more room between them than they take.
    figure.set_layout_engine("none")
    grid = dict(left=0.06, right=0.995, top=0.93, bottom=0.17, wspace=0.06, hspace=0.06)
    axes = figure.subplots(len(names), len(shown) + 1, squeeze=False, gridspec_kw=grid)
    images = []
    for row, name in zip(axes, names, strict=True):
        pictures = [*np.asarray(through[name])[shown], target]
        images += [picture_of(ax, x, target) for ax, x in zip(row, pictures, strict=True)]
        row[0].set_ylabel(name)
    for ax, t in zip(axes[0], time[shown], strict=False):
        ax.set_title(f"t = {t:.3g}", loc="center", fontsize=8.5)
    axes[0][-1].set_title("$A^{-1}$", loc="center", fontsize=8.5)
    for ax in axes.flat:
        framed = ax in axes[:, -1]  # what it should become
        for spine in ax.spines.values():
            spine.set(visible=framed, linewidth=1.4)
    place = figure.add_axes((0.25, 0.11, 0.5, 0.02))
    bar = figure.colorbar(images[0], cax=place, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_label("covariance / kT", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    return figure, (
        "The covariance of the device through time, each row another way to steer it, and at the "
        "right the inverse that it should become. Waiting has all couplings from the start, and "
        "approaches it as its slowest mode relaxes; the ramp lags; transport arrives."
    )


def picture_of(ax, matrix, target):
    """A matrix as a picture, in the colors of the target."""
    most = np.max(np.abs(target))
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    return image


def film(results: Record) -> Film | None:
    """The covariance of each steering through time, beside the inverse."""
    through = results.get("through")
    if through is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in STEERINGS if name in through]
    target, time = np.asarray(results["matrix"]["inverse"]), np.asarray(through["time"])
    figure = Figure(figsize=(7.0, 1.9))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(names) + 1)
    images = []
    for ax, name in zip(axes, names, strict=False):
        images.append(picture_of(ax, np.asarray(through[name])[0], target))
        ax.set_title(name, loc="center")
    picture_of(axes[-1], target, target)
    axes[-1].set_title("$A^{-1}$", loc="center")
    clock = axes[0].set_xlabel("")

    def draw(i: int) -> list[Any]:
        for image, name in zip(images, names, strict=True):
            image.set_data(np.asarray(through[name])[i])
        clock.set_text(f"t = {time[i]:.2f}")
        return [*images, clock]

    return Film(figure, draw, len(time))


def energy_delay_deficiency(results: Record):
    """Energy against deficiency at several delays, and energy x delay, where all bounds are one."""
    curves = results.get("curves")
    if curves is None:
        return None
    figure, (above, below) = new(2, 6.0)
    line, least = curves["deficiency"], curves["least"]
    for delay, shade in zip(curves["delay"], shades(len(curves["delay"])), strict=True):
        above.plot(line, least / delay, color=shade, lw=1.3)
        above.annotate(
            f"τ = {delay:g}", (line[0], least[0] / delay), (2, 3), textcoords="offset points",
            color=shade, fontsize=8,
        )  # fmt: skip
    below.plot(line, least, color=INK, lw=1.5, label="least of any steering")
    for name, (color, marker) in STEERINGS.items():
        delay, lack, energy = (
            np.asarray(curves[f"{name}_{what}"]) for what in ("delay", "deficiency", "dissipation")
        )
        if name in ("waiting", "ramp"):
            below.plot(lack, energy * delay, color=color, lw=1.1, label=name)
        else:
            below.plot(lack, energy * delay, marker, color=color, ms=4.2, label=name)
        for i, one in enumerate(curves["delay"]):
            here = np.isclose(delay, one)
            if name in ("waiting", "ramp"):
                lacks, spent = (results[name][f"{x}_{i}"] for x in ("deficiency", "dissipation"))
                below.plot(lacks, spent * one, marker, color=color, ms=4.2)
                if lacks > line[0]:  # which delay it belongs to
                    above.annotate(
                        f"{one:g}", (lacks, spent), (5, -3), textcoords="offset points",
                        color=color, fontsize=7,
                    )  # fmt: skip
            else:
                lacks, spent = lack[here], energy[here]
            above.plot(lacks, spent, marker, color=color, ms=4.2)
    highest = float(np.max(least / curves["delay"][0]))
    above.set(yscale="log", ylim=(0.01 * highest, 2.5 * highest), ylabel="energy kT Σ (kT)")
    above.set(title="energy at given delays τ")
    below.set(xscale="log", xlim=(line[0] / 1.3, 1.5 * line[-1]), ylim=(0, 2.2 * least[0]))
    below.set(xlabel="deficiency (kT)", ylabel="kT Σ τ (kT x relaxation time)")
    below.set(title="energy x delay: all bounds are one")
    legend(figure, list(zip(*below.get_legend_handles_labels(), strict=True)), columns=3)
    return figure, (
        "Energy is what system and bath dissipate within the delay, deficiency what the final law "
        "lacks, F - F_eq = kT KL. Gray lines, and below the black one: the least energy at each "
        "deficiency, by optimal transport. Multiplied by the delay all of them are one curve. "
        "Numbers beside markers are their delays; the markers below are at the same. The lines of "
        "waiting and ramp below run through all delays from 0.03 to 30 relaxation times. The "
        "trained schedules know the couplings of A and the two ends of its spectrum, transport "
        "the answer itself."
    )


def shades(count: int) -> list[str]:
    """So many grays, the last the darkest."""
    return [f"{x:.2f}" for x in np.linspace(0.68, 0.25, count)]


def slow_mode_start(results: Record):
    """The bias through time from every start, and the time that each takes to equilibrium."""
    slow = results.get("slow_modes")
    if slow is None:
        return None
    from matplotlib.figure import Figure

    conditions, products = slow["condition"], slow["products"]
    figure = Figure(figsize=(4.8, 4.9))
    axes = figure.subplots(2, 2, sharex="row", sharey="row")
    colors, entries = blues(len(products)), []
    for (above, below), (name, title) in zip(axes.T, TITLES.items(), strict=True):
        record = slow[f"{name}_0"]
        time = record["time"]
        above.plot(time, record["plain"], color=ORANGE, lw=3, label="plain start")
        for j, count in enumerate(products):
            above.plot(time, record["slow"][j], color=colors[j], lw=1.2, label=f"{count} products")
        above.set(yscale="log", ylim=(1e-4, 2), xlim=(0, 8), title=title)
        for i, (condition, color) in enumerate(zip(conditions, SPREADS, strict=False)):
            record = slow[f"{name}_{i}"]
            below.axhline(record["plain_solve"], color=color, lw=0.9, ls=":")
            (line,) = below.plot(products, record["slow_solve"], "o-", color=color, ms=4, lw=1.4)
            below.plot(products, record["conjugate_solve"], "x--", color=color, ms=5, lw=1.0)
            if below is axes[1, 0]:
                entries.append((line, f"κ = {condition:g}"))
        below.set(xscale="log", xlabel="products")
        below.set_xticks(products, [str(n) for n in products])
        below.minorticks_off()
        above.set(xlabel="relaxation times")
    axes[0, 0].set(ylabel=f"bias, κ = {conditions[0]:g}")
    axes[1, 0].set(ylabel="time to 1/1000")
    axes[1, 0].set_ylim(bottom=0)
    lines = list(zip(*axes[0, 0].get_legend_handles_labels(), strict=True))
    legend(figure, [*lines, *entries], columns=3)
    return figure, (
        "Above, what is left of the start in the mean position, relative to the answer: of a "
        "device that starts idle, and of one whose mean is set along the modes as a few products "
        "know them. Below, the time until a thousandth is left, for each condition number: dotted, "
        "from the plain start; solid, from the slow modes; dashed, with the same products spent on "
        "conjugate gradients for this one right-hand side. Left, eigenvalues spread evenly in "
        "their logarithm, where the slow modes are not told apart; right, four of them far below "
        "all others, which are found once there are products enough."
    )


TITLES = {"even": "spread evenly", "apart": "four apart"}
SPREADS = (BLUE, VERMILION, GREEN, PURPLE)  # one per condition number


def blues(count: int):
    """Colors from light to dark blue."""
    from matplotlib import colormaps

    return [colormaps["Blues"](x) for x in np.linspace(0.35, 0.95, count)]


def against_the_least(results: Record) -> list[list[str]]:
    """Each steering at each delay, and how far above the bound it is."""
    curves = results.get("curves")
    if curves is None:
        return []
    header = ["steering", "has to know", "delay", "deficiency", "energy x delay", "least", "ratio",
              "x deficiency", "error of A^-1"]  # fmt: skip
    rows = [header]
    for name in STEERINGS:
        for i, delay in enumerate(curves["delay"]):
            record = results[name]
            energy, least = record[f"dissipation_{i}"] * delay, record[f"least_{i}"] * delay
            rows.append(
                [
                    name,
                    KNOWN[name],
                    f"{delay:g}",
                    f"{record[f'deficiency_{i}']:.2g} kT",
                    f"{energy:.4g}",
                    f"{least:.4g}",
                    f"{energy / least:.3f}",
                    f"{energy * record[f'deficiency_{i}']:.2g}",
                    f"{100 * record[f'bias_{i}']:.2g} %",
                ]
            )
    return rows


def slow_mode_table(results: Record) -> list[list[str]]:
    """Times to equilibrium from each start."""
    slow = results.get("slow_modes")
    if slow is None:
        return []
    rows = [["spectrum", "κ", "products", "residual of the lowest", "solve", "after CG", "inv"]]
    for i, condition in enumerate(slow["condition"]):
        for name, title in TITLES.items():
            record = slow[f"{name}_{i}"]
            plain = [f"{record[f'plain_{what}']:.2f}" for what in ("solve", "inverse")]
            rows.append([title, f"{condition:g}", "none: plain", "", plain[0], "", plain[1]])
            for j, count in enumerate(slow["products"]):
                rows.append(
                    [
                        title,
                        f"{condition:g}",
                        str(count),
                        f"{record['residual'][j]:.2g}",
                        f"{record['slow_solve'][j]:.2f}",
                        f"{record['conjugate_solve'][j]:.2f}",
                        f"{record['slow_inverse'][j]:.2f}",
                    ]
                )
    return rows


def nearest_to_the_least(results: Record) -> str:
    """How near a steering that does not know the answer comes to the least."""
    curves = results.get("curves")
    if curves is None:
        return ""
    ratios = {
        name: [
            results[name][f"dissipation_{i}"] / results[name][f"least_{i}"]
            for i in range(len(curves["delay"]))
        ]
        for name in STEERINGS
    }
    dim = len(results["matrix"]["matrix"])
    span = lambda name: f"{min(ratios[name]):.2f} to {max(ratios[name]):.2f}"
    return (
        "A schedule that knows the two ends of the spectrum, and A by its couplings, takes "
        f"{span('trained')} times the least energy of its deficiency; the ramp {span('ramp')} "
        f"times, waiting {span('waiting')} times. A digital computer needs none of this: by "
        f"Cholesky's method it takes about d^3 / 2 = {dim**3 // 2:,} multiplications."
    )
