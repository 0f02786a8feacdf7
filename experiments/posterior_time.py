"""The time and the energy to a posterior against the dimension, by the moment equations."""

from __future__ import annotations

from typing import Annotated, ClassVar

import jax.numpy as jnp
import numpy as np
from annotated_types import Gt

import thermojax as tj
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, INK, ORANGE, VERMILION, legend, new
from thermojax.experiment.results.tables import records_of
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy

INSTANTS = 257  # of the law, in a first look and again between two of them
WITHIN = 0.02  # of the derived slopes
COLUMNS = {"variance alone": ORANGE, "mean shift": BLUE}
DEVICES = {
    "drawn": (GREEN, "o", "drawn by sources of noise and data"),
    "heat": (VERMILION, "s", "heat to a thermal bath"),
    "work": (INK, "^", "work of the coupling"),
}


def times(results: Record):
    """The time to the goal against the dimension, beside the law of many dimensions."""
    figure, (axes,) = new()
    for name, record in records_of(results).items():
        dims = np.asarray(record["dim"])
        law = record["slope_law"] * np.log(dims / record["one_law"])
        axes.plot(dims, np.maximum(law, 0), color=COLUMNS[name], lw=1.2, alpha=0.75)
        label = f"{name}: slope {record['slope']:.4f}"
        axes.plot(dims, record["time"], "o", color=COLUMNS[name], ms=4.2, label=label)
    axes.set(
        xscale="log", xlabel="dimension d", ylabel="time (friction / curvature)", ylim=(0, None)
    )
    legend(figure, columns=1)
    return figure, (
        f"Dots, the time until the law is {results.attributes['goal']:g} nats from the posterior, "
        "from the equilibrium of the prior with all data coupled at once; lines, the law of many "
        "dimensions, in which the slowest exponential alone is left. Twice as many dimensions take "
        "ln 2 / (4 k) longer where only variances change, and ln 2 / (2 k) where means do, k being "
        "the precision of the posterior: a variance relaxes at twice the rate of a mean."
    )


def energies(results: Record):
    """Energy per dimension against the dimension: three ways to count."""
    found = records_of(results)
    figure, panels = new(len(found), 1.0 + 2.3 * len(found))
    for axes, (name, record) in zip(panels, found.items(), strict=True):
        dims = np.asarray(record["dim"])
        for entry, (color, marker, label) in DEVICES.items():
            axes.plot(dims, record[entry], color=color, marker=marker, ms=4, lw=1.2, label=label)
        slope = f"{record['energy_slope']:.4f} ln d"
        axes.set(xscale="log", ylabel="energy / d", ylim=(0, None))
        axes.set_title(f"{name}: what is drawn grows as {slope}")
    panels[-1].set_xlabel("dimension d")
    legend(figure, columns=1)
    return figure, (
        "Energy per dimension until the goal is reached: work and heat in kT, what is drawn in "
        "units of the noise power S/2l of one coordinate times time. In a thermal bath noise is "
        "free: the work of the coupling is done at once, whatever d is, and the heat comes to a "
        "constant, so that the whole is linear in d. A device whose noise and data are supplied by "
        "sources draws a constant power per dimension for as long as it runs, and its energy goes "
        "as d ln d."
    )


def table(results: Record) -> list[list[str]]:
    """Every dimension: time, and energy per dimension."""
    found = records_of(results)
    head = [f"{name}: {what}" for name in found for what in ("time", "work", "heat", "drawn")]
    rows = [["dim", *head]]
    dims = next(iter(found.values()))["dim"]
    for i, dim in enumerate(np.asarray(dims)):
        cells = [f"{float(record[what][i]):.4f}" for record in found.values()
                 for what in ("time", "work", "heat", "drawn")]  # fmt: skip
        rows.append([f"{dim:,.0f}", *cells])
    return rows


def in_words(results: Record) -> str:
    """Both laws in one sentence."""
    parts = [
        f"{name}, {record['slope']:.5f} per unit of ln d (derived {record['slope_law']:.5f}), and "
        f"{record['energy_slope']:.5f} of drawn energy per dimension (derived "
        f"{record['energy_slope_law']:.5f})"
        for name, record in records_of(results).items()
    ]
    return (
        f"Time to {results.attributes['goal']:g} nats: {'; '.join(parts)}. Work and heat per "
        "dimension of a device in a thermal bath do not grow."
    )


def off_the_law(results: Record) -> list[str]:
    """Slopes that are not the derived ones."""
    found = []
    for name, record in records_of(results).items():
        for entry, what in (("slope", "time"), ("energy_slope", "energy")):
            off = record[entry] / record[f"{entry}_law"] - 1
            if not abs(off) <= WITHIN:
                found.append(
                    f"{name}: the slope of the {what} is {off:+.1%} off the derived one, which is "
                    "that of many dimensions or of a small goal."
                )
    return found


class PosteriorTime(AbstractStudy):
    r"""Independent Gaussian weights relax to their posterior: how long, and for what energy.

    Prior N(0, 1/k_0), posterior N(mu, 1/k), friction 1, kT = 1, all data coupled at time 0. With
    x = (k/k_0 - 1) exp(-2 k t) and m = mu exp(-k t), what is left of variance and mean,

        KL = d (x - ln(1 + x) + k m^2) / 2 -> d ((k/k_0 - 1)^2 exp(-4 k t) / 4 + k m^2 / 2),

    so that KL = goal at t = ln(d (k/k_0 - 1)^2 / (4 goal)) / (4 k) where mu = 0, and else at
    t = ln(d k mu^2 / (2 goal)) / (2 k): the slopes dt / d ln d are 1/(4 k) and 1/(2 k).

    The energy is counted in two ways. In a thermal bath: work of the coupling and heat to the bath,
    linear in d, W/d = <U_likelihood> in the prior, at any t. In the circuit of the source:

        l di = (b - R i) dt + S^(1/2) dW,    R = k, b = k mu, covariance (S/2l) / R,

    S/2l is drawn from the source of its noise and b i from that of its data, in each coordinate; in
    units with l = S/2l = 1

        E / d = t + k mu int_0^t (mu - m) dt -> (1 + k mu^2) t - mu^2,

    so that dE/d / d ln d is (1 + k mu^2) times the slope of the time.

    Source: M. Aifer et al., Thermodynamic Bayesian Inference, arXiv:2410.01793 (2024).
    """

    question = "How do time and energy of an inference grow with the number of weights?"
    columns = tuple(COLUMNS)
    headline: ClassVar[dict[str, str]] = {
        "dt / d ln d": "slope",
        "derived slope": "slope_law",
        "dE/d / d ln d, drawn by sources": "energy_slope",
        "derived energy slope": "energy_slope_law",
        "time at the largest dimension": "last_time",
        "drawn energy per dimension there": "last_drawn",
        "heat per dimension there": "last_heat",
        "work per dimension": "last_work",
    }
    figures: ClassVar = {"posterior_time": times, "posterior_energy": energies}
    tables: ClassVar = {"time, and energies per dimension, until the goal": table}
    sentences: ClassVar = (in_words,)
    doubts: ClassVar = (off_the_law,)

    def __init__(
        self,
        dims: list[int],
        goal: Annotated[float, Gt(0)],
        prior_precision: Annotated[float, Gt(0)],
        posterior_precision: Annotated[float, Gt(0)],
        shift: Annotated[float, Gt(0)],
    ):
        if len(dims) < 2 or min(dims) < 1 or sorted(set(dims)) != list(dims):
            raise ValueError(f"dims = {dims}: expected two or more dimensions that grow")
        if posterior_precision <= prior_precision:
            raise ValueError(
                f"posterior_precision = {posterior_precision:g}: expected more than "
                f"prior_precision = {prior_precision:g}, since data narrow a Gaussian"
            )
        self.dims, self.goal = dims, goal
        self.before, self.after = prior_precision, posterior_precision
        self.shifts = dict(zip(COLUMNS, (0.0, shift), strict=True))
        start = self.after / self.before
        if not goal < 0.5 * dims[0] * (start - 1 - np.log(start)):
            raise ValueError(f"goal = {goal:g}: the prior is as near to the posterior already")

    def run(self, key, progress: Progress) -> Record:
        results = Record()
        results.attributes["goal"] = self.goal
        with progress.phase("laws", len(self.dims) * len(COLUMNS), "solved") as phase:
            for name, shift in self.shifts.items():
                rows = []
                for dim in self.dims:
                    rows.append(self.reached(dim, shift))
                    phase.advance(1)
                results[name] = self.record(np.asarray(rows), shift)
        return results

    def law(self, dim: int, shift: float, times) -> tj.bayes.ExactPosterior:
        """The law at some times, the last of which is that of the run."""
        gained = self.after - self.before
        data = jnp.full(dim, shift * self.after / gained)
        return tj.bayes.exact(
            tj.Gaussian(jnp.zeros(dim), 1 / self.before),
            tj.Gaussian(data, 1 / gained),
            duration=float(times[-1]),
            schedule="sudden",
            times=times,
        )

    def reached(self, dim: int, shift: float) -> tuple[float, ...]:
        """(time, work, heat, drawn energy), energies per dimension, when the goal is reached."""
        end = 1 / self.after
        while True:
            times = np.linspace(0, end, INSTANTS)
            first = self.law(dim, shift, times)
            if first.divergence < self.goal:
                break
            end *= 2
        i = int(np.argmax(np.asarray(first.ledger.divergence) < self.goal))
        near = np.linspace(times[i - 1], times[i], INSTANTS)
        law = self.law(dim, shift, near)
        # KL falls with time, and its logarithm is nearly straight between two of these instants.
        level = -np.log(np.asarray(law.ledger.divergence))
        at = lambda values: float(np.interp(-np.log(self.goal), level, np.asarray(values)))
        time = at(near)
        pull = self.after * shift * np.asarray(jnp.mean(first.mean, axis=1))
        supplied = np.concatenate([[0], np.cumsum(0.5 * (pull[1:] + pull[:-1]) * np.diff(times))])
        drawn = time + float(np.interp(time, times, supplied))
        return time, float(law.work) / dim, at(law.ledger.heat) / dim, drawn

    def record(self, rows: np.ndarray, shift: float) -> Record:
        record = Record()
        record.put("dim", np.asarray(self.dims), "1", ("dim",))
        units = dict(time="friction / curvature", work="kT", heat="kT", drawn="S/2l x time")
        for (name, unit), values in zip(units.items(), rows.T, strict=True):
            record.put(name, values, unit, ("dim",))
            record.put(f"last_{name}", float(values[-1]), unit)
        k, ratio = self.after, self.after / self.before - 1
        slope = 1 / (4 * k) if shift == 0 else 1 / (2 * k)
        one = 4 / ratio**2 if shift == 0 else 2 / (k * shift**2)
        record.put("slope", fitted(self.dims, record["time"]), "per ln d")
        record.put("slope_law", slope, "per ln d")
        record.put("one_law", one * self.goal, "1")  # the dimension at which the law's time is 0
        record.put("energy_slope", fitted(self.dims, record["drawn"]), "per ln d")
        record.put("energy_slope_law", slope * (1 + k * shift**2), "per ln d")
        return record


def fitted(dims, values) -> float:
    """The slope of values against ln dim, by least squares."""
    return float(np.polyfit(np.log(dims), values, 1)[0])
