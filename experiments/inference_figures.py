"""What an inference shows: weights and their names, the law on its way, the account, trust."""

from __future__ import annotations

import numpy as np

import thermojax as tj
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
from thermojax.experiment.results.tables import entry_of

MOST = 40  # weights of a picture whose names can be read
SHOWN = 3  # weights whose marginals are drawn on their way
INSTANTS = 5  # of the way
DOTS = 400  # of a cloud
GRID = 161  # points of a curve


def learned(results: Record) -> np.ndarray:
    """How much the data say of each weight: the relative entropy of its marginal, as a Gaussian."""
    weights, seen = results["posterior"]["weights"], results.get("through")
    mean, sd = (np.asarray(weights[name].value) for name in ("mean", "sd"))
    if seen is None:
        return np.abs(mean) / sd
    before = np.asarray(seen["position"])[0]
    scale = before.std(0)
    ratio = (sd / scale) ** 2
    return 0.5 * (ratio - 1 - np.log(ratio) + ((mean - before.mean(0)) / scale) ** 2)


def named(results: Record) -> np.ndarray:
    """The weights that are shown by their names: all, or those of which the data say most."""
    return np.sort(np.argsort(-learned(results), stable=True)[:MOST])


def colors(count: int) -> list:
    """From the prior to the posterior."""
    from matplotlib.colors import LinearSegmentedColormap

    way = LinearSegmentedColormap.from_list("way", [ORANGE, PURPLE, BLUE])
    return [way(share) for share in np.linspace(0, 1, count)]


def softmax(log_weight: np.ndarray) -> np.ndarray:
    w = np.exp(log_weight - np.max(log_weight))
    return w / w.sum()


def instants(results: Record) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """(coupling, positions, weights) at some instants of the way, the last one the posterior's."""
    seen, paths = results["through"], results["posterior"]["paths"]
    control = np.asarray(seen["control"])
    chosen = np.unique(np.round(np.linspace(0, len(control) - 1, INSTANTS)).astype(int))[:-1]
    found = [
        (float(control[i]), np.asarray(seen["position"])[i], softmax(seen["log_weight"][i]))
        for i in chosen
    ]
    return [*found, (1.0, np.asarray(paths["position"]), softmax(np.asarray(paths["log_weight"])))]


def density(x: np.ndarray, weights: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A smooth density of weighted numbers: Gaussians as wide as Silverman's rule says."""
    alive = weights > 0
    x, weights = x[alive], weights[alive]
    mean = weights @ x
    sd = np.sqrt(weights @ (x - mean) ** 2)
    width = max(0.9 * sd * np.sum(weights**2) ** 0.2, 1e-9)
    z = (grid[:, None] - x) / width
    return np.exp(-0.5 * z**2) @ weights / (width * np.sqrt(2 * np.pi))


def forest(results: Record):
    """Mean and intervals of every weight by its name, the prior behind."""
    weights, order = results["posterior"]["weights"], named(results)
    figure, (axes,) = new(height=0.9 + 0.17 * max(len(order), 4))
    place = -np.arange(len(order))
    if "prior_quantile" in weights:
        before = np.asarray(weights["prior_quantile"])[order]
        for levels, alpha in (((0, 4), 0.10), ((1, 3), 0.13)):
            low, high = before[:, levels[0]], before[:, levels[1]]
            axes.barh(place, high - low, 0.95, low, color=INK, alpha=alpha, lw=0)
    after, mean = np.asarray(weights["quantile"])[order], np.asarray(weights["mean"].value)[order]
    axes.hlines(place, after[:, 0], after[:, 4], color=BLUE, lw=1.1)
    axes.hlines(place, after[:, 1], after[:, 3], color=BLUE, lw=3.2)
    axes.plot(mean, place, "o", color=ORANGE, ms=3.2, zorder=3)
    axes.axvline(0, color=INK, lw=0.8, ls=":")
    axes.set_yticks(place, [weights["name"][i] for i in order], fontsize=7.5)
    axes.grid(False, axis="y")
    axes.set(xlabel="weight", ylim=(place[-1] - 0.7, 0.7))
    rest = len(weights["name"]) - len(order)
    return figure, (
        "The weights after the data: mean (dot), and the intervals that hold 68 % (thick) and "
        "95 % (thin) of the posterior"
        + ("; grey, the same intervals of the prior." if "prior_quantile" in weights else ".")
        + (f" {rest:,} more, of which the data say less, are left out." if rest > 0 else "")
    )


def marginals(results: Record):
    """The densities of the weights that learn most, from the prior to the posterior."""
    if "through" not in results:
        return None
    way, names = instants(results), results["posterior"]["weights"]["name"]
    chosen = np.argsort(-learned(results))[:SHOWN]
    figure, panels = new(len(chosen), 0.7 + 1.35 * len(chosen), sharex=False)
    for axes, i in zip(panels, chosen, strict=True):
        before = way[0][1][:, i]
        after = way[-1][1][way[-1][2] > 0, i]
        ends = [*np.quantile(before, [0.005, 0.995]), np.min(after), np.max(after)]
        grid = np.linspace(min(ends), max(ends), GRID)
        for color, (control, x, weights) in zip(colors(len(way)), way, strict=True):
            curve = density(x[:, i], weights, grid)
            axes.plot(grid, curve, color=color, lw=1.5, label=coupling(control))
            if control in (0, 1):
                axes.fill_between(grid, curve, color=color, alpha=0.15, lw=0)
        axes.set(title=names[i], yticks=[], ylim=(0, None))
        axes.grid(False)
    panels[-1].set_xlabel("weight")
    legend(figure, columns=3)
    return figure, (
        "The weights of which the data say most, on their way from the prior (λ = 0) to the "
        "posterior (λ = 1): the coupling λ of the likelihood is raised in time, and the paths, "
        "by their weights, show the law of every λ on the way, p(x) p(y|x)^λ."
    )


def clouds(results: Record):
    """The two weights that learn most as clouds, one panel for each instant of the way."""
    if "through" not in results or len(results["posterior"]["weights"]["name"]) < 2:
        return None
    from matplotlib.figure import Figure

    way, names = instants(results), results["posterior"]["weights"]["name"]
    i, j = np.argsort(-learned(results))[:2]
    figure = Figure(figsize=(4.8, 1.55))
    panels = figure.subplots(1, len(way), sharex=True, sharey=True)
    parts = zip(panels, colors(len(way)), way, strict=True)
    for axes, color, (control, x, weights) in parts:
        # By weight, systematically: each dot counts the same.
        edges = (np.arange(DOTS) + 0.5) / DOTS
        place = np.searchsorted(np.cumsum(weights), edges).clip(0, len(weights) - 1)
        axes.plot(x[place, i], x[place, j], "o", color=color, ms=2, alpha=0.35, mew=0)
        axes.set_title(coupling(control), loc="center", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=3)
        axes.set_box_aspect(1)
    panels[0].set_ylabel(names[j], fontsize=8)
    figure.supxlabel(names[i], fontsize=8)
    return figure, (
        f"{names[i]} and {names[j]} at the same instants: dots drawn by weight, so that a dot that "
        "stands for many copies of one path is darker."
    )


def coupling(control: float) -> str:
    return f"λ = {control:.2g}" if control > 5e-3 else f"λ = {control:.1g}"


def account(results: Record):
    """Work in and heat out, what each is made of, and how they come about on the way."""
    record, seen = results["posterior"], results.get("through")
    if "work" not in record or seen is None:
        return None
    value = {name: float(x.value) for name, x in record.items() if hasattr(x, "value")}
    figure, (bars, lines) = new(2, 4.6, sharex=False)
    least, lost = value["free_energy_change"], value["dissipated_work"]
    drop, copied = value["entropy_drop"], value["copied_energy"]
    copies = [(drop + lost, copied, ORANGE, "")] if copied else []
    rows = [
        ("work in", [(0, least, BLUE, "-ln p(y)"), (least, lost, VERMILION, "dissipated")]),
        (
            "heat out",
            [(0, drop, GREEN, "entropy drop"), (drop, lost, VERMILION, "dissipated"), *copies],
        ),
        ("energy change", [(0, value["energy_change"], ORANGE, "")]),
        ("information", [(0, value["information"], PURPLE, "")]),
    ]
    for y, (_, spans) in enumerate(rows):
        for start, width, color, label in spans:
            bars.barh(-y, width, 0.62, start, color=color, alpha=0.8, label=label or None)
        low, high = (f([0, *(s + w for s, w, *_ in spans)]) for f in (min, max))
        entry = ("work", "heat", "energy_change", "information")[y]
        bars.text(high, -y, f"  {record[entry]}", va="center", fontsize=8)
        bars.plot([low], [-y], alpha=0)
    bars.axvline(0, color=INK, lw=0.9)
    bars.set_axisbelow(True)
    left, right = bars.get_xlim()
    bars.set(xlim=(left, right + 0.3 * (right - left)), xlabel="kT, or nats")
    bars.set_yticks(-np.arange(len(rows)), [name for name, _ in rows])
    bars.grid(False, axis="y")
    control = np.asarray(seen["control"])
    alive = np.isfinite(seen["log_weight"][-1])
    for name, color in (("work", BLUE), ("heat", VERMILION)):
        energy = np.asarray(seen[name])[:, alive]
        mean, spread = energy.mean(1), energy.std(1)
        step = np.linspace(0, 1, len(control))
        lines.fill_between(step, mean - spread, mean + spread, color=color, alpha=0.15, lw=0)
        lines.plot(step, mean, "o-", color=color, ms=3, label=name)
    ticks = [0, len(control) // 2, len(control) - 1]
    lines.set_xticks(np.linspace(0, 1, len(control))[ticks], [coupling(control[t]) for t in ticks])
    lines.set(xlabel="the ramp, by its schedule", ylabel="kT per path")
    lines.legend(loc="upper left")
    handles, labels = bars.get_legend_handles_labels()
    first = {label: handle for handle, label in zip(handles[::-1], labels[::-1], strict=True)}
    legend(figure, [(first[x], x) for x in ("-ln p(y)", "entropy drop", "dissipated")], columns=3)
    return figure, (
        "The account of the ramps from the prior, a refrigerator: work is done to carry the "
        "entropy that the weights lose into the bath, as heat, and what is dissipated comes on top "
        "of both. Work less heat is the change of the mean energy"
        + (f", less the energy that copies have brought, {copied:.3g} kT" if copied else "")
        + ". Information: how far the posterior is from the prior, D(posterior|prior). Below, work "
        "and heat of a path until each instant, mean and standard deviation; the weights come to "
        "rest after the ramp, and give off the rest of the heat then."
    )


def there_and_back(results: Record):
    """Log weights of the ramps there and back, and the evidence where they cross."""
    record, seen = results["posterior"], results.get("through")
    if "back" not in record:
        return None
    crossing, mark = record["back"]["crossing"], "log normalizer"
    shift = 0.0
    if "log_evidence" in record:  # beside it stands the normalizer of the prior, where it has one
        shift = float(record["log_evidence"].value - crossing.value)
        crossing, mark = record["log_evidence"], "log evidence"
    there = np.asarray(record["paths"]["log_weight"])
    there = there[np.isfinite(there)] + shift
    back = shift - np.asarray(record["back"]["log_weight"])
    kinds = [[("to the posterior", there, BLUE), ("back, minus", back, ORANGE)]]
    if seen is not None:
        alive = np.isfinite(np.asarray(seen["log_weight"])[-1])
        kinds.append([("from the prior", -np.asarray(seen["work"])[-1][alive], SKY)])
    figure, panels = new(len(kinds), 0.8 + 1.8 * len(kinds), sharex=False)
    for axes, shown in zip(panels, kinds, strict=True):
        values = np.concatenate([x for _, x, _ in shown])
        low, high = np.quantile(values, [0.002, 0.998])
        low, high = min(low, float(crossing.value)), max(high, float(crossing.value))
        edges = np.linspace(low, high, 46)
        for name, x, color in shown:
            heights, _ = np.histogram(x, edges, density=True)
            axes.stairs(heights, edges, color=color, fill=True, alpha=0.3)
            axes.stairs(heights, edges, color=color, lw=1.4, label=name)
        axes.axvline(float(crossing.value), color=INK, lw=1.2, label=mark)
        axes.set(ylabel="share of paths per nat")
    panels[-1].set_xlabel("minus the work of a ramp (kT)")
    entries = {}
    for axes in panels:
        entries |= {x: h for h, x in zip(*axes.get_legend_handles_labels(), strict=True)}
    legend(figure, [(h, x) for x, h in entries.items()], columns=2)
    return figure, (
        "Minus the work of every ramp that the evidence comes from, and the work of the ramps "
        f"back: by Crooks the two cross at the {mark}, {crossing} nats, and nowhere else. "
        + (
            ""
            if seen is None
            else "Below, on a scale of its own, the ramps from the prior that the account is of; "
            "the distance of their mean from the line is the work that they dissipate."
        )
    )


def calibration(results: Record):
    """The places of the truths among the samples, less what is uniform, in their band."""
    record = results.get("calibration")
    if record is None:
        return None
    places = {name.removeprefix("pit_"): np.asarray(x) for name, x in record.items()}
    n = len(next(iter(places.values())))
    at, low, high = tj.bayes.ecdf_band(n)
    figure, (axes,) = new(height=3.0)
    axes.fill_between(at, low - at, high - at, color=INK, alpha=0.12, lw=0, step="mid",
                      label="95 % band of a right sampler")  # fmt: skip
    special = {"log_likelihood": (VERMILION, "log likelihood"), "distance": (BLUE, "distance")}
    for name, x in sorted(places.items(), key=lambda item: item[0] in special):
        color, label = special.get(name, (SKY, "weights"))
        for column in x.T:
            share = np.searchsorted(np.sort(column), at, side="right") / n
            wide, faint = (1.8, 1.0) if name in special else (0.8, 0.6)
            axes.step(at, share - at, where="mid", color=color, lw=wide, alpha=faint, label=label)
            label = None
    axes.set(xlabel="place of the truth among the samples", ylabel="distribution, less uniform")
    legend(figure, columns=2)
    return figure, (
        f"Of {n:,} simulated data sets: where the weights that made the data lie among the samples "
        "of their posterior, as a distribution less the uniform one that a right sampler has. The "
        "band holds one whole curve with 95 % probability: of many weights some leave it. "
        f"{record.attributes['verdict']}"
    )


def summary(results: Record) -> list[list[str]]:
    """Mean with its error, standard deviation and quantiles of the weights of the first figure."""
    weights = results["posterior"]["weights"]
    levels, places = np.asarray(weights["level"]), np.asarray(weights["quantile"])
    rows = [["weight", "mean", "sd", *(f"{100 * level:g} %" for level in levels)]]
    for i in named(results):
        cells = [str(entry_of(weights[what], i)) for what in ("mean", "sd")]
        rows.append([weights["name"][i], *cells, *(f"{q:.3g}" for q in places[i])])
    return rows
