"""From prior to posterior in finite time: how little work can the ramp waste?"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge, Gt, Le

import thermojax as tj
from thermojax._calls import Computation
from thermojax.estimate import weighted_mean
from thermojax.estimators import Evaluation
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.tables import entry_of
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.change import most_reliable
from thermojax.experiment.study.data import Table
from thermojax.experiment.study.driven import shared_among
from thermojax.experiment.study.evaluate import (
    counted_steps,
    evaluation_record,
    measurement,
    require_chunks,
)
from thermojax.experiment.study.evidence import doubts_of_evidence, evidence
from thermojax.experiment.study.figures import trainings
from thermojax.experiment.study.train import trained, training_record
from thermojax.experiment.study.work_saved import put_saved, saving_sentence
from thermojax.system import AbstractSystem


@dataclass(frozen=True)
class Training:
    """How the schedule learns: few paths, many times, at a fraction of the duration first.

    The best schedule keeps its shape when the time is stretched (exactly so when the time is long).
    A shorter run is as much cheaper and dissipates as much more, so that its gradient is the
    clearer one to start from; the steps at the full duration then finish the work.
    """

    batch: Annotated[int, Gt(0)]
    steps: Annotated[int, Gt(0)]
    dt: Annotated[float, Gt(0)]
    learning_rate: Annotated[float, Gt(0)]  # relative change of a value per step
    rehearsal_share: Annotated[float, Gt(0), Le(1)]  # of the duration
    rehearsal_steps: Annotated[int, Gt(0)]
    rehearsal_rate: Annotated[float, Gt(0)]
    floor: Annotated[float, Gt(0)] = 1e-3  # values below it learn as if they were it


@dataclass(frozen=True)
class Testing:
    """How both schedules are measured: once, on fresh paths, `chunk` at a time."""

    batch: Annotated[int, Ge(2)]
    chunk: Annotated[int, Gt(0)]


@functools.cache
def optimizer(rate: float, steps: int, floor: float) -> optax.GradientTransformation:
    """Steps relative to the values: one object for equal settings, and so one program."""
    decay = optax.cosine_decay_schedule(rate, steps)
    return optax.chain(optax.adam(decay, b2=0.95), tj.scale_by_value(floor))


def rehearsal_and_training(results: Record):
    """The curves of both trainings."""
    return trainings(
        results,
        ("rehearsal", "training"),
        "Above, the rehearsal at a share of the duration, where every schedule dissipates more; "
        "below, the training at the full duration. ",
    )


def weights(results: Record) -> list[list[str]]:
    """The table of posterior means and standard deviations; empty where there is none."""
    columns = [name for name in results.attributes["columns"] if "posterior" in results[name]]
    if not columns:
        return []
    header = ["weight", *(f"{what}, {name}" for name in columns for what in ("mean", "sd"))]
    rows = [header]
    for i, weight in enumerate(results[columns[0]]["posterior"]["weight"]):
        row = [weight]
        for name in columns:
            row += [str(entry_of(results[name]["posterior"][what], i)) for what in ("mean", "sd")]
        rows.append(row)
    return rows


class PosteriorRamp(AbstractStudy):
    r"""U_lambda = -ln p(x) - lambda ln p(y|x), lambda: 0 -> 1 in a given time, underdamped.

    The total work of a path has <exp(-W)> = p(y): every schedule measures the log evidence, and
    the better the less it dissipates. `knots` values of lambda(t) train to the least mean work,
    free to jump at both ends; the linear ramp is where they start, and what they are compared
    with.
    """

    question = "How fast can a prior be turned into a posterior, and at what cost in work?"
    columns = ("linear", "optimized")
    headline: ClassVar[dict[str, str]] = {
        "log evidence": "log_evidence",
        "total work": "total_work",
        "work saved": "work_saved",
        "dissipated work": "dissipated_work",
        "free energy difference": "free_energy_change",
        "effective samples": "effective_samples",
        "work W": "work",
        "shadow work": "shadow_work",
        "heat": "heat",
        "accuracy on the data": "accuracy",
    }
    figures: ClassVar = {**AbstractStudy.figures, "training": rehearsal_and_training}
    tables: ClassVar = {"Posterior mean and standard deviation of every weight": weights}
    sentences: ClassVar = (evidence, saving_sentence)
    doubts: ClassVar = (doubts_of_evidence,)

    def __init__(
        self,
        data: Table,
        prior_variance: Annotated[float, Gt(0)],
        bath: tj.Bath,
        duration: Annotated[float, Gt(0)],
        dt: Annotated[float, Gt(0)],
        knots: Annotated[int, Ge(2)],
        training: Training,
        evaluation: Testing,
        devices: Annotated[int, Ge(1)] | Literal["all"] | None = None,
    ):
        ramp = tj.PiecewiseLinear.between(0.0, 1.0, duration, knots, lower=0.0, upper=1.0)
        # Not in arrays: points of a sweep that differ here are no one program.
        self.time_steps = [
            counted_steps(duration, dt),
            counted_steps(duration, training.dt, "training.dt"),
        ]
        if not training.dt / duration <= training.rehearsal_share <= 1:
            raise ValueError(
                f"training.rehearsal_share = {training.rehearsal_share}: expected a share of the "
                "duration, up to 1 and longer than a step"
            )
        require_chunks(evaluation.chunk, batch=evaluation.batch)
        if not np.all(np.asarray(bath.temperature) == 1):
            raise ValueError(
                f"bath.temperature = {bath.temperature}: expected 1, since energies are minus "
                "logarithms of probabilities here"
            )
        if isinstance(bath.mass, tj.AbstractProtocol):
            raise ValueError(
                "bath.mass is a schedule: expected numbers, since a mass that changes moves the "
                "free energy of the momenta, and the evidence is that of the positions"
            )
        features, labels, self.names = data.load()
        self.features, self.labels = jnp.asarray(features), jnp.asarray(labels)
        prior = tj.Gaussian(jnp.zeros(features.shape[1]), prior_variance)
        likelihood = tj.LogisticRegression(self.features, self.labels)
        potential = tj.Interpolation(prior, prior + likelihood)
        self.system = tj.Underdamped(potential, ramp, bath)  # a straight line, until trained
        self.dt, self.training, self.evaluation = dt, training, evaluation
        self.sharding = shared_among(devices, training.batch, evaluation.chunk)

    def run(self, key, progress: Progress) -> Computation[Record]:
        train_key, *keys = jax.random.split(key, 3)
        first_key, train_key = jax.random.split(train_key)
        settings = self.training
        rehearsal = yield from self.train(
            self.stretched(self.system, settings.rehearsal_share),
            first_key,
            progress,
            "rehearsal",
            settings.rehearsal_steps,
            settings.rehearsal_rate,
        )
        fit = yield from self.train(
            self.stretched(rehearsal.system, 1 / settings.rehearsal_share),
            train_key,
            progress,
            "training",
            settings.steps,
            settings.learning_rate,
        )
        systems = dict(zip(self.columns, (self.system, fit.system), strict=True))
        done: dict[str, Evaluation] = {}
        for (name, system), test_key in zip(systems.items(), keys, strict=True):
            batch, chunk = self.evaluation.batch, self.evaluation.chunk
            done[name] = yield from measurement(
                system,
                test_key,
                dt=self.dt,
                batch=batch,
                chunk=chunk,
                progress=progress,
                name=name,
                sharding=self.sharding,
            )
        # One free energy difference for all dissipated works; each column has its own evidence.
        best = most_reliable(done)
        results = Record()
        for name, evaluation in done.items():
            record = evaluation_record(systems[name], evaluation, best)
            record.put("log_evidence", evaluation.free_energy.log_ratio)
            record["posterior"] = self.posterior(evaluation)
            record["paths"].put("coordinate", list(self.names), "1", ("coordinate",))
            record.put("accuracy", self.accuracy(evaluation))
            results[name] = record
        put_saved(results, self.columns)
        results["rehearsal"] = training_record(rehearsal)
        results["training"] = training_record(fit)
        return results

    def stretched(self, system: AbstractSystem, share: float) -> AbstractSystem:
        """The same schedule over another duration."""
        ramp = system.protocol
        return system.replace(protocol=dataclasses.replace(ramp, duration=ramp.duration * share))

    def train(
        self, system, key, progress: Progress, name: str, steps: int, rate: float
    ) -> Computation[tj.Fit]:
        return trained(
            system,
            tj.MeanWork(),
            optimizer(rate, steps, self.training.floor),
            key,
            steps=steps,
            progress=progress,
            name=name,
            dt=self.training.dt,
            batch=self.training.batch,
            sharding=self.sharding,
        )

    def posterior(self, evaluation: Evaluation) -> Record:
        """Mean and standard deviation of every weight, paths weighted by exp(-W)."""
        x, w = jnp.asarray(evaluation.position), jnp.asarray(evaluation.weights)
        mean = weighted_mean(x, w)
        variance = weighted_mean((x - mean.value) ** 2, w)
        sd = jnp.sqrt(variance.value)
        record = Record()
        record.put("weight", list(self.names), "1", ("weight",))
        record.put("mean", mean, "1", ("weight",))
        record.put("sd", tj.Estimate(sd, variance.error / (2 * sd), mean.count), "1", ("weight",))
        return record

    def accuracy(self, evaluation: Evaluation) -> tj.Estimate:
        """Share of rows whose label the posterior predictive p(y = 1) puts above one half."""
        w = evaluation.weights / evaluation.weights.sum()
        size = self.evaluation.chunk
        predictive = jnp.zeros(len(self.labels))
        for i in range(0, len(w), size):  # (rows, chunk) at a time
            logits = self.features @ jnp.nan_to_num(evaluation.position[i : i + size]).T
            predictive += jax.nn.sigmoid(logits) @ jnp.asarray(w[i : i + size])
        right = np.asarray((predictive > 0.5) == (self.labels > 0.5))
        share, rows = right.mean(), len(right)
        # Of the rows as a sample of all possible ones.
        error = np.sqrt(share * (1 - share) / rows)
        return tj.Estimate(share, error, np.asarray(rows))
