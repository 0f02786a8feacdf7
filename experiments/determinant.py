"""The logarithm of a determinant by a device that goes to the matrix and back, with its bill."""

from __future__ import annotations

import warnings
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from experiments.determinant_figures import convergence, dissipation, saved, works
from experiments.linear_algebra_figures import bill, rounded
from experiments.matrices import AbstractMatrix
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.linalg.device.device import device_for
from thermojax.linalg.device.exact import modes_of
from thermojax.linalg.ramp.ramp import Ramp, best_reference

RAMPS = ("linear", "geodesic", "trained")


def answer_in_words(results: Record) -> str:
    """What the device says, and that a computer needs less."""
    facts, device = results.attributes, results["device"]
    return (
        f"{facts['matrix']}: ln det A = {facts['exact']:.6g}. A device that knows products alone "
        f"says {device['log_determinant']} after {device['time']:.4g} relaxation times. It is a "
        "simulated physical device whose time and energy are counted; a digital computer factors "
        f"the matrix exactly, in the time of {results['digital']['products']} products."
    )


def slowed(results: Record) -> str:
    """Which ramps were slower than asked for, and why."""
    return " ".join(
        f"{name}: {results[name].attributes['slowed']}."
        for name in results.attributes["columns"]
        if "slowed" in results[name].attributes
    )


class Determinant(AbstractStudy):
    """ln det A by the work of ramps from springs that are all alike to A and back.

    Each kind of ramp is taken in modes by `trajectories` devices, and the trained one by a device
    in steps that knows products of A alone. `times` are of a ramp, in relaxation times, and the
    first of them is that of the answers in modes, `time` that in steps. At each, `repetitions`
    answers of `devices` devices are compared with the law of the error, and the mean work that is
    lost there and back is found exactly for every ramp and each of `conditions`.
    """

    question = "What does the determinant of a matrix take, and what does a trained ramp save?"
    columns = ("linear", "geodesic", "trained", "device")
    headline: ClassVar[dict[str, str]] = {
        "ln det A": "log_determinant",
        "off by (standard errors)": "off",
        "lost work of a device (kT)": "dissipated",
        "time of one ramp (relaxation times)": "ramp_time",
        "how it is found": "how",
    }
    figures: ClassVar = {"works": works, "convergence": convergence, "dissipation": dissipation}
    tables: ClassVar = {"the bill": bill, "lost work there and back (kT) at equal time": saved}
    sentences: ClassVar = (answer_in_words, slowed)

    def __init__(
        self,
        matrix: AbstractMatrix,
        times: list[float],
        conditions: list[float],
        trajectories: Annotated[int, Ge(2)],
        devices: Annotated[int, Ge(2)],
        repetitions: Annotated[int, Ge(8)],
        steps_time: Annotated[float, Gt(0)],
        steps_trajectories: Annotated[int, Ge(2)],
        dynamics: Literal["overdamped", "underdamped"] = "overdamped",
        idle_power: Annotated[float, Ge(0)] = 0.0,
    ):
        for name, given, least in (("times", times, 0.0), ("conditions", conditions, 1.0)):
            if len(given) < 2 or sorted(given) != given or given[0] <= least:
                raise ValueError(
                    f"{name} = {given}: expected two or more above {least:g}, each above the last"
                )
        self.matrix, self.times, self.conditions = matrix, times, conditions
        self.trajectories, self.devices, self.repetitions = trajectories, devices, repetitions
        self.steps_time, self.steps_trajectories = steps_time, steps_trajectories
        self.device = {"dynamics": dynamics, "idle_power": idle_power}

    def run(self, key, progress: Progress) -> Record:
        keys = jax.random.split(key, 4)
        a = self.matrix.draw(keys[0])
        exact = float(np.linalg.slogdet(np.asarray(a))[1])
        relaxation = device_for(modes_of(a).spectrum, self.device["dynamics"], None).relaxation
        results = Record()
        with progress.phase("answers", 4, "answers") as phase:
            for name in RAMPS:
                how = {"ramp": name, "trajectories": self.trajectories}
                time = self.times[0] * relaxation
                answer, why = self.answer(a, keys[1], time=time, **how)
                results[name] = self.of_answer(answer, why, exact)
                put_works(results[name], answer, a)
                phase.advance(1)
            product = lx.FunctionLinearOperator(
                lambda x: a @ x, jax.ShapeDtypeStruct(a[0].shape, a.dtype)
            )
            how = {"ramp": "trained", "trajectories": self.steps_trajectories}
            answer, why = self.answer(product, keys[2], time=self.steps_time * relaxation, **how)
            results["device"] = self.of_answer(answer, why, exact)
            phase.advance(1)
        results["digital"] = Record()
        results["digital"].put("products", -(-len(a) // 6), "1")
        results["digital"].put("method", "Cholesky factors, dim^3 / 3 flops")
        results["convergence"] = self.convergence(a, exact, relaxation, keys[3], progress)
        results["dissipation"] = self.dissipation(len(a), progress)
        results.attributes.update(matrix=self.matrix.title, exact=exact)
        return results

    def answer(self, a, key, **how) -> tuple[tj.linalg.Answer, str]:
        """The answer, and why its ramps are slower than asked for."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answer = tj.linalg.logdet(a, key, **self.device, **how)
        return answer, "; ".join(str(warning.message) for warning in caught)

    def of_answer(self, answer: tj.linalg.Answer, why: str, exact: float) -> Record:
        record, time, energy = Record(), answer.time, answer.energy
        assert answer.ramps is not None
        found = tj.Estimate(answer.value, answer.error, answer.samples)
        off = (float(answer.value) - exact) / float(answer.error)
        record.put("log_determinant", found, "1")
        record.put("off", f"{off:+.1f}")
        record.put("dissipated", answer.ramps.dissipated, "kT")
        record.put("ramp_time", rounded(time.averaging / 2), "relaxation times")
        record.put("how", "exact moves" if answer.decomposed else "time steps")  # fmt: skip
        record.put("time", time.total, "relaxation times")
        record.put("equilibration", time.equilibration, "relaxation times")
        record.put("averaging", time.averaging, "relaxation times")
        record.put("relaxation", time.relaxation, "units of time")
        record.put("work", energy.work, "kT, of all devices")
        record.put("heat", energy.heat, "kT, of all devices")
        record.put("idle", energy.idle, "kT, of all devices")
        record.put("products", answer.products, "1")
        record.put("method", record["how"])
        if why:
            record.attributes["slowed"] = why
        return record

    def convergence(self, a, exact, relaxation, key, progress: Progress) -> Record:
        """The root mean square error at each time, over repetitions, and what the law says."""
        found, law, taken = [], [], []
        ramp = ramp_to(np.linalg.eigvalsh(np.asarray(a)), self.device["dynamics"])
        with progress.phase("convergence", len(self.times), "times") as phase:
            for time in self.times:
                count = self.repetitions * self.devices
                answer, _ = self.answer(a, key, time=time * relaxation, trajectories=count)
                off = answers_of_groups(answer, self.repetitions, len(a)) - exact
                mean, spread = np.mean(off**2), np.std(off**2, ddof=1)
                error = spread / np.sqrt(self.repetitions) / (2 * np.sqrt(mean))
                found.append((np.sqrt(mean), error))
                taken.append(answer.time.averaging / 2)
                lost = float(ramp.dissipated(ramp.geodesic(taken[-1] * relaxation)))
                law.append(np.sqrt(2 * lost / self.devices))
                phase.advance(1)
        record, (value, error) = Record(), np.asarray(found).T
        record.put("time", np.asarray(taken), "relaxation times", ("time",))
        record.put("error", tj.Estimate(value, error, self.repetitions), "1", ("time",))
        record.put("law", np.asarray(law), "1", ("time",))
        record.attributes["devices"] = self.devices
        return record

    def dissipation(self, dim: int, progress: Progress) -> Record:
        """The work that each ramp loses at each time, exactly, for spectra in equal ratios."""
        record = Record()
        record.put("time", np.asarray(self.times), "relaxation times", ("time",))
        record.put("condition", np.asarray(self.conditions), "1", ("condition",))
        lost = {name: np.zeros((len(self.conditions), len(self.times))) for name in RAMPS}
        with progress.phase("lost work", lost["linear"].size, "ramps") as phase:
            for i, condition in enumerate(self.conditions):
                ramp = ramp_to(np.geomspace(1 / condition, 1, dim), self.device["dynamics"])
                slowest = 1 / condition
                unit = slowest**-0.5 if self.device["dynamics"] == "underdamped" else 1 / slowest
                for j, time in enumerate(self.times):
                    for name in RAMPS:
                        shape = getattr(ramp, name)(time * unit)
                        lost[name][i, j] = float(ramp.dissipated(shape))
                        if i == len(self.conditions) - 1 and j == 0:
                            place = np.linspace(0, 1, 201)
                            at = jax.vmap(shape)(jnp.asarray(place * time * unit))
                            record.put(f"{name}_shape", np.asarray(at), "1", ("place",))
                    phase.advance(1)
        for name, values in lost.items():
            record.put(name, values, "kT", ("condition", "time"))
        record.attributes["dim"] = dim
        return record


def answers_of_groups(answer: tj.linalg.Answer, groups: int, dim: int) -> np.ndarray:
    """ln det A by each of equal groups of the devices of an answer."""
    ramps = answer.ramps
    assert ramps is not None
    pairs = zip(*(jnp.split(w, groups) for w in (ramps.forward, ramps.reverse)), strict=True)
    ratios = [tj.free_energy.bar(-there, -back).log_ratio.value for there, back in pairs]
    return dim * np.log(ramps.reference) - 2 * np.asarray(ratios)


def put_works(record: Record, answer: tj.linalg.Answer, a) -> None:
    """The works of both ways, and the free energy between them, from the determinant itself."""
    ramps = answer.ramps
    assert ramps is not None
    record.put("works_to", np.asarray(ramps.forward), "kT", ("device",))
    record.put("works_from", np.asarray(ramps.reverse), "kT", ("device",))
    exact = np.linalg.slogdet(np.asarray(a))[1] - len(a) * np.log(ramps.reference)
    record.put("free_energy", float(exact / 2), "kT")


def ramp_to(values: np.ndarray, dynamics: str) -> Ramp:
    """The way from the best reference to these stiffnesses, of the device that relaxes fastest."""
    ones = np.ones(len(values))
    low = float(values.min())
    bath = tj.Bath(friction=2 * np.sqrt(low)) if dynamics == "underdamped" else tj.Bath()
    reference = jnp.asarray(best_reference(values, ones))
    return Ramp(jnp.asarray(values), jnp.asarray(ones), reference, bath, dynamics)  # pyright: ignore[reportArgumentType]
