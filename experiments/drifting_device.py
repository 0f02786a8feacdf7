"""Lyapunov equations and exponentials by a device whose drift is no gradient, with its bill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Lt

import thermojax as tj
from experiments.linear_algebra_figures import bill, convergence, pictures, rounded
from experiments.matrices import AbstractMatrix
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy


@dataclass(frozen=True)
class Watching:
    """Averages of growing length, on `devices` devices each; the first is drawn at `pictures`."""

    times: list[float]
    pictures: list[float]
    devices: Annotated[int, Ge(4)]

    def __post_init__(self):
        if sorted(set(self.times)) != self.times or not self.times or self.times[0] <= 0:
            raise ValueError(f"times = {self.times}: expected positive times, each above the last")
        if not set(self.pictures) <= set(self.times) or not self.pictures:
            raise ValueError(f"pictures = {self.pictures}: expected some of times = {self.times}")


@dataclass(frozen=True)
class Asking:
    """One answer: as near as `rtol` with a probability, by so many devices side by side."""

    rtol: Annotated[float, Gt(0), Lt(1)]
    probability: Annotated[float, Gt(0), Lt(1)]
    trajectories: Annotated[int, Gt(0)]
    method: str = "steps"


class Question(NamedTuple):
    """A problem, its answer, and the root mean square error of a time and a number of samples."""

    ask: Callable[..., tj.linalg.Answer]
    title: str
    target: np.ndarray
    law: Callable[[float, int], float]
    law_in_words: str
    digital: str


def answer_in_words(results: Record) -> str:
    """How near the device came in which time, and that a computer needs less."""
    device, digital, facts = results["device"], results["digital"], results.attributes
    return (
        f"{facts['title']}: the device has the answer with a relative error of "
        f"{device['relative_error']:.2g} (asked for: {facts['rtol']:g} with probability "
        f"{facts['probability']:g}) after a time of {device['time']:.4g} on each of "
        f"{device['trajectories']} devices, at a work of {device['work']} kT in all. It is a "
        "simulated physical device; a digital computer has the answer to rounding by "
        f"{digital['method']}, in the time of {digital['products']:,} products of A with a vector."
    )


class Lyapunov(AbstractStudy):
    """The stationary covariance S of a drift A in noise of the power R: A S + S A^T = R."""

    question = "How long must a device be watched until its covariance solves a Lyapunov equation?"
    columns = ("device", "digital")
    headline: ClassVar[dict[str, str]] = {
        "relative error": "relative_error",
        "devices side by side": "trajectories",
        "time of each (units of time)": "time",
        "work (kT)": "work",
        "heat (kT)": "heat",
        "products of A with a vector": "products",
        "by": "method",
    }
    figures: ClassVar = {"pictures": pictures, "convergence": convergence}
    tables: ClassVar = {"The time of a device": bill}
    sentences: ClassVar = (answer_in_words,)

    def __init__(
        self,
        matrix: AbstractMatrix,
        noise: Annotated[float, Gt(0)],
        watching: Watching,
        answer: Asking,
    ):
        self.matrix, self.noise, self.watching, self.answer = matrix, noise, watching, answer

    def run(self, key, progress: Progress) -> Record:
        from scipy.linalg import expm, solve_continuous_lyapunov

        draw, key = jax.random.split(key)
        a = self.matrix.draw(draw)
        s = solve_continuous_lyapunov(np.asarray(a), self.noise * np.eye(len(a)))

        def law(time, samples):
            decay = expm(-np.asarray(a) * time / samples)
            return np.sqrt(mean_square(decay, s, samples, lag=0))

        question = Question(
            lambda key, **settings: tj.linalg.lyapunov(a, self.noise, key, **settings),
            f"The solution S of A S + S A^T = {self.noise:g}, A {self.matrix.title}",
            s,
            law,
            "that of a Gaussian process, from e^(-A t) S",
            "Schur forms",
        )
        return answered(question, self.watching, self.answer, key, progress)


class Exponential(AbstractStudy):
    """The memory of a device with the drift A - c in noise of the power 2 c - A - A^T: e^A."""

    question = "How long must a device be watched until its memory is the exponential of a matrix?"
    columns = ("device", "digital")
    headline: ClassVar[dict[str, str]] = Lyapunov.headline
    figures: ClassVar = {"pictures": pictures, "convergence": convergence}
    tables: ClassVar = {"The time of a device": bill}
    sentences: ClassVar = (answer_in_words,)

    def __init__(self, matrix: AbstractMatrix, shift: float, watching: Watching, answer: Asking):
        self.matrix, self.shift = matrix, shift
        self.watching, self.answer = watching, answer

    def run(self, key, progress: Progress) -> Record:
        from scipy.linalg import expm

        draw, key = jax.random.split(key)
        a = self.matrix.draw(draw)
        eye, target = np.eye(len(a)), expm(np.asarray(a))
        decay = np.exp(-self.shift) * target

        def law(time, samples):
            return np.exp(self.shift) * np.sqrt(mean_square(decay, eye, samples, lag=1))

        question = Question(
            lambda key, **settings: tj.linalg.expm(a, key, shift=self.shift, **settings),
            f"e^A, A {self.matrix.title}",
            target,
            law,
            "c / sqrt(N), c from e^A and N = T samples, with what few of them miss",
            "Padé approximants",
        )
        return answered(question, self.watching, self.answer, key, progress)


def mean_square(decay: np.ndarray, s: np.ndarray, samples: int, lag: int) -> float:
    """E|C - E C|_F^2 of the mean C of x_(n+lag) x_n^T over successive samples.

    (1/N) sum_k (1 - |k|/N) [(tr C_k)^2 + tr C_(k+lag) C_(k-lag)], C_k = decay^k S, C_-k = C_k^T.
    """
    covariances = [s]
    while len(covariances) < samples + lag and np.linalg.norm(covariances[-1]) > 1e-9:
        covariances.append(decay @ covariances[-1])
    terms = min(samples, len(covariances))
    covariances += [0 * s] * lag
    at = lambda k: covariances[k] if k >= 0 else covariances[-k].T
    total = 0.0
    for k in range(terms):
        term = np.trace(at(k)) ** 2 + np.trace(at(k + lag) @ at(k - lag))
        total += (1 if k == 0 else 2) * (1 - k / samples) * term
    return float(total / samples)


def answered(
    question: Question, watching: Watching, asking: Asking, key, progress: Progress
) -> Record:
    """The pictures, the errors over devices, and the answer with its bill."""
    results, size = Record(), float(np.linalg.norm(question.target))
    drawn, found, samples = [], [], 1
    first, *keys = jax.random.split(key, watching.devices + 1)
    with progress.phase("watching", len(watching.times), "times") as phase:
        for time in watching.times:
            answers = [question.ask(k, time=time, method="exact") for k in keys]
            if time in watching.pictures:
                drawn.append(np.asarray(answers[0].value))
            off = np.stack([np.linalg.norm(x.value - question.target) for x in answers]) / size
            found.append((np.sqrt(np.mean(off**2)), np.std(off**2, ddof=1), watching.devices))
            samples = answers[0].samples
            phase.advance(1)
    results["pictures"] = Record()
    results["pictures"].put("time", np.asarray(watching.pictures), "units of time", ("time",))
    results["pictures"].put("value", np.stack(drawn), "1", ("time", "row", "column"))
    results["pictures"].put("target", question.target, "1", ("row", "column"))
    results["pictures"].attributes["title"] = question.title
    with progress.phase("answer", 1, "answers") as phase:
        settings = {"rtol": asking.rtol, "probability": asking.probability}
        settings |= {"trajectories": asking.trajectories, "method": asking.method}
        answer = question.ask(first, **settings)
        phase.advance(1)
    results["device"], results["digital"] = bill_records(answer, asking, question)
    last, took = watching.times[-1], answer.time.averaging * answer.time.relaxation
    took *= asking.trajectories
    at = np.geomspace(watching.times[0], max(last, took), 24)
    laws = [question.law(t, round(samples * t / last)) / size for t in at]
    results["convergence"] = convergence_record(watching.times, found, at, laws)
    results["convergence"].attributes["law"] = question.law_in_words
    results["convergence"].attributes["second_moment"] = True
    reached = np.asarray([took, results["device"]["relative_error"]])
    results["convergence"].put("reached", reached)
    results.attributes.update(
        title=question.title, rtol=asking.rtol, probability=asking.probability
    )
    return results


def convergence_record(times, found, law_times, laws) -> Record:
    """Root mean squares over devices, the error of each from the scatter of the squares."""
    record = Record()
    rms, spread, count = (np.asarray(x, float) for x in zip(*found, strict=True))
    error = spread / np.sqrt(count) / (2 * rms)
    record.put("time", np.asarray(times, float), "time", ("time",))
    record.put("error", tj.Estimate(rms, error, count), "1", ("time",))
    record.put("law_time", np.asarray(law_times, float), "time", ("law_time",))
    record.put("law", np.asarray(laws), "1", ("law_time",))
    return record


def bill_records(
    answer: tj.linalg.Answer, asking: Asking, question: Question
) -> tuple[Record, Record]:
    """What the device has taken, and what a computer takes for an answer to rounding."""
    device, digital = Record(), Record()
    time = answer.time
    off = float(jnp.linalg.norm(answer.value - question.target))
    device.put("relative_error", rounded(off / float(np.linalg.norm(question.target))))
    device.put("trajectories", asking.trajectories, "devices")
    device.put("time", rounded(time.total * time.relaxation), "units of time")
    device.put("equilibration", time.equilibration, "relaxation times")
    device.put("averaging", time.averaging, "relaxation times")
    device.put("relaxation", time.relaxation, "units of time")
    for name in ("work", "heat"):
        found = getattr(answer.energy, name)
        # The stationary power of an exponential's device is known from its drift, without error.
        device.put(name, found if found.error > 0 else f"{found.value:,.0f}", "kT")
    device.put("method", "time steps")
    device.put("products", answer.products, "1")
    digital.put("method", question.digital)
    digital.put("products", answer.digital, "1")
    return device, digital
