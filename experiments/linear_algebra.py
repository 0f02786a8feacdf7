"""A linear system or an inverse by a device: how its answer comes, and what that takes."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from experiments.linear_algebra_figures import MOST, bill, convergence, pictures, rounded
from experiments.matrices import AbstractMatrix
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.linalg.device.device import device_for
from thermojax.linalg.device.exact import average_variances, modes_of, second_moment_variances

PICTURES = 4


def answer_in_words(results: Record) -> str:
    """What the device needs, and that a computer needs less."""
    device, digital = results["device"], results["digital"]
    facts = results.attributes
    return (
        f"{facts['matrix']}: the device has the answer with a relative error of "
        f"{device['relative_error']:.2g} (asked for: {facts['rtol']:g} with probability "
        f"{facts['probability']:g}) after a time of {device['time']:.4g} on each of "
        f"{device['trajectories']} devices. It is a simulated "
        "physical device whose time and energy are counted; on a digital computer "
        f"{digital['products']:,} products of A with a vector reach the same by conjugate "
        "gradients."
    )


class LinearAlgebra(AbstractStudy):
    """x = A^-1 b or A^-1 by a device: to a tolerance, and error against time beside its law.

    The law of the error is exact for a solve; for an inverse its mean square is. One device is
    shown at growing times, and `repetitions` of them are compared with the law at each of `times`,
    given in relaxation times. `b` is drawn from the standard normal law where it is left out.
    """

    question = "What does an answer of a device take, in time and energy?"
    columns = ("device", "digital")
    headline: ClassVar[dict[str, str]] = {
        "relative error": "relative_error",
        "devices side by side": "trajectories",
        "time of each (units of time)": "time",
        "work (kT)": "work",
        "heat (kT)": "heat",
        "idle energy (kT)": "idle",
        "products of A with a vector": "products",
        "by": "method",
    }
    figures: ClassVar = {"pictures": pictures, "convergence": convergence}
    tables: ClassVar = {"the time of a device": bill}
    sentences: ClassVar = (answer_in_words,)

    def __init__(
        self,
        problem: Literal["solve", "inv"],
        matrix: AbstractMatrix,
        rtol: Annotated[float, Gt(0)],
        probability: Annotated[float, Gt(0)],
        times: list[float],
        repetitions: Annotated[int, Ge(8)],
        dynamics: Literal["overdamped", "underdamped"] = "overdamped",
        method: Literal["steps", "exact"] = "exact",
        trajectories: Annotated[int, Ge(1)] = 1,
        idle_power: Annotated[float, Ge(0)] = 0.0,
        b: list[float] | None = None,
    ):
        if len(times) < 2 or min(times) <= 0:
            raise ValueError(f"times = {times}: expected at least two positive times")
        if b is not None and problem == "inv":
            raise ValueError("b: expected none, for the inverse of a matrix has no right-hand side")
        self.problem, self.matrix, self.b = problem, matrix, b
        self.tolerance = {"rtol": rtol, "probability": probability}
        self.times, self.repetitions = sorted(times), repetitions
        self.device = {"dynamics": dynamics, "idle_power": idle_power}
        self.method, self.trajectories = method, trajectories

    def run(self, key, progress: Progress) -> Record:
        keys = jax.random.split(key, 5)
        a = self.matrix.draw(keys[0])
        dim = len(a)
        b = jax.random.normal(keys[1], (dim,)) if self.b is None else jnp.asarray(self.b)
        target = np.asarray(
            jnp.linalg.solve(a, b) if self.problem == "solve" else jnp.linalg.inv(a)
        )
        results = Record()
        with progress.phase("answer", 1, "answers") as phase:
            answer = self.answer(a, b, keys[2], method=self.method, **self.tolerance,
                                 trajectories=self.trajectories)  # fmt: skip
            phase.advance(1)
        results["device"] = self.of_device(answer, target)
        results["digital"] = Record()
        results["digital"].put("products", answer.digital, "1")
        results["digital"].put("method", "conjugate gradients")
        results["convergence"] = self.convergence(a, b, target, keys[3], progress)
        reached = answer.time.averaging * self.trajectories, results["device"]["relative_error"]
        results["convergence"].put("reached", np.asarray(reached))
        if dim <= MOST:
            results["pictures"] = self.pictures(a, b, target, keys[4], progress)
        results.attributes.update(matrix=self.matrix.title, **self.tolerance)
        return results

    def answer(self, a, b, key, **how) -> tj.linalg.Answer:
        if self.problem == "solve":
            return tj.linalg.solve(a, b, key, **self.device, **how)
        return tj.linalg.inv(a, key, **self.device, **how)

    def of_device(self, answer: tj.linalg.Answer, target) -> Record:
        record, time, energy = Record(), answer.time, answer.energy
        unit = "relaxation times"
        record.put("relative_error", rounded(distance(answer.value, target)))
        record.put("time", rounded(time.total * time.relaxation), "units of time")
        record.put("equilibration", time.equilibration, unit)
        record.put("averaging", time.averaging, unit)
        record.put("relaxation", time.relaxation, "units of time")
        record.put("work", energy.work, "kT")
        record.put("heat", energy.heat, "kT")
        record.put("idle", rounded(energy.idle), "kT")
        record.put("trajectories", self.trajectories, "devices")
        record.put("products", answer.products)
        record.put("method", "exact law of the modes" if answer.decomposed else "time steps")
        record.put("value", tj.Estimate(answer.value, answer.error, answer.samples))
        return record

    def convergence(self, a, b, target, key, progress: Progress) -> Record:
        """The root mean square of the relative error at each time, and what the law says."""
        modes = modes_of(a)
        device = device_for(modes.spectrum, self.device["dynamics"], None)
        found, law = [], []
        with progress.phase("convergence", len(self.times), "times") as phase:
            for time in self.times:
                squares = []
                for own in jax.random.split(key, self.repetitions):
                    answer = self.answer(a, b, own, time=time * device.relaxation, method="exact")
                    squares.append(distance(answer.value, target) ** 2)
                mean = np.mean(squares)
                error = np.std(squares, ddof=1) / math.sqrt(len(squares))
                found.append((math.sqrt(mean), error / (2 * math.sqrt(mean))))
                if self.problem == "solve":
                    variances = average_variances(modes.values, device, time * device.relaxation)
                else:
                    apart = time * device.relaxation / answer.samples
                    variances = second_moment_variances(
                        modes.values, device, time * device.relaxation, apart
                    )
                law.append(math.sqrt(float(jnp.sum(variances))) / np.linalg.norm(target))
                phase.advance(1)
        record = Record()
        record.put("time", np.asarray(self.times), "relaxation times", ("time",))
        value, error = np.asarray(found).T
        record.put("error", tj.Estimate(value, error, self.repetitions), "1", ("time",))
        record.put("law", np.asarray(law), "1", ("time",))
        record.attributes["law"] = "the exact law"
        record.attributes["second_moment"] = self.problem == "inv"
        record.attributes["axis"] = "averaging time (relaxation times)"
        return record

    def pictures(self, a, b, target, key, progress: Progress) -> Record:
        """One device, read after averages of growing length."""
        chosen = np.unique(np.linspace(0, len(self.times) - 1, PICTURES).round().astype(int))
        times = [self.times[i] for i in chosen]
        relaxation = device_for(modes_of(a).spectrum, self.device["dynamics"], None).relaxation
        values = []
        with progress.phase("pictures", len(times), "times") as phase:
            for time in times:
                answer = self.answer(a, b, key, time=time * relaxation, method="exact")
                values.append(np.asarray(answer.value))
                phase.advance(1)
        record = Record()
        record.put("time", np.asarray(times), "relaxation times", ("picture",))
        record.put("value", np.stack(values))
        record.put("target", target)
        record.attributes["title"] = "The solution" if self.problem == "solve" else "The inverse"
        return record


def distance(value, target) -> float:
    """|value - target| / |target|, of vectors and in the Frobenius norm of matrices."""
    return float(np.linalg.norm(np.asarray(value) - target) / np.linalg.norm(target))
