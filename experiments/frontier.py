"""Work against duration: what the best protocols cost, what others cost, and what none can beat."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import optax

import thermojax as tj
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, INK, ORANGE, legend, new
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.optimization.frontier import checked_durations, estimate_at, stretched

CURVE = 24  # durations at which the bound is drawn

SCHEDULES = {
    "optimized": (BLUE, "o"),
    "linear": (ORANGE, "s"),
    "geodesic": (GREEN, "D"),
}


def frontier(results: Record):
    """Work against duration, and how far above the bound."""
    record = results.get("frontier")
    if record is None:
        return None
    figure, (above, below) = new(2, 5.2)
    time, floor = record["duration"], record["bound"]
    worst = 0.0
    for name, (color, marker) in SCHEDULES.items():
        if name not in record:
            continue
        value, error = np.asarray(record[name].value), np.asarray(record[name].error)
        worst = max(worst, float(np.max(error)))
        for axes, shift in ((above, 0.0), (below, floor)):
            axes.plot(time, value - shift, color=color, lw=0.9, alpha=0.6)
            axes.errorbar(
                time, value - shift, error, fmt=marker, color=color, ms=4.5, capsize=2, label=name
            )
    above.plot(record["line_duration"], record["line_bound"], color=INK, lw=1.3, label="bound")
    above.axhline(record["free_energy"], color=INK, lw=0.9, ls=":", label="ΔF")
    below.axhline(0.0, color=INK, lw=1.3)
    above.set(ylabel="work (kT)", title="mean total work")
    below.set(xlabel="duration τ", ylabel="work - bound (kT)", title="above the bound")
    below.set(xscale="log", xlim=(time[0] / 1.15, time[-1] * 1.15))
    if len(time) <= 8:
        below.set_xticks(time, [f"{x:g}" for x in time])
        below.minorticks_off()
    legend(figure, columns=3)
    return figure, (
        "The mean total work of each schedule against the time it is given, on fresh paths that "
        f"all schedules share (standard errors at most {worst:.2g} kT). Solid: what no control "
        "whatever can beat when the final state is free; it comes down to the free energy "
        "difference ΔF as 1/τ. Below, the distance from that bound."
    )


def longest(results: Record) -> str:
    """What the longest of the durations comes to, in one sentence."""
    duration = results["frontier"]["duration"]
    work, least = (results[name][f"work_{len(duration) - 1}"] for name in ("optimized", "bound"))
    return (
        f"In a time of {duration[-1]:g} the optimized schedule takes {work} kT, and nothing takes "
        f"less than {least:.4g} kT."
    )


class EnergyTime(AbstractStudy):
    """The energy-time frontier of an overdamped system, from its shortest duration to its longest.

    For each duration a schedule is trained, from the last one stretched, and measured on fresh
    paths beside the linear ramp and the geodesic, all with the same noise. No schedule can do
    with less than the free-end transport bound.
    """

    question = "What does a change cost at the least, in the time that it is given?"
    columns = ("optimized", "linear", "geodesic", "bound")
    figures: ClassVar = {"frontier": frontier}
    sentences: ClassVar = (longest,)

    def __init__(
        self,
        potential: tj.AbstractPotential,
        protocol: tj.AbstractProtocol,
        bath: tj.Bath,
        durations: list[float],
        time_steps: int,
        batch: int,
        steps: int,
        learning_rate: float,
        evaluation: int,
        dimension: int = 1,
    ):
        self.durations = checked_durations(durations)
        for name, value in (("batch", batch), ("steps", steps), ("evaluation", evaluation)):
            if value < 2:
                raise ValueError(f"{name} = {value}: expected at least 2")
        self.system = tj.Overdamped(potential, protocol, bath)
        self.start = tj.Equilibrium(jnp.zeros(dimension))
        self.time_steps, self.batch, self.steps = time_steps, batch, steps
        self.learning_rate, self.evaluation = learning_rate, evaluation
        self.headline = {
            f"work at duration {x:g}": f"work_{i}" for i, x in enumerate(self.durations)
        }

    def run(self, key, progress: Progress) -> Record:
        with progress.phase("durations", len(self.durations), "trained") as phase:
            found = tj.frontier(
                self.system,
                tj.MeanWork(),
                optax.adam(optax.cosine_decay_schedule(self.learning_rate, self.steps)),
                key,
                durations=self.durations,
                time_steps=self.time_steps,
                batch=self.batch,
                steps=self.steps,
                initial=self.start,
                evaluation=self.evaluation,
                callback=lambda duration, fit: phase.reach(
                    1 + self.durations.index(duration), f"{duration:g}: {fit.value} kT"
                ),
                checkpoint=phase.checkpoint,
            )
        assert found.bound is not None, "asked for by default"
        results = Record()
        results["frontier"] = self.curves(found)
        for name, work in found.work.items():
            results[name] = Record()
            for i in range(len(self.durations)):
                results[name].put(f"work_{i}", estimate_at(work, i), "kT")
        results["bound"] = Record()
        for i, value in enumerate(found.bound):
            results["bound"].put(f"work_{i}", float(value), "kT")
        return results

    def curves(self, found: tj.Frontier) -> Record:
        """What the figure shows: estimates at the durations, and the bound on a finer line."""
        record = Record()
        record.put("duration", np.asarray(found.durations), "time", ("duration",))
        for name, work in found.work.items():
            record.put(name, work, "kT", ("duration",))
        record.put("bound", np.asarray(found.bound), "kT", ("duration",))
        line = np.geomspace(self.durations[0], self.durations[-1], CURVE)
        bounds = [tj.bounds.free_end(stretched(self.system, x), self.start).work for x in line]
        record.put("line_duration", line, "time", ("line",))
        record.put("line_bound", np.asarray(bounds), "kT", ("line",))
        held = tj.bounds.fixed_end(self.system, self.start)
        record.put("free_energy", float(held.free_energy), "kT")
        return record
