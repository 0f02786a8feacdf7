"""The state of the fit loop from one step to the next, which a checkpoint holds."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from ..checkpoint import AbstractCheckpoint, CheckpointError, is_key


class Training(eqx.Module):
    """The state of a training run after `step` steps.

    - `params`, `average`, `best`: the last iterate, the averaged one, the one of `lowest` loss.
    - `state`: the state of the optimizer. `key`: the key given, from which each step draws its own.
    - `smooth`: the loss, smoothed by `smoothing`; `floor`, its lowest, reached `since` steps ago.
    - `record`: loss, its error, diverged paths and slope, `(steps, 4)`; zeros from `step` on.
    - `mark`: a digest that says which training this is.
    """

    params: Any
    state: Any
    average: Any
    best: Any
    key: PRNGKeyArray | None
    record: np.ndarray
    step: int = 0
    lowest: float = np.inf
    smooth: float = np.nan
    floor: float = np.inf
    since: int = 0
    mark: str = ""
    smoothing: float = 0.9

    @classmethod
    def begin(cls, params, state, key, steps: int, smoothing: float) -> Training:
        record = np.zeros((steps, 4))
        return cls(params, state, params, params, key, record, smoothing=smoothing)

    def marked(self, mark: str) -> Training:
        return replace(self, mark=mark)

    def after(self, params, state, average, seen: tuple[float, float, int, float]) -> Training:
        """One step on, from the iterate that gave the loss to `params`."""
        value = seen[0]
        keep = 0.0 if np.isnan(self.smooth) else self.smoothing
        smooth = value if not keep else keep * self.smooth + (1 - keep) * value
        lower = smooth < self.floor
        record = self.record.copy()
        record[self.step] = seen
        return replace(
            self,
            params=params,
            state=state,
            average=average,
            best=self.params if value < self.lowest else self.best,
            record=record,
            step=self.step + 1,
            lowest=min(value, self.lowest),
            smooth=smooth,
            floor=smooth if lower else self.floor,
            since=0 if lower else self.since + 1,
        )

    @property
    def history(self) -> dict[str, np.ndarray]:
        """`loss`, `error`, `diverged` and `slope`, arrays over the steps that were done."""
        return history(self.record[: self.step])


def history(record: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of a record by their names."""
    loss, error, diverged, slope = record.T
    return {"loss": loss, "error": error, "diverged": diverged.astype(int), "slope": slope}


def fingerprint(parts: Any) -> str:
    """A digest of everything that a training depends on and that can be told from its values.

    Functions count by name: their addresses change from process to process.
    """
    leaves, structure = jax.tree.flatten(parts)
    digest = hashlib.sha256(without_addresses(structure))
    for leaf in leaves:
        if is_key(leaf):
            leaf = jax.random.key_data(leaf)
        if eqx.is_array(leaf):
            array = np.asarray(leaf)
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
        else:
            digest.update(without_addresses(leaf))
    return digest.hexdigest()[:16]


def without_addresses(thing: Any) -> bytes:
    return re.sub(r"0x[0-9a-f]+", "", repr(thing)).encode()


def resumed(checkpoint: AbstractCheckpoint, start: Training) -> Training:
    """The training from a checkpoint, or the start where there is none.

    **Raises:** CheckpointError where the checkpoint is of another training.
    """
    found = checkpoint.load(start)
    if found is None:
        return start
    data = lambda run: np.zeros(0) if run.key is None else np.asarray(jax.random.key_data(run.key))
    same = np.array_equal(data(found), data(start))
    if not same or found.mark != start.mark:
        what = "system, objective, start or steps in time" if same else "key"
        raise CheckpointError(
            f"the checkpoint is of a training with another {what}: remove its file, or call "
            "tj.optimize as it was called there"
        )
    return found
