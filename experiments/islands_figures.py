"""What the study of two islands shows and says: their shares through training, and densities."""

from __future__ import annotations

import numpy as np

from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, INK, ORANGE, legend, new
from thermojax.experiment.results.tables import records_of

COLORS = (ORANGE, BLUE)
NEAR = 0.02  # of the weight: it is found
SURE = 6.0  # standard errors, as sixteen groups of witnesses know them
SHOWN = 0.5  # of the distance, beyond each island


def share_figure(results: Record):
    """The share of the right island in the model, by quadrature, after each of some steps."""
    figure, axes = new(2, 4.6)
    for (name, record), color in zip(records_of(results).items(), COLORS, strict=False):
        training = record["training"]
        step = np.asarray(training["step"])
        axes[0].plot(step, np.asarray(training["share"]), color=color, lw=1.4, label=name)
        off, error = (np.asarray(training[entry]) for entry in ("log_z_off", "log_z_error"))
        if np.isfinite(off).any():
            axes[1].errorbar(step, off, 2 * error, fmt=".", color=color, ms=3, lw=0.8)
    axes[0].axhline(results.attributes["weight"], color=INK, lw=1, ls=":", label="data")
    axes[1].axhline(0, color=INK, lw=1, ls=":")
    axes[0].set(ylabel="share on the right", ylim=(-0.03, 1.03))
    axes[1].set(xlabel="step of training", ylabel="ln Z, witnesses - sum")
    legend(figure, columns=3)
    return figure, (
        "Above: the share of the right island in the model, by a sum over a grid. Below: ln Z by "
        "the witnesses of the weighted training minus that sum, bars of two standard errors."
    )


def density_figure(results: Record):
    """The density of each model along the line through both islands."""
    figure, (axis,) = new()
    distance, weight = results.attributes["distance"], results.attributes["weight"]
    spread, widest = results.attributes["spread"], results.attributes["widest"]
    for (name, record), color in zip(records_of(results).items(), COLORS, strict=False):
        density = np.asarray(record["density"], float)
        x = np.linspace(-widest, widest, len(density))
        axis.plot(x, density.sum(1) * (x[1] - x[0]), color=color, lw=1.4, label=name)
    ends = distance * (0.5 + SHOWN)
    fine = np.linspace(-ends, ends, 1001)
    bell = lambda center: np.exp(-0.5 * ((fine - center) / spread) ** 2)
    exact = weight * bell(distance / 2) + (1 - weight) * bell(-distance / 2)
    exact = exact / (spread * (2 * np.pi) ** 0.5)
    axis.plot(fine, exact, color=INK, lw=1, ls=":", label="law of the data")
    axis.set(xlabel="$x$", ylabel="density of $x$", xlim=(-ends, ends))
    legend(figure, columns=3)
    return figure, "The density of the first coordinate, of the models and of the data."


def in_words(results: Record) -> str:
    """The shares that were found, beside that of the data."""
    found = [
        f"{float(record['share']):.3f} by {name} training"
        for name, record in records_of(results).items()
    ]
    return (
        f"{results.attributes['weight']:g} of the data are on the right island; of the model it is "
        f"{' and '.join(found)}."
    )


def doubtful(results: Record) -> list[str]:
    """Trainings that ended early, a weight that was not learned, and errors that are too small."""
    said, weight = [], results.attributes["weight"]
    for name, record in records_of(results).items():
        stopped = str(record["training"].attributes["stopped"])
        if "is kept" in stopped:
            said.append(f"{name}: {stopped}.")
        share = float(record["share"])
        if abs(share - weight) > NEAR:
            walkers = float(record["share_of_walkers"])
            said.append(
                f"{name}: the right island has a share of {share:.3f} in the model, of the data "
                f"{weight:g}: its weight was not learned ({walkers:.3f} of the walkers are there)."
            )
        if "off" in record:
            off = record["off"]
            if abs(float(off.value)) > SURE * float(off.error):
                said.append(f"{name}: ln Z by witnesses is off by {off}.")
    return said
