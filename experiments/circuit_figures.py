"""What the study of a circuit shows: inverses, spectra of the cells, tables in SI units."""

from __future__ import annotations

import numpy as np

import thermojax as tj
from experiments.matrix_rows import matrices_figure
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, new


def pictures(results: Record):
    """The inverse from growing numbers of samples, and the target."""
    record = results["inverse"]
    values, target = np.asarray(record["pictures"]), np.asarray(record["target"])
    titles = [*(f"{n:,} samples" for n in record["samples"]), "inverse"]
    figure = matrices_figure(values, target, titles, 1.6)
    return figure, (
        "The covariance of the voltages, scaled by the gains of the cells, from growing numbers of "
        "samples, and the inverse of the matrix that is in the capacitors."
    )


def spectra(results: Record):
    """The noise density of the cells against frequency."""
    record = results["spectra"]
    figure, (axes,) = new()
    density = np.asarray(record["density"])
    axes.plot(record["frequency"], density, color=BLUE, lw=1.1, alpha=0.8)
    axes.set(
        xscale="log", yscale="log", xlabel="frequency (Hz)", ylabel="voltage noise (V / sqrt(Hz))"
    )
    return figure, (
        f"The voltage noise of the {density.shape[1]} cells, one-sided, by the exact law of the "
        "circuit; its peaks are the modes of the coupled resonators."
    )


def cells(results: Record) -> list[list[str]]:
    """A row for each cell."""
    record = results["cells"]
    rms, law = record["rms"], np.asarray(record["law"])
    rows = [["cell", "voltage (mV, rms)", "exact law", "to ground (pF)", "gain (1 / V)"]]
    for k in range(len(law)):
        found = tj.Estimate(1e3 * float(rms.value[k]), 1e3 * float(rms.error[k]), 1)
        farad = f"{1e12 * float(record['capacitance'][k]):.4g}"
        rows.append(
            [
                str(k + 1),
                str(found),
                f"{1e3 * law[k]:.4g}",
                farad,
                f"{float(record['gain'][k]):.4g}",
            ]
        )
    return rows


def bill_rows(results: Record) -> list[list[str]]:
    """The bill as it is printed."""
    lines = results.attributes["bill"].split("\n")
    return [["", "one inverse"], *(line.split("\t") for line in lines)]
