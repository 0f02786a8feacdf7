"""One long trajectory or many short ones: the error at equal device time, and at equal delay."""

from __future__ import annotations

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from experiments.imperfect_device import coupled, relative
from experiments.imperfect_device_figures import FAR, SURE, in_percent
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import BLUE, GREEN, INK, ORANGE, legend, new
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.linalg.device.answer import digital_products
from thermojax.linalg.device.device import device_for
from thermojax.linalg.device.exact import modes_of, visited
from thermojax.optimization.frontier import estimate_at, stacked

COLORS, MARKERS = (BLUE, GREEN, ORANGE, INK), "osD^"
SAFE = float(np.log(1e3))  # relaxation times, after which a thousandth of the start is left


def mixes(results: Record):
    """Error against the number of trajectories, and against the time until the answer is there."""
    records = [results[name] for name in results.attributes["columns"] if name in results]
    if not records:
        return None
    figure, (above, below) = new(2, 6.0, sharex=False)
    for record, color, marker in zip(records, COLORS, MARKERS, strict=False):
        value, error = (np.asarray(getattr(record["error"], n)) for n in ("value", "error"))
        label = f"device time {record['time']:g}"
        for axes, x in ((above, record["trajectories"]), (below, record["delay"])):
            axes.plot(x, record["law"], color=color, lw=1.2, alpha=0.75)
            axes.errorbar(x, value, error, fmt=marker, color=color, ms=4.2, capsize=2, label=label)
        above.plot(record["trajectories"], record["safe"], color=color, lw=1.2, ls="--")
    for axes in (above, below):
        in_percent(axes)
    above.set(xlabel="trajectories", title="at equal device time")
    below.set(xlabel="time until the answer is there (relaxation times)", title="against delay")
    legend(figure, columns=2)
    return figure, (
        "Lines, the exact law with the best equilibration for each number of trajectories; dots, "
        "means over simulated trajectories; dashed, with an equilibration of "
        f"{SAFE:.1f} relaxation times, which most would call safe. At equal device time one "
        "trajectory is never much worse than the best, and the others pay for their equilibration "
        "once each. Below, the same points against the delay: side by side, many short ones are "
        "earlier by their number, until they are about as short as the relaxation. On a digital "
        f"computer conjugate gradients reach {float(records[-1]['least']):.2%} with "
        f"{records[-1]['products']} products of the matrix and a vector."
    )


def when(results: Record) -> str:
    """How many trajectories cost a tenth more than the best, at the longest device time."""
    record = results[list(results.attributes["columns"])[-1]]
    law, count = np.asarray(record["law"]), np.asarray(record["trajectories"])
    free = int(count[law <= 1.1 * law.min()].max())
    return (
        f"In a device time of {record['time']:g} relaxation times up to {free} trajectories are "
        f"within a tenth of the least error ({law.min():.2%} of the answer), and as many times "
        "earlier with it."
    )


def doubtful(results: Record) -> list[str]:
    """Points that lie far from the law."""
    found = []
    for name in results.attributes["columns"]:
        record = results[name]
        value, error = (np.asarray(getattr(record["error"], n)) for n in ("value", "error"))
        sure = np.asarray(record["error"].count) >= SURE
        off = np.max((np.abs(value - record["law"]) / error)[sure], initial=0.0)
        if off > FAR:
            found.append(f"{name}: an error lies {off:.1f} standard errors from the law.")
    return found


class ErgodicOrEnsemble(AbstractStudy):
    r"""The error of `tj.linalg.solve` for device times shared by more and more trajectories.

    The law is `tj.linalg.split`; beside it stand means over trajectories of the exact process, each
    started from the idle device. One relaxation time is one unit of time.
    """

    question = "Is device time better spent on one long trajectory or on many short ones?"
    headline: ClassVar[dict[str, str]] = {
        "error of one trajectory": "one",
        "by the law": "one_law",
        "least error by the law": "least",
        "with as many trajectories": "best",
        "error of the most trajectories": "many",
        "by the law ": "many_law",
    }
    figures: ClassVar = {"mixes": mixes}
    sentences: ClassVar = (when,)
    doubts: ClassVar = (doubtful,)

    def __init__(
        self,
        dimension: Annotated[int, Ge(1)],
        condition: Annotated[float, Ge(1)],
        signal: Annotated[float, Gt(0)],
        times: list[float],
        trajectories: list[int],
        pool: Annotated[int, Ge(16)],
    ):
        if not times or min(times) <= 0 or len(times) > len(COLORS):
            raise ValueError(f"times = {times}: expected one to {len(COLORS)} positive times")
        if not trajectories or min(trajectories) < 1 or max(trajectories) > pool // 16:
            raise ValueError(
                f"trajectories = {trajectories}: expected numbers of 1 to pool / 16 = {pool // 16}"
            )
        self.problem = dimension, condition, signal
        self.times, self.trajectories, self.pool = times, trajectories, pool
        self.columns = tuple(f"time {time:g}" for time in times)

    def run(self, key, progress: Progress) -> Record:
        keys = jax.random.split(key)
        A, b = coupled(*self.problem, keys[0])
        modes = modes_of(A)
        device = device_for(modes.spectrum, "overdamped", None)

        @jax.jit
        def positions(wait, time, key):
            """The mean position of every trajectory of the pool."""
            numbers = jnp.stack([wait, time, jnp.asarray(device.rest)])
            one = lambda key: visited(modes, b, "overdamped", device.bath, numbers, 1, key).value
            return jax.vmap(one)(jax.random.split(key, self.pool))

        results, x = Record(), np.linalg.solve(A, b)
        total = len(self.times) * len(self.trajectories)
        with progress.phase("mixes", total, "measured") as phase:
            for i, (name, time) in enumerate(zip(self.columns, self.times, strict=True)):
                law = tj.linalg.split(A, b, time=time, trajectories=self.trajectories)
                found = []
                for j, count in enumerate(self.trajectories):
                    own = jax.random.fold_in(jax.random.fold_in(keys[1], i), j)
                    seen = positions(law.equilibration[j], law.averaging[j], own)
                    groups = np.asarray(seen)[: self.pool // count * count]
                    off = groups.reshape(-1, count, len(x)).mean(1) - x
                    found.append(relative(np.sum(off**2, axis=1), float(np.linalg.norm(x))))
                    phase.advance(1)
                results[name] = self.record(A, b, time, law, stacked(found), x, modes.spectrum)
        return results

    def record(self, A, b, time: float, law: tj.linalg.Split, errors, x, spectrum) -> Record:
        record, size = Record(), float(np.linalg.norm(x))
        fits = np.array([n * SAFE < 0.99 * time for n in self.trajectories])
        safe = np.full(len(fits), np.nan)
        if np.any(fits):
            able = [n for n, fit in zip(self.trajectories, fits, strict=True) if fit]
            of = tj.linalg.split(A, b, time=time, trajectories=able, equilibration=SAFE)
            safe[fits] = of.error / size
        record.put("time", time, "relaxation times")
        record.put("trajectories", law.trajectories, "1", ("mix",))
        record.put("equilibration", law.equilibration, "relaxation times", ("mix",))
        record.put("delay", law.delay, "relaxation times", ("mix",))
        record.put("error", errors, "of the answer", ("mix",))
        record.put("law", law.error / size, "of the answer", ("mix",))
        record.put("safe", safe, "of the answer", ("mix",))
        for name, i in (("one", 0), ("many", -1)):
            record.put(name, estimate_at(errors, i), "of the answer")
            record.put(f"{name}_law", float(law.error[i] / size), "of the answer")
        record.put("least", float(law.error.min() / size), "of the answer")
        record.put("best", law.best, "trajectories")
        record.put("products", digital_products(spectrum, record["least"], len(x)), "products")
        return record
