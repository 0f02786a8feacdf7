"""One schedule measured on a large batch: paths in chunks, the ledger through time as sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from .._calls import Call, Computation
from .._keys import Purpose, part_key
from .._scale import power_of_two
from ..checkpoint import AbstractCheckpoint
from ..estimate import Estimate
from ..execution import count_steps
from ..sampling import prepare_run, run_prepared
from ..sampling.initial import warn_burn_in
from ..sampling.resolution import warn_rounding
from ..system import AbstractSystem
from .exponential import FreeEnergy, exponential_average, paths_that_carry

PATHS = ("work", "heat", "shadow_work", "total_work")
THROUGH_TIME = ("work", "heat", "shadow_work", "energy_change")


@dataclass(frozen=True)
class Evaluation:
    """The outcome of a batch of paths; arrays are numpy's, the paths on the first axis.

    - `paths`: the entries of the ledger at the end, by name; `position`, at the end.
    - `log_weight`, `alive`: as in `tj.Result`.
    - `times`, `(times,)`; `mean`, means through time, by name; `spread`, the standard deviation
      among paths there.
    """

    position: np.ndarray
    paths: dict[str, np.ndarray]
    log_weight: np.ndarray
    alive: np.ndarray
    times: np.ndarray
    mean: dict[str, Estimate]
    spread: dict[str, np.ndarray]

    @property
    def diverged(self) -> int:
        return int(np.sum(self.alive == 0))

    @property
    def free_energy(self) -> FreeEnergy:
        return exponential_average(jnp.asarray(self.log_weight), jnp.asarray(self.alive))

    @property
    def weights(self) -> np.ndarray:
        """exp(log_weight) relative to the largest; zero for paths that diverged."""
        log_weight = np.where(self.alive > 0, self.log_weight, -np.inf)
        return np.exp(log_weight - np.max(log_weight))

    @property
    def reliability(self) -> float:
        """The number of paths that carry the exponential average, by weights and by dissipation.

        The smaller number of the two: a sample that has missed the rare paths has even weights.
        """
        lost = float(dissipated(self, self).value)
        carrying = paths_that_carry(len(self.alive) - self.diverged, lost)
        return min(float(self.free_energy.effective_samples), carrying)

    def average(self, name: str) -> Estimate:
        """The mean over the surviving paths of an entry of `paths`, with its standard error."""
        return mean_of(self.paths[name][self.alive > 0])


def mean_of(values: np.ndarray) -> Estimate:
    """The mean of independent values, `(n,)`, in float64, with its standard error."""
    values = np.asarray(values, float)
    error = values.std(ddof=1) / np.sqrt(values.size)
    return Estimate(values.mean(), error, np.asarray(values.size))


def dissipated(evaluation: Evaluation, reference: Evaluation) -> Estimate:
    r"""W_diss = <W_total> - Delta F at kT = 1, Delta F from the reference's exponential average.

    Where the two are one batch, both averages share their noise: the error is that of
    W_i + w_i / mean(w), the influence of path i. Else the errors add in quadrature.
    """
    work = evaluation.average("total_work")
    difference = reference.free_energy.difference(1.0)
    value = np.asarray(work.value - difference.value)
    if evaluation is reference:
        alive = evaluation.alive > 0
        w = evaluation.weights[alive].astype(float)
        error = mean_of(evaluation.paths["total_work"][alive] + w / w.mean()).error
    else:
        error = np.hypot(work.error, difference.error)
    return Estimate(value, np.asarray(error), work.count)


def evaluation(
    system: AbstractSystem,
    key,
    *,
    dt: float,
    batch: int,
    chunk: int,
    snapshots: int = 64,
    initial: Any = None,
    sharding: NamedSharding | None = None,
    callback: Callable[[int], object] | None = None,
    checkpoint: AbstractCheckpoint | None = None,
) -> Computation[Evaluation]:
    """Run `batch` paths in chunks of `chunk`, which must divide it: memory is that of a chunk.

    Each chunk has a key of its own, so that the numbers depend on the chunk size, and not on the
    machine. A computation: others can share its programs.

    **Arguments:** `snapshots`, at most so many of the ledger through time; `callback(paths)`, after
    each chunk, how many paths are done; `checkpoint`, where the chunks that are done are kept.

    **Returns:** an `Evaluation`; paths that diverged are counted there, and left out of means.
    """
    # Snapshots at equal distances cost nothing: take as many as divide the run, up to the wish.
    steps = count_steps(system.protocol.duration, dt, None)
    save = 1 + max(k for k in range(1, snapshots + 1) if steps % k == 0)
    whole: dict[str, np.ndarray] = {}  # all paths, those that are still to come as zeros
    sums, times, begin = None, np.zeros(0), 0
    if checkpoint is not None and (kept := checkpoint.load()) is not None:
        begin, times = int(kept.pop("chunks")), kept.pop("times")
        sums = tuple(kept.pop(f"sums.{i}") for i in range(3))
        whole = {entry.removeprefix("paths."): kept[entry] for entry in kept}
        if callback is not None:
            callback(begin * chunk)
    for i in range(begin, batch // chunk):
        arguments = prepare_run(
            system,
            part_key(key, Purpose.CHUNK, i),
            dt=dt,
            batch=chunk,
            initial=initial,
            save=save,
            observe=snapshot_moments,
            sharding=sharding,
        )
        out = yield Call(run_prepared, arguments, own=lambda given: given[0].protocol)
        if not warn_burn_in(out.burn_in, system.potential):
            warn_rounding(system, out.ledger)
        found = {
            "position": out.position,
            "log_weight": out.log_weight,
            "alive": out.ledger.alive,
            **{entry: getattr(out.ledger, entry) for entry in PATHS},
        }
        for entry, values in found.items():
            values = np.asarray(values)
            rows = whole.setdefault(entry, np.zeros((batch, *values.shape[1:]), values.dtype))
            rows[i * chunk : (i + 1) * chunk] = values
        count, mean, squares, scale = (np.asarray(x, float) for x in out.saved.values)
        sums = merged_moments(sums, (count, mean, squares * scale**2))
        times = np.asarray(out.saved.times, float)
        if callback is not None:
            callback((i + 1) * chunk)
        if checkpoint is not None:
            state = {"chunks": i + 1, "times": times, "sums": sums, "paths": whole}
            checkpoint.save(state, last=i + 1 == batch // chunk)
    assert sums is not None, "a batch of one chunk at least"
    count, mean, squares = (np.asarray(x) for x in sums)
    variance = squares / np.maximum(count[:, None] - 1, 1)
    error = np.sqrt(variance / np.maximum(count[:, None], 1))
    through = {
        entry: Estimate(mean[:, j], error[:, j], count) for j, entry in enumerate(THROUGH_TIME)
    }
    spread = {entry: np.sqrt(variance[:, j]) for j, entry in enumerate(THROUGH_TIME)}
    position, log_weight, alive = (whole.pop(x) for x in ("position", "log_weight", "alive"))
    return Evaluation(position, whole, log_weight, alive, times, through, spread)


def snapshot_moments(time, state, ledger):
    """Count, means and sums of squared deviations over the batch of one snapshot.

    The squares are in units of the square of the last, a power of two: those of joules would be
    zero in float32.
    """
    change = ledger.energy - ledger.energy_start
    rows = jnp.stack([ledger.work, ledger.heat, ledger.shadow_work, change])
    count = jnp.sum(ledger.alive)
    mean = jnp.sum(ledger.alive * rows, axis=1) / jnp.maximum(count, 1)
    off = ledger.alive * (rows - mean[:, None])
    scale = power_of_two(jnp.max(jnp.abs(off), axis=1))
    return count, mean, jnp.sum((off / scale[:, None]) ** 2, axis=1), scale


def merged_moments(one: tuple | None, other: tuple) -> tuple:
    """Moments of two batches together (Chan, Golub, LeVeque 1979)."""
    if one is None:
        return other
    (n, a, s), (m, b, t) = one, other
    total = np.maximum(n + m, 1)[:, None]
    shift = b - a
    mean = a + shift * m[:, None] / total
    return n + m, mean, s + t + shift**2 * (n * m)[:, None] / total
