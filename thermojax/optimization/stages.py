"""Several trainings, one after the other, and what a checkpoint holds of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._keys import Purpose, check_key, part_key
from ..checkpoint import AbstractCheckpoint, CheckpointError
from ..estimate import Estimate
from ..system import AbstractSystem
from .descent import CANDIDATES
from .fit import Fit, optimize
from .picture import prepare_picture
from .trainable import split_trainable
from .training import Training, fingerprint, history


class Stage(eqx.Module):
    """A training that is done, in arrays whose shapes are known before it begins.

    `params`, what trained; `costs`, (value, error, count) of the fit and of each of its candidates;
    `record` `(steps, 4)`, its history, of which the first `step` rows count.
    """

    params: Any
    costs: np.ndarray
    record: np.ndarray
    step: int = 0
    chosen: str = ""
    stopped: str = ""

    @classmethod
    def of(cls, fit: Fit, trainable: Callable | None, steps: int) -> Stage:
        numbers = lambda e: [float(e.value), float(e.error), float(e.count)]
        record = np.zeros((steps, 4))
        seen = np.stack(list(fit.history.values()), axis=1)
        record[: len(seen)] = seen
        return cls(
            split_trainable(fit.system, trainable)[0],
            np.array([numbers(e) for e in (fit.value, *(fit.candidates[n] for n in CANDIDATES))]),
            record,
            len(seen),
            fit.chosen,
            fit.stopped,
        )

    def fit(self, system: AbstractSystem, trainable: Callable | None) -> Fit:
        """The `Fit` that this was made of by `of`; what does not train is taken from `system`."""
        value, *candidates = (
            Estimate(jnp.asarray(v), jnp.asarray(e), jnp.asarray(n)) for v, e, n in self.costs
        )
        return Fit(
            eqx.combine(self.params, split_trainable(system, trainable)[1]),
            value,
            history(self.record[: self.step]),
            dict(zip(CANDIDATES, candidates, strict=True)),
            self.chosen,
            self.stopped,
        )


class Stages(eqx.Module):
    """The trainings that are done, and the state of the one that runs."""

    done: tuple[Stage, ...]
    count: int
    now: Training
    mark: str


class Within(AbstractCheckpoint):
    """The checkpoint of one training, kept inside of the checkpoint of all."""

    def __init__(self, whole: AbstractCheckpoint, stages: Stages):
        self.whole, self.stages = whole, stages

    def load(self, like: Any = None) -> Any:
        return self.stages.now if self.stages.now.step else None

    def save(self, state: Any, *, last: bool = False) -> None:
        self.whole.save(replace(self.stages, now=state))


def trained_in_turn(
    systems: list[AbstractSystem],
    objectives: list,
    optimizer,
    key: PRNGKeyArray | None,
    *,
    follow: Callable,
    steps: int,
    trainable: Callable | None,
    checkpoint: AbstractCheckpoint | None,
    callback: Callable[[int, Fit], Any] | None = None,
    training: dict[str, Any],
    options: Any,
) -> list[Fit]:
    """One `tj.Fit` for each system, which starts from `follow(system, the last one found)`.

    `training` and `options`: what else `tj.optimize` takes, the latter of its runs. With a
    checkpoint trainings that are done are read back, and the one that was under way goes on.
    """
    if key is not None:
        check_key(key)
    count, fits, stages, begun = len(systems), [], None, None
    if checkpoint is not None:
        params, _ = split_trainable(prepare_picture(systems[0], key, **options)[0], trainable)
        first = part_key(key, Purpose.STAGE, 0)
        begun = Training.begin(params, optimizer.init(params), first, steps, 0.0)
        empty = Stage(params, np.zeros((1 + len(CANDIDATES), 3)), np.zeros((steps, 4)))
        names = sorted(options)
        parts = (systems, objectives, [options[n] for n in names], names, sorted(training.items()))
        data = () if key is None else (key,)
        stages = Stages((empty,) * count, 0, begun, fingerprint((parts, data, steps)))
        found = checkpoint.load(stages)
        if found is not None and found.mark != stages.mark:
            raise CheckpointError(
                "the checkpoint is of other trainings: remove its file, or call this as it was "
                "called there"
            )
        stages = stages if found is None else found
    for i, (system, objective) in enumerate(zip(systems, objectives, strict=True)):
        system = system if not fits else follow(system, fits[-1].system)
        if stages is not None and i < stages.count:
            fits.append(stages.done[i].fit(prepare_picture(system, key, **options)[0], trainable))
            continue
        within = None if stages is None or checkpoint is None else Within(checkpoint, stages)
        fit = optimize(
            system,
            objective,
            optimizer,
            part_key(key, Purpose.STAGE, i),
            steps=steps,
            trainable=trainable,
            checkpoint=within,
            **training,
            **options,
        )
        fits.append(fit)
        if callback is not None:
            callback(i, fit)
        if stages is not None and checkpoint is not None:
            done = list(stages.done)
            done[i] = Stage.of(fit, trainable, steps)
            stages = replace(stages, done=tuple(done), count=i + 1, now=begun)
            checkpoint.save(stages, last=i + 1 == count)
    return fits
