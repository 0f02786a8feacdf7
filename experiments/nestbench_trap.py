"""A public benchmark: how little work drags a trap, scored by its own discretization."""

from __future__ import annotations

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from thermojax._calls import alone
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.change import put_known_change
from thermojax.experiment.study.driven import Testing, Training, training
from thermojax.experiment.study.evaluate import (
    evaluate,
    evaluation_record,
    require_chunks,
)
from thermojax.experiment.study.train import training_record
from thermojax.experiment.study.work_saved import put_saved
from thermojax.optimization.descent import COMPARISONS

FINAL, STEPS = 5.0, 1000  # the trap moves from 0 to 5 within 1000 steps of 1e-3


class TrapBenchmark(AbstractStudy):
    r"""The problem `trap_overdamped` of NESTbench25: dx = -(x - l) dt + sqrt(2) dW, l: 0 -> 5.

    The schedule learns from paths of this package's own integrator. It is then handed to the
    benchmark as the 1000 values l_i in the middles of its Euler steps, and scored by the exact mean
    of the work that the benchmark books,

        W = sum_i U(x_i, l_i) - U(x_i, l_(i-1)),   x_(i+1) = x_i - (x_i - l_i) h + sqrt(2 h) z_i,

    with l_0 = 0 before and 5 after. All trajectories that the training has seen are counted, those
    of the final comparison among candidates too.

    **Source:** S. Whitelam, C. Casert, M. Engel, I. Tamblyn, arXiv:2506.15122 (2025).
    """

    question = "How little work drags a trap from 0 to 5, counted as the benchmark does?"
    columns = ("linear", "optimized")
    headline: ClassVar[dict[str, str]] = {
        "score, exact": "score",
        "total work of our paths": "total_work",
        "work saved": "work_saved",
        "trajectories in training": "training_paths",
    }

    def __init__(
        self,
        knots: Annotated[int, Ge(2)],
        dt: Annotated[float, Gt(0)],
        training: Training,
        evaluation: Testing,
    ):
        require_chunks(evaluation.chunk, batch=evaluation.batch)
        ramp = tj.PiecewiseLinear.between(0.0, FINAL, 1.0, knots=knots)
        self.system = tj.Overdamped(tj.Harmonic(1.0, control="center"), ramp, tj.Bath())
        self.start = tj.Equilibrium(jnp.zeros(1))
        self.dt, self.training, self.evaluation = dt, training, evaluation

    def run(self, key, progress: Progress) -> Record:
        train_key, *keys = jax.random.split(key, 3)
        fit = alone(
            training(
                self.system, self.training, train_key, progress, dt=self.dt, initial=self.start
            )
        )
        results = Record()
        trials = (len(fit.candidates) + 1) * COMPARISONS
        spent = self.training.batch * (len(fit.history["loss"]) + trials)
        systems = (self.system, fit.system)
        for name, system, own, paths in zip(self.columns, systems, keys, (0, spent), strict=True):
            found = evaluate(
                system,
                own,
                dt=self.dt,
                batch=self.evaluation.batch,
                chunk=self.evaluation.chunk,
                progress=progress,
                name=name,
                initial=self.start,
            )
            record = evaluation_record(system, found, found)
            record.put("score", score(control_values(system.protocol)), "kT")
            record.put("training_paths", paths, "paths")
            # The trap is the same at both ends: all of the work is lost.
            put_known_change(record, 0.0)
            results[name] = record
        put_saved(results, self.columns)
        results["bounds"] = Record()
        results["bounds"].put("score", least_score(), "kT")
        results["bounds"].attributes = {"note": "the minimum over all lists of 1000 values"}
        results["training"] = training_record(fit)
        return results


def control_values(protocol: tj.AbstractProtocol) -> np.ndarray:
    """The 1000 values that the benchmark reads, `(1000,)`, in float64."""
    middles = (jnp.arange(STEPS) + 0.5) / STEPS * protocol.duration
    return np.asarray(jax.vmap(protocol)(middles), float)


def score(values: np.ndarray) -> float:
    """The mean work of the benchmark, exactly: the noise has mean zero, the spread cancels."""
    work, mean, old = 0.0, 0.0, 0.0
    for new in (*values, FINAL):
        work += 0.5 * ((mean - new) ** 2 - (mean - old) ** 2)
        mean, old = mean - (mean - new) / STEPS, new
    return float(work)


def least_score() -> float:
    """The least that any list of values can score: that of a quadratic form, solved."""
    # The mean before step i is row i of `mean` times the values; switch i is row i of `switch`.
    mean = np.zeros((STEPS + 1, STEPS))
    for i in range(STEPS):
        mean[i + 1] = (1 - 1 / STEPS) * mean[i]
        mean[i + 1, i] += 1 / STEPS
    switch = np.eye(STEPS + 1, STEPS) - np.eye(STEPS + 1, STEPS, k=-1)
    form = mean.T @ switch  # score = FINAL^2 / 2 - values form values - FINAL values mean[-1]
    return score(np.linalg.solve(-(form + form.T), FINAL * mean[-1]))
