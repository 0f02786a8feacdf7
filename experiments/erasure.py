"""A bit erased in finite time: what it costs, how often it fails, and what it must cost."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge, Gt

import thermojax as tj
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.change import put_known_change
from thermojax.experiment.study.evaluate import (
    evaluate,
    evaluation_record,
    require_chunks,
)
from thermojax.experiment.study.train import training_record


@dataclass(frozen=True)
class Training:
    """How the schedule learns: on a grid, without noise, by L-BFGS."""

    steps: Annotated[int, Gt(0)]
    time_steps: Annotated[int, Gt(0)]
    cells: Annotated[int, Gt(0)]
    weight: Annotated[float, Gt(0)]  # kT that a failure counts


@dataclass(frozen=True)
class Testing:
    """How each schedule is measured: the density on a finer grid, and `batch` fresh paths."""

    time_steps: Annotated[int, Gt(0)]
    cells: Annotated[int, Gt(0)]
    dt: Annotated[float, Gt(0)]
    batch: Annotated[int, Ge(2)]
    chunk: Annotated[int, Gt(0)]


class Erasure(AbstractStudy):
    r"""One bit, erased to the right of zero by an overdamped double well, as given and trained.

    The bit starts at rest, in either well alike. Training takes the density of the bit, and its
    cost is the mean work plus `weight` times the share that ends on the wrong side. Both schedules
    are then measured on a finer grid, and by paths. No schedule of full control can erase with as
    little work as `tj.bounds.erasure` says, nor any, however slow, below kT (ln 2 - H(p)).
    """

    question = "What does it cost to erase a bit in finite time, and how near is that to the least?"
    columns = ("given", "optimized")
    headline: ClassVar[dict[str, str]] = {
        "work, exact": "exact_work",
        "total work of the paths": "total_work",
        "failures, exact": "exact_failures",
        "failures of the paths": "failures",
        "least with full control": "full_control",
        "least however slow": "landauer",
    }

    def __init__(
        self,
        potential: tj.AbstractPotential,
        protocol: tj.AbstractProtocol,
        bath: tj.Bath,
        lower: float,
        upper: float,
        training: Training,
        evaluation: Testing,
    ):
        if lower >= 0 or upper <= 0:
            raise ValueError(f"lower = {lower}, upper = {upper}: expected a line with 0 inside")
        require_chunks(evaluation.chunk, batch=evaluation.batch)
        self.system = tj.Overdamped(potential, protocol, bath)
        self.start = tj.Equilibrium(jnp.zeros(1))
        self.lower, self.upper = lower, upper
        self.training, self.evaluation = training, evaluation
        self.solver(training.cells).grid(self.system, self.start.template)

    def solver(self, cells: int) -> tj.FokkerPlanck:
        return tj.FokkerPlanck(self.lower, self.upper, cells)

    def run(self, key, progress: Progress) -> Record:
        fit = self.train(progress)
        results = Record()
        for name, system, own in zip(
            self.columns, (self.system, fit.system), jax.random.split(key), strict=True
        ):
            found = evaluate(
                system,
                own,
                dt=self.evaluation.dt,
                batch=self.evaluation.batch,
                chunk=self.evaluation.chunk,
                progress=progress,
                name=name,
                initial=self.start,
            )
            record = evaluation_record(system, found, found)
            record.put("failures", share(found.position[found.alive > 0] < 0))
            self.add_exact(record, system)
            results[name] = record
        results["training"] = training_record(fit)
        return results

    def train(self, progress: Progress) -> tj.Fit:
        settings = self.training
        cost = tj.MeanWork() + settings.weight * tj.ErasureError("above")
        with (
            progress.phase("training", settings.steps, "steps") as shown,
            warnings.catch_warnings(),
        ):
            # Coarse on purpose: what is found is measured with the steps of the evaluation.
            warnings.filterwarnings("ignore", r"time_steps = \d+: with a tenth of them")
            return tj.optimize(
                self.system,
                cost,
                optax.lbfgs(),
                picture=self.solver(settings.cells),
                time_steps=settings.time_steps,
                steps=settings.steps,
                initial=self.start,
                callback=lambda seen: shown.reach(seen.step, f"cost {float(seen.loss.value):.4g}"),
                compared=shown.compared,
                checkpoint=shown.checkpoint,
            )

    def add_exact(self, record: Record, system) -> None:
        """Work and failures of the density itself, and the bounds for as many failures."""
        settings = self.evaluation
        law = self.solver(settings.cells).solve(
            system, 2, time_steps=settings.time_steps, initial=self.start
        )
        failures = float(tj.ErasureError("above")(system, law).value)
        bound = tj.bounds.erasure(system, 1 - failures, end="free", template=self.start)
        least = float(tj.bounds.landauer(1 - failures))
        record.put("exact_work", float(law.ledger.work[-1]), "kT")
        record.put("exact_failures", failures, "1")
        record.put("full_control", float(bound.work), "kT")
        record.put("landauer", least, "kT")
        # The free energy that the bit has gained; paths that would tell of it are too rare.
        put_known_change(record, least)


def share(events: np.ndarray) -> tj.Estimate:
    """How often something happens; none among n is 0 ± 1/n, for it may yet happen."""
    p, n = events.mean(), events.size
    return tj.Estimate(p, np.sqrt(max(p * (1 - p), 1 / n) / n), np.asarray(n))
