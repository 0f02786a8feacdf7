"""A public benchmark: one bit erased in half a period of an underdamped trap with a cusp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt
from jaxtyping import Array, Float

import thermojax as tj
from experiments.erasure import share
from thermojax._calls import alone
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.curves import schedule_record
from thermojax.experiment.study.evaluate import evaluate, require_chunks
from thermojax.experiment.study.train import trained, training_record
from thermojax.optimization.descent import COMPARISONS

# Lengths are those of the benchmark, energies in kT; time is counted in 1 / w0 (146 us).
FREQUENCY = 2 * math.pi * 1090e-6  # w0 in 1 / us
QUALITY = 7.0
REST = (0.0, 5.0)  # the controls before and after the drive: two wells at -5 and 5
DRIVE, QUIET = math.pi, 2 * math.pi  # half a cycle, then a whole one


@dataclass(frozen=True)
class Training:
    """How the schedule learns: `steps` batches of paths at each width of the cusp, in turn."""

    widths: list[float]  # over which cusp and count are smoothed; in evaluation both are sharp
    steps: Annotated[int, Gt(0)]
    batch: Annotated[int, Ge(2)]
    learning_rate: Annotated[float, Gt(0)]
    drive_steps: Annotated[int, Gt(0)]  # time steps of the drive; the rest takes twice as many


@dataclass(frozen=True)
class Testing:
    """How it is measured: `batch` fresh paths, and `quarter_batch` at a quarter of the step."""

    dt: Annotated[float, Gt(0)]  # us
    batch: Annotated[int, Ge(2)]
    quarter_batch: Annotated[int, Ge(2)]
    chunk: Annotated[int, Gt(0)]


class Cusp(tj.AbstractPotential):
    r"""U = (x - S(x - c0) c1)^2 / 2 + c0 c1 (S(x - c0) + S(c0)), S the sign; control (c0, c1).

    Multiplied out, U = x^2/2 - c1 (|x - c0| - |c0|) + c1^2/2: continuous, with a cusp at c0. The
    force depends on c0 only through the sign, and automatic differentiation gives that no
    derivative; with a `width` w, |z| becomes w ln cosh(z / w), and the sign tanh(z / w), which has
    one. At c0 = 0 and c1 > 0 its equilibrium is drawn exactly, half of it on each side.
    """

    width: Float[Array, ""] | None

    def __init__(self, width: float | None = None):
        self.width = None if width is None else jnp.asarray(width, float)

    def energy(self, x, control):
        c0, c1 = control[0], control[1]
        distance = jnp.abs(x - c0)
        if self.width is not None:
            z = (x - c0) / self.width
            distance = self.width * (jnp.logaddexp(z, -z) - math.log(2))
        return jnp.sum(x**2 / 2 - c1 * (distance - jnp.abs(c0)) + c1**2 / 2)

    def sampled_by(self, control, temperature):
        return self if control[0] == 0 and control[1] > 0 else None

    def sample(self, key, control, temperature, batch, template):
        """That of the sharp cusp, from which paths start whatever the width."""
        side, place = jax.random.split(key)
        shape, spread = (batch, *template.shape), jnp.sqrt(jnp.asarray(temperature))
        lowest = -control[1] / spread
        z = jax.random.truncated_normal(place, lowest, jnp.inf, shape, template.dtype)
        sign = jax.random.rademacher(side, shape, template.dtype)
        return sign * (control[1] + spread * z)


class ThenRest(tj.AbstractProtocol):
    """A schedule, and then its final value for the time `rest`."""

    schedule: tj.AbstractProtocol
    rest: Float[Array, ""]

    def __init__(self, schedule: tj.AbstractProtocol, rest):
        self.schedule, self.rest = schedule, jnp.asarray(rest, float)

    @property
    def duration(self):
        return self.schedule.duration + self.rest

    @property
    def initial(self):
        return self.schedule.initial

    @property
    def final(self):
        return self.schedule.final

    def __call__(self, t):
        end = self.schedule.duration
        return jnp.where(t < end, self.schedule(jnp.minimum(t, end)), self.final)

    def jumps(self):
        end = self.schedule.duration
        return end[None], self.schedule(end)[None], self.final[None]

    def events(self):
        inner, end = self.schedule.events(), self.schedule.duration[None]
        return end if inner is None else jnp.concatenate([inner, end])

    def project(self):
        return ThenRest(self.schedule.project(), self.rest)


class ErasureBenchmark(AbstractStudy):
    r"""The problem `erasure` of NESTbench25: dv = -w0^2 U'(x) dt - (w0/Q) v dt + noise.

    A bit at rest, in either well alike, must be left of zero one period after a drive of half a
    period. The cost in training is the share of failures; its step and the cusp are smoothed over
    one width, less and less, and a small weight on the distance to the law N(-5, 1) leads the first
    steps there. Evaluation is on the sharp cusp at the benchmark's step and at a quarter of it. All
    trajectories that the training has seen are counted, those that compare candidates too.

    **Source:** S. Whitelam, C. Casert, M. Engel, I. Tamblyn, arXiv:2506.15122 (2025).
    """

    question = "How surely can a bit be erased in half a period of its trap?"
    columns = ("optimized",)
    headline: ClassVar[dict[str, str]] = {
        "failures": "failures",
        "failures at a quarter of the step": "quarter_failures",
        "total work of the paths": "total_work",
        "trajectories in training": "training_paths",
    }

    def __init__(
        self,
        knots: Annotated[int, Ge(2)],
        lower: list[float],
        upper: list[float],
        training: Training,
        evaluation: Testing,
    ):
        require_chunks(
            evaluation.chunk, batch=evaluation.batch, quarter_batch=evaluation.quarter_batch
        )
        if not training.widths or min(training.widths) <= 0:
            raise ValueError(f"training.widths = {training.widths}: expected positive lengths")
        given = tj.PiecewiseLinear.between(REST, REST, DRIVE, knots, lower, upper)
        bath = tj.Bath(friction=1 / QUALITY)
        self.system = tj.Underdamped(Cusp(), ThenRest(given, QUIET), bath)
        self.start = tj.Equilibrium(jnp.zeros(1))
        self.training, self.evaluation = training, evaluation

    def run(self, key, progress: Progress) -> Record:
        train_key, *keys = jax.random.split(key, 3)
        fits = self.train(train_key, progress)
        system = fits[-1].system.replace(potential=Cusp())
        settings, results, record = self.evaluation, Record(), Record()
        sizes = (("", settings.batch, 1), ("quarter_", settings.quarter_batch, 4))
        for (name, batch, parts), own in zip(sizes, keys, strict=True):
            steps = parts * math.ceil(DRIVE / (FREQUENCY * settings.dt))
            found = evaluate(
                system,
                own,
                dt=DRIVE / steps,  # the drive ends with a step
                batch=batch,
                chunk=settings.chunk,
                progress=progress,
                name=f"optimized ({steps} steps)",
                snapshots=3,
                initial=self.start,
            )
            alive = found.alive > 0
            record.put(f"{name}failures", share(found.position[alive] >= 0))
            record.put(f"{name}total_work", found.average("total_work"), "kT")
            record.put(f"{name}diverged", found.diverged, "paths")
            record.put(f"{name}paths_total", batch, "paths")
        trials = sum((len(fit.candidates) + 1) * COMPARISONS for fit in fits)
        batches = trials + sum(len(fit.history["loss"]) for fit in fits)
        record.put("training_paths", self.training.batch * batches, "paths")
        record["schedule"] = schedule_record(system.protocol.schedule)  # pyright: ignore[reportAttributeAccessIssue]
        results["optimized"] = record
        results["stages"] = Record()
        for width, fit in zip(self.training.widths, fits, strict=True):
            results["stages"][f"width_{width:g}"] = training_record(fit)
        return results

    def train(self, key, progress: Progress) -> list[tj.Fit]:
        """One fit for each width, from where the last one ended."""
        settings, system, fits = self.training, self.system, []
        cost = tj.ErasureError("below") + 1e-3 * tj.TerminalError((-5.0, 1.0))
        optimizer = optax.adam(
            optax.cosine_decay_schedule(settings.learning_rate, settings.steps, 0.1)
        )
        for i, width in enumerate(settings.widths):
            fit = alone(
                trained(
                    system.replace(potential=Cusp(width)),
                    cost,
                    optimizer,
                    jax.random.fold_in(key, i),
                    steps=settings.steps,
                    progress=progress,
                    name=f"training, smoothed over {width:g}",
                    cost="cost",
                    time_steps=3 * settings.drive_steps,
                    batch=settings.batch,
                    initial=self.start,
                    gradient=tj.Smoothed(width),
                    trainable=lambda system: system.protocol.schedule.values,
                )
            )
            system = fit.system
            fits.append(fit)
        return fits
