"""An annealer trained on a target whose normalization is known: what it wastes, and what it learns.

Paths go from a fitted Gaussian to the target in K steps. The mean of their log weights is a lower
bound of ln Z that falls short of it by the dissipated work.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge, Gt
from jax.flatten_util import ravel_pytree

import thermojax as tj
from experiments.annealing_figures import (
    doubtful,
    gap_figure,
    in_words,
    schedule_figure,
    training_figure,
)
from experiments.annealing_targets import TARGETS
from experiments.linear_algebra_figures import rounded
from thermojax.estimate import weighted_mean
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy

CLIPPED = 50.0  # the largest norm of a gradient
BASE_BATCH = 64  # draws of a step that fits the base


@dataclass(frozen=True)
class Training:
    """The training of each annealer: `steps` batches of paths, the learning rate falling to zero.

    **Arguments:** `learning_rate`, of Adam; `objective`, as of `tj.anneal.Annealer.loss`.
    """

    steps: Annotated[int, Gt(0)]
    batch: Annotated[int, Ge(2)] = 64
    learning_rate: Annotated[float, Gt(0)] = 6e-3
    objective: Literal["elbo", "detached"] = "elbo"


class Annealing(AbstractStudy):
    r"""Annealers of several lengths for one target, measured before their training and after it.

    ELBO = <log w> <= ln Z, and W_diss = ln Z - ELBO, in kT, from the reference value of ln Z.

    **Arguments:**

    - `target`: one of `experiments.annealing_targets`. `steps`: a list of numbers K.
    - `training`: what to spend on each. `paths`: on which each is measured, fresh ones.
    - `base`: independent coordinates, or all correlations, fitted without annealing first in
      `base_steps` steps; or Laplace's. With `base_scale` it is N(0, base_scale^2), not fitted: for
      targets of many modes, of which a fit would find one.
    - `drive`: a learned force beside that of the ramp. `dt`, `rate`: where steps and friction
      begin.
    """

    question = "How little work does a ramp of K steps waste, once it has learned?"
    headline: ClassVar[dict[str, str]] = {
        "dissipated work before training": "dissipated_before",
        "dissipated work": "dissipated_work",
        "lower bound of ln Z before": "elbo_before",
        "lower bound of ln Z": "elbo",
        "upper bound of ln Z": "upper",
        "ln Z before": "log_z_before",
        "ln Z": "log_z",
        "reference ln Z": "reference",
        "effective samples before": "effective_before",
        "effective samples": "effective_samples",
        "share seen from the target": "share_seen",
        "gradients of the target in training": "gradients",
    }
    figures: ClassVar = {
        "training": training_figure,
        "schedule": schedule_figure,
        "gap": gap_figure,
    }
    sentences: ClassVar = (in_words,)
    doubts: ClassVar = (doubtful,)

    def __init__(
        self,
        target: Literal[
            "ionosphere", "sonar", "seeds", "brownian", "funnel", "forty_modes", "many_wells",
            "five_wells",
        ],
        steps: tuple[int, ...],
        training: Training,
        drive: Literal["none", "linear", "network", "two-sided"] = "linear",
        base: Literal["diagonal", "dense", "laplace"] = "diagonal",
        base_steps: Annotated[int, Gt(0)] = 2000,
        base_scale: Annotated[float, Gt(0)] | None = None,
        dt: Annotated[float, Gt(0)] = 0.3,
        rate: Annotated[float, Gt(0)] = 0.05,
        paths: Annotated[int, Ge(2)] = 4096,
    ):  # fmt: skip
        if not steps or min(steps) < 1 or len(set(steps)) < len(steps):
            raise ValueError(
                f"steps = {list(steps)}: expected positive numbers of steps, each once, as in [8]"
            )
        if target not in TARGETS:
            raise ValueError(f"target = {target!r}: expected one of {', '.join(TARGETS)}")
        if base_scale is not None and base != "diagonal":
            raise ValueError(
                f"base_scale = {base_scale:g} and base = {base!r}: a base that is not fitted is "
                "diagonal; leave one of them out"
            )
        self.name, self.target = target, TARGETS[target]()
        self.dim = len(self.target.template)
        self.steps, self.training, self.paths = tuple(sorted(steps)), training, paths
        self.drive, self.base, self.base_steps = drive, base, base_steps
        self.dt, self.rate, self.base_scale = dt, rate, base_scale
        self.columns = tuple(f"K = {count}" for count in self.steps)

    def run(self, key, progress: Progress) -> Record:
        base_key, drive_key, measuring, draws_key, key = jax.random.split(key, 5)
        base = self.fitted_base(base_key, progress)
        results, target = Record(), self.target
        results["target"] = known = Record()
        known.attributes["name"] = self.name
        known.put("log_z", tj.Estimate(target.log_z, target.error, 1))
        known.put("dim", self.dim)
        for name, count in zip(self.columns, self.steps, strict=True):
            begun = tj.anneal.Annealer(
                base, target.energy, steps=count, template=target.template, dt=self.dt,
                rate=self.rate, drive=self.drive_of(drive_key),
            )  # fmt: skip
            if "base" not in results:
                results["base"] = self.base_alone(begun, measuring)
            # Of each K its own, whatever others there are.
            own = jax.random.fold_in(key, count)
            with progress.phase(f"training, {name}", self.training.steps, "steps") as phase:
                fit = tj.anneal.fit(
                    begun,
                    optimizer(self.training.learning_rate, self.training.steps),
                    own,
                    batch=self.training.batch,
                    steps=self.training.steps,
                    objective=self.training.objective,
                    callback=lambda seen, phase=phase: phase.reach(seen.step, f"loss {seen.loss}"),
                    checkpoint=phase.checkpoint,
                )
            with progress.phase(f"measuring, {name}", 2, "annealers") as phase:
                before = run(begun, measuring, self.paths)
                phase.advance(note=f"ELBO {before.elbo}")
                after = run(fit.annealer, measuring, self.paths)
                phase.advance(note=f"ELBO {after.elbo}")
            results[name] = record = self.record(before, after)
            record["training"] = training_record(fit)
            record["schedule"] = schedule_record(begun, fit.annealer)
            done = len(fit.history["loss"]) * self.training.batch * (count + 1)
            record.put("gradients", done + self.base_gradients, "gradients")
            if target.sample is not None:
                self.put_backward(record, fit.annealer, draws_key)
        return results

    @property
    def base_gradients(self) -> int:
        """Gradients of the target that the fit of the base takes; of Laplace's descent, none."""
        fitted = self.base != "laplace" and self.base_scale is None
        return self.base_steps * BASE_BATCH if fitted else 0

    def fitted_base(self, key, progress: Progress) -> tj.anneal.AbstractBase:
        """The Gaussian of the highest ELBO without annealing; a run that goes on keeps it."""
        if self.base_scale is not None:
            return tj.anneal.DiagonalBase(self.dim, self.base_scale)
        if self.base == "laplace":
            return tj.anneal.laplace(self.target.energy, self.target.template)
        start: tj.anneal.AbstractGaussianBase = tj.anneal.DiagonalBase(self.dim)
        if self.base == "dense":
            start = tj.anneal.DenseBase(jnp.zeros(self.dim), jnp.eye(self.dim))
        unravel = ravel_pytree(start)[1]

        def fitted(_):
            found = tj.anneal.variational(
                start, self.target.energy, key, template=self.target.template, batch=BASE_BATCH,
                steps=self.base_steps,
            )  # fmt: skip
            return ravel_pytree(found)[0]

        with progress.phase("base", 1, "Gaussian") as phase:
            (flat,) = phase.kept(1, fitted)
        return unravel(jnp.asarray(flat))

    def drive_of(self, key) -> tj.anneal.AbstractDrive | None:
        """The drive, zero at first."""
        if self.drive == "none":
            return None
        if self.drive == "linear":
            return tj.anneal.LinearDrive(self.dim)
        return tj.anneal.NetworkDrive(self.dim, key, two_sided=self.drive == "two-sided")

    def base_alone(self, annealer: tj.anneal.Annealer, key) -> Record:
        """The bound that draws of the base reach without a single step."""
        z = annealer.base.draw(key, self.paths)
        weights = jax.vmap(lambda z: annealer.base.energy(z) - annealer.ramp.target(z))(z)
        record = Record()
        elbo = weighted_mean(weights, jnp.ones_like(weights))
        record.put("elbo", elbo, "kT")
        record.put("dissipated_work", self.dissipated(elbo), "kT")
        return record

    def dissipated(self, elbo: tj.Estimate) -> tj.Estimate:
        """ln Z - ELBO, of the reference."""
        error = np.hypot(float(elbo.error), self.target.error)
        return tj.Estimate(self.target.log_z - float(elbo.value), error, elbo.count)

    def record(self, before: tj.anneal.Annealed, after: tj.anneal.Annealed) -> Record:
        """The paths of an annealer as it began, and of the same one trained."""
        record = Record()
        record.put("reference", self.target.log_z)
        record.put("paths_total", self.paths, "paths")
        for found, end in ((before, "_before"), (after, "")):
            record.put(f"elbo{end}", found.elbo, "kT")
            record.put(f"log_z{end}", found.log_z)
            record.put(f"dissipated{end or '_work'}", self.dissipated(found.elbo), "kT")
            for name in ("protocol_work", "shadow_work", "drive_work"):
                values = jnp.where(found.alive > 0, getattr(found, name), 0)
                record.put(f"mean_{name}{end}", weighted_mean(values, found.alive), "kT")
            record.put(f"diverged{end}", int(found.diverged), "paths")
        record.put("effective_before", rounded(before.effective_samples, 3), "paths")
        record.put("effective_samples", float(after.effective_samples), "paths")
        return record

    def put_backward(self, record: Record, annealer: tj.anneal.Annealer, key) -> None:
        """The upper bound, and the effective share, as exact draws of the target see them."""
        assert self.target.sample is not None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* paths diverged")  # they are doubts
            back = annealer.reverse(key, self.target.sample(key, self.paths))
        record.put("upper", back.eubo, "kT")
        record.put("share_seen", rounded(back.forward_effective_share(self.target.log_z), 3))
        record.put("diverged_back", int(back.diverged), "paths")


@functools.cache
def optimizer(rate: float, steps: int) -> optax.GradientTransformation:
    """Adam with bounded gradients: one object for all K, and so one program for each."""
    adam = optax.adam(optax.cosine_decay_schedule(rate, steps))
    return optax.chain(optax.clip_by_global_norm(CLIPPED), adam)


def run(annealer: tj.anneal.Annealer, key, paths: int) -> tj.anneal.Annealed:
    """Fresh paths of an annealer; those that diverge are counted in what comes back."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* paths diverged")  # they are doubts
        return annealer.run(key, paths)


def training_record(fit: tj.anneal.AnnealerFit) -> Record:
    """The history of a training, and why it ended."""
    record = Record()
    for name, units in dict(loss="kT", error="kT", diverged="paths", slope="kT").items():
        record.put(name, np.asarray(fit.history[name]), units, ("step",))
    record.attributes = {"stopped": fit.stopped, "chosen": fit.chosen}
    return record


def schedule_record(begun: tj.anneal.Annealer, trained: tj.anneal.Annealer) -> Record:
    """Couplings at the grid points, sizes and friction rates of the steps; and where they began."""
    record = Record()
    for annealer, start in ((begun, "start_"), (trained, "")):
        couplings, dt, rate = map(np.asarray, annealer.schedule.values())
        record.put(f"{start}coupling", couplings[:, 0], "1", ("grid point",))
        record.put(f"{start}time", np.append(0, np.cumsum(dt)), "time", ("grid point",))
        record.put(f"{start}dt", dt, "time", ("step",))
        record.put(f"{start}rate", rate, "1 / time", ("step",))
    return record
