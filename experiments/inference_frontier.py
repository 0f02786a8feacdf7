"""What haste costs an inference: dissipated work against duration, for schedules of the ramp."""

from __future__ import annotations

import math
import warnings
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, ORANGE, PURPLE, legend, new
from thermojax.experiment.results.tables import entry_of, records_of
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.data import Table

SCHEDULES = {
    "linear": (ORANGE, "s"),
    "geometric": (GREEN, "D"),
    "constant dissipation": (BLUE, "o"),
    "learned": (PURPLE, "^"),
}
APART = 3.0  # standard errors beyond which two schedules differ
COARSE = 0.25  # of the dissipated work: as much shadow work tells of steps, not of time


def frontier(results: Record):
    """Dissipated work and bound against duration, and the schedules of the longest one."""
    found = records_of(results)
    figure, (above, below) = new(2, 6.0, sharex=False)
    for name, record in found.items():
        color, marker = SCHEDULES[name]
        lost = record["dissipated_work"]
        time, value, error = (np.asarray(x) for x in (record["duration"], lost.value, lost.error))
        above.plot(time, value, color=color, lw=0.9, alpha=0.6)
        above.errorbar(time, value, error, fmt=marker, color=color, ms=4.5, capsize=2, label=name)
        above.plot(time, record["bound"], color=color, lw=1.0, ls="--")
        control = np.asarray(record["control"])[-1]
        below.plot(np.linspace(0, 1, len(control)), control, color=color, lw=1.4)
    above.set(xscale="log", yscale="log", xlabel="duration τ", ylabel="dissipated work (kT)")
    if len(time) <= 8:
        above.set_xticks(time, [f"{x:g}" for x in time])
        above.minorticks_off()
    below.set(
        yscale="log", ylim=(1e-3, 1.3), xlim=(0, 1), xlabel="t / τ", ylabel="coupling λ",
        title=f"schedules, τ = {time[-1]:g}",
    )  # fmt: skip
    legend(figure)
    return figure, (
        "Above, what ramps from the prior to the posterior dissipate, with standard errors. "
        "Dashed, the least that any underdamped motion in that time dissipates between the laws of "
        "positions where the ramps of that schedule begin and end: friction times the squared "
        "Wasserstein distance of the Gaussians of their moments, over time. The friction is that "
        "of the coordinates in which a ramp passes its time, and so each has a bound of its own. "
        "Below, the schedules: much of the way lies at small couplings, where a little of the data "
        "tells the most."
    )


def table(results: Record) -> list[list[str]]:
    """Every schedule and duration."""
    rows = [["schedule", "duration", "dissipated work", "of it shadow work", "bound"]]
    for name, record in records_of(results).items():
        for i, time in enumerate(np.asarray(record["duration"])):
            shadow, bound = (float(record[x][i]) for x in ("shadow_work", "bound"))
            lost = str(entry_of(record["dissipated_work"], i))
            rows.append([name, f"{time:g}", lost, f"{shadow:.3f}", f"{bound:.3f}"])
    return rows


def in_words(results: Record) -> str:
    """What schedules come to in the longest time, and what learning adds."""
    found = records_of(results)
    last = {name: entry_of(record["dissipated_work"], -1) for name, record in found.items()}
    time = float(next(iter(found.values()))["duration"][-1])
    said = "; ".join(f"{name}, {lost} kT" for name, lost in last.items())
    bounds = [float(record["bound"][-1]) for record in found.values()]
    text = f"In a time of {time:g}: {said}. Transport alone takes {min(bounds):.2g}"
    text += f" to {max(bounds):.2g} kT of it." if len(bounds) > 1 else " kT of it."
    if {"learned", "constant dissipation"} <= found.keys():
        text += f" {learning(found, float(results['log_evidence'].error))}"
    return text


def learning(found: dict[str, Record], shared: float) -> str:
    """Whether the learned schedule beats that of constant dissipation, time by time.

    The `shared` error of ln p(y), from which both are counted, is none of their difference.
    """
    learned, even = (found[name]["dissipated_work"] for name in ("learned", "constant dissipation"))
    a, b = (np.asarray(x.value) for x in (learned, even))
    squares = [np.asarray(x.error) ** 2 - shared**2 for x in (learned, even)]
    error = np.sqrt(np.maximum(sum(squares), 0))
    better, worse = a < b - APART * error, a > b + APART * error
    times = np.asarray(found["learned"]["duration"])
    parts = [
        f"{word} at {', '.join(f'{t:g}' for t in times[which])}"
        for word, which in (("less", better), ("more", worse))
        if np.any(which)
    ]
    if not parts:
        return "The learned schedule and that of constant dissipation differ by no more than noise."
    return (
        f"The learned schedule dissipates {' and '.join(parts)} than that of constant dissipation."
    )


def doubtful(results: Record) -> list[str]:
    """What the inference warned of; works of steps; a bound that was crossed."""
    said = list(results.attributes["warnings"])
    for name, record in records_of(results).items():
        lost, shadow = record["dissipated_work"], np.asarray(record["shadow_work"])
        value, error = np.asarray(lost.value), np.asarray(lost.error)
        for i, time in enumerate(np.asarray(record["duration"])):
            if shadow[i] > COARSE * value[i] > 0:
                said.append(
                    f"{name}, duration {time:g}: {shadow[i] / value[i]:.0%} of the dissipated work "
                    "is shadow work, which is owed to the length of steps."
                )
            if value[i] < float(record["bound"][i]) - 4 * error[i]:
                said.append(f"{name}, duration {time:g}: less is dissipated than the bound allows.")
    return said


class InferenceFrontier(AbstractStudy):
    r"""Ramps of a logistic regression from prior to posterior: what they dissipate, and must.

    `tj.bayes.infer` finds ln p(y); `tj.bayes.compare_schedules` runs the ramps of each schedule in
    each of the durations, whose mean total work beyond -ln p(y) is dissipated, and bounds it by

        kT Sigma >= gamma W_2(rho_0, rho_tau)^2 / tau

    for the laws of positions where they began and ended.
    """

    question = "What does haste cost an inference, and which schedule saves most of it?"
    headline: ClassVar[dict[str, str]] = {
        "dissipated work at the longest duration": "last_dissipated",
        "dissipated work at the shortest": "first_dissipated",
        "bound at the longest duration": "last_bound",
    }
    figures: ClassVar = {"inference_frontier": frontier}
    tables: ClassVar = {"dissipated work, in kT": table}
    sentences: ClassVar = (in_words,)
    doubts: ClassVar = (doubtful,)

    def __init__(
        self,
        data: Table,
        prior_variance: Annotated[float, Gt(0)],
        durations: list[float],
        schedules: list[Literal["linear", "geometric", "constant dissipation", "learned"]],
        samples: Annotated[int, Ge(64)],
        error: Annotated[float, Gt(0)],
        log_evidence: float | None = None,
    ):
        grow = sorted(set(durations)) == list(durations) and all(map(math.isfinite, durations))
        if not durations or not grow or durations[0] <= 0:
            raise ValueError(f"durations = {durations}: expected positive, finite times that grow")
        if log_evidence is not None and not math.isfinite(log_evidence):
            raise ValueError(f"log_evidence = {log_evidence}: expected a finite number, or null")
        if not schedules or len(set(schedules)) < len(schedules):
            raise ValueError(f"schedules = {schedules}: expected one or more, each once")
        self.columns = tuple(name for name in SCHEDULES if name in schedules)
        self.durations, self.samples = durations, samples
        self.error, self.known = error, log_evidence
        features, labels, _ = data.load()
        self.model = tj.bayes.Model(
            tj.Gaussian(jnp.zeros(features.shape[1]), prior_variance),
            tj.LogisticRegression(features, labels),
        )

    def run(self, key, progress: Progress) -> Record:
        results = Record()
        evidence, results.attributes["warnings"] = self.evidence(key, progress)
        results.put("log_evidence", evidence, "nat")
        with progress.phase("durations", len(self.durations), "measured") as phase:
            of = lambda i: self.measured(key, self.durations[i], evidence)
            found = np.stack(phase.kept(len(self.durations), of), axis=1)
        for name, numbers in zip(self.columns, found, strict=True):
            results[name] = self.record(numbers)
        return results

    def measured(self, key, duration: float, evidence: tj.Estimate) -> np.ndarray:
        """A row for each schedule: dissipated work, its error, shadow work, bound, and controls."""
        found = tj.bayes.compare_schedules(
            self.model,
            key,
            durations=[duration],
            log_evidence=evidence,
            schedules=self.columns,
            samples=self.samples,
        )
        rows = []
        for name in self.columns:
            lost = found.dissipated[name]
            first = (lost.value, lost.error, found.shadow_work[name], found.bound[name])
            rows.append(
                [*(float(np.asarray(x)[0]) for x in first), *np.asarray(found.control[name][0])]
            )
        return np.asarray(rows)

    def evidence(self, key, progress: Progress) -> tuple[tj.Estimate, list[str]]:
        """ln p(y), and what there is to doubt about it."""
        if self.known is not None:
            return tj.Estimate(self.known, 0.0, 1), []
        state: dict[str, Any] = {"value": 0.0, "error": 0.0, "count": 0, "warnings": ""}
        with progress.phase("evidence", 1, "inferred") as phase:
            kept: Any = None if phase.checkpoint is None else phase.checkpoint.load(like=state)
            if kept is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # they are doubts of the results
                    found = tj.bayes.infer(self.model, key, error=self.error)
                value, error = (float(getattr(found.log_evidence, x)) for x in ("value", "error"))
                count, said = int(found.log_evidence.count), "\n".join(found.warnings)
                kept = dict(value=value, error=error, count=count, warnings=said)
                if phase.checkpoint is not None:
                    phase.checkpoint.save(kept, last=True)
            evidence = tj.Estimate(*(float(kept[x]) for x in ("value", "error", "count")))
            phase.reach(1, str(evidence))
        return evidence, [text for text in str(kept["warnings"]).split("\n") if text]

    def record(self, found: np.ndarray) -> Record:
        """The rows of one schedule, `(durations, 4 + knots)`, by names."""
        record = Record()
        value, error, shadow, bound = found[:, :4].T
        lost = tj.Estimate(value, error, self.samples)
        record.put("duration", np.asarray(self.durations, float), "time", ("duration",))
        record.put("dissipated_work", lost, "kT", ("duration",))
        record.put("shadow_work", shadow, "kT", ("duration",))
        record.put("bound", bound, "kT", ("duration",))
        record.put("control", found[:, 4:], "1", ("duration", "knot"))
        record.put("first_dissipated", entry_of(lost, 0), "kT")
        record.put("last_dissipated", entry_of(lost, -1), "kT")
        record.put("last_bound", float(bound[-1]), "kT")
        return record
