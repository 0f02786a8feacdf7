"""A device with imperfections: how its error falls with time, where it stops, what lowers that."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Lt

import thermojax as tj
from experiments.imperfect_device_figures import KINDS, doubtful, mitigation, through_time
from experiments.imperfect_device_figures import gain as said_gain
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.optimization.frontier import stacked

REMEDIES = ("one device", "copies", "extrapolated", "nearest", "random")


def coupled(dimension: int, condition: float, signal: float, key):
    """A matrix with eigenvalues spread evenly over the logarithm from 1 to `condition`, and a b.

    The entries of b are normal, of standard deviation `signal`, so that those of A^-1 b are on
    average `signal` times as large as the thermal motion of the modes.
    """
    keys = jax.random.split(key)
    turn, _ = jnp.linalg.qr(jax.random.normal(keys[0], (dimension, dimension)))
    values = jnp.geomspace(1.0, condition, dimension)
    return (turn * values) @ turn.T, signal * jax.random.normal(keys[1], (dimension,))


def relative(squares: np.ndarray, size: float) -> tj.Estimate:
    """The root of a mean of squared errors in units of the answer, by the delta method."""
    root = np.sqrt(squares.mean())
    error = squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * root) if len(squares) > 1 else np.nan
    return tj.Estimate(root / size, error / size, len(squares))


class Point(NamedTuple):
    """The error of a device after one time, measured and predicted.

    - `products`: of conjugate gradients for the thermal part of it. `wait`: the equilibration.
    """

    error: tj.Estimate
    predicted: float
    products: int
    wait: float

    def numbers(self) -> np.ndarray:
        """All of it, in the order in which `of` reads it."""
        error = self.error
        return np.array([error.value, error.error, error.count, *self[1:]], float)

    @classmethod
    def of(cls, numbers: np.ndarray) -> Point:
        value, error, count, predicted, products, wait = map(float, numbers)
        return cls(tj.Estimate(value, error, int(count)), predicted, int(products), wait)


class ImperfectDevice(AbstractStudy):
    r"""The error of `tj.linalg.solve` on devices with one imperfection each, and its mitigation.

    Every point is the root mean square error of many devices, each programmed on its own; beside it
    stands what is predicted: the law of a perfect device, sqrt(2 kT gamma / T) A^-1, and the floor
    of `tj.linalg.floor`. Lengths are in units of the answer's typical entry, |x| / sqrt(dim), times
    in relaxation times.
    """

    question = "What do the imperfections of a device cost, and what is gained by working on them?"
    columns = KINDS
    headline: ClassVar[dict[str, str]] = {
        "error at the longest time": "last",
        "predicted": "last_predicted",
        "least error of all times": "least",
        "at the time": "least_time",
    }
    figures: ClassVar = {"through_time": through_time, "mitigation": mitigation}
    sentences: ClassVar = (said_gain,)
    doubts: ClassVar = (doubtful,)

    def __init__(
        self,
        dimension: Annotated[int, Ge(2)],
        condition: Annotated[float, Ge(1)],
        signal: Annotated[float, Gt(0)],
        component_error: Annotated[float, Gt(0), Lt(1)],
        input_bits: Annotated[int, Ge(2)],
        flicker_noise: Annotated[float, Gt(0)],
        flicker_band: list[float],
        drift: Annotated[float, Gt(0)],
        times: list[float],
        devices: Annotated[int, Ge(8)],
        large_error: Annotated[float, Gt(0), Lt(1)],
        few_bits: Annotated[int, Ge(2)],
        time: Annotated[float, Gt(0)],
        copies: list[int],
        pool: Annotated[int, Ge(8)],
    ):
        if len(flicker_band) != 2:
            raise ValueError(f"flicker_band has {len(flicker_band)} numbers: expected two rates")
        if len(times) < 2 or sorted(times) != times or times[0] <= 0:
            raise ValueError(f"times = {times}: expected two or more positive times, ascending")
        if not copies or min(copies) < 1 or max(copies) > pool // 12:
            raise ValueError(
                f"copies = {copies}: expected numbers of 1 to pool / 12 = {pool // 12}"
            )
        self.problem = dimension, condition, signal
        self.components = {"component_error": component_error}
        self.rounding = {"input_bits": input_bits}
        self.flicker = {"flicker_noise": flicker_noise, "flicker_band": tuple(flicker_band)}
        self.drift = {"drift": drift}
        self.times, self.devices = times, devices
        self.large_error, self.few_bits = large_error, few_bits
        self.time, self.copies, self.pool = time, copies, pool
        self.imperfections(1.0)

    def imperfections(self, entry: float) -> dict[str, tj.linalg.Imperfections]:
        """One device for each column; `entry`, the length that stands for 1."""
        lengths = {"flicker_noise", "drift"}
        kinds = ({}, self.components, self.rounding, self.flicker, self.drift)
        of = lambda kind: {k: v * entry if k in lengths else v for k, v in kind.items()}
        made = [tj.linalg.Imperfections(**of(kind)) for kind in kinds]
        return dict(zip(KINDS, made, strict=True))

    def run(self, key, progress: Progress) -> Record:
        keys = jax.random.split(key, 3)
        A, b = coupled(*self.problem, keys[0])
        x = np.linalg.solve(A, b)
        entry = float(np.linalg.norm(x) / np.sqrt(len(x)))
        results = Record()
        kinds = self.imperfections(entry)
        with progress.phase("imperfections", len(kinds) * len(self.times), "solved") as phase:
            many, each = len(self.times), list(kinds.values())

            def numbers(k: int) -> np.ndarray:
                i, j = divmod(k, many)
                own = jax.random.fold_in(jax.random.fold_in(keys[1], i), j)
                return self.measured(A, b, x, each[i], self.times[j], own).numbers()

            points = [Point.of(x) for x in phase.kept(len(each) * many, numbers)]
            for i, (name, given) in enumerate(kinds.items()):
                results[name] = of_times(self.times, points[i * many : (i + 1) * many])
                lasting = np.asarray(tj.linalg.floor(A, b, imperfections=given))
                results[name].put("floor", float(np.linalg.norm(lasting) / np.linalg.norm(x)))
        with progress.phase("mitigation", len(REMEDIES), "measured") as phase:
            results["mitigation"] = self.mitigated(A, b, x, keys[2], phase)
        results.attributes["dimension"], results.attributes["condition"] = self.problem[:2]
        return results

    def measured(self, A, b, x, given, time: float, key) -> Point:
        found = tj.linalg.solve(A, b, key, time=time, imperfections=given, copies=self.devices)
        squares = np.sum((np.asarray(found.copies) - x) ** 2, axis=1)
        law, floor = np.asarray(found.error) ** 2 * self.devices, floor_of(A, b, given, found, 1)
        size = float(np.linalg.norm(x))
        return Point(
            relative(squares, size),
            float(np.sqrt(np.sum(floor**2 + law)) / size),
            found.digital,
            found.time.equilibration * found.time.relaxation,
        )

    def mitigated(self, A, b, x, key, phase) -> Record:
        """Means over copies from one pool of them, against the device time that they take."""
        record, size = Record(), float(np.linalg.norm(x))
        components = tj.linalg.Imperfections(component_error=self.large_error)
        rounded = {
            rounding: tj.linalg.Imperfections(input_bits=self.few_bits, rounding=rounding)
            for rounding in ("nearest", "random")
        }
        given = (components, components, components, *rounded.values())

        def numbers(i: int) -> np.ndarray:
            """Device time, error with its error and count, and prediction, for each number."""
            name, imperfections = REMEDIES[i], given[i]
            own, extrapolate = jax.random.fold_in(key, i), name == "extrapolated"
            if name == "one device":
                times = np.array(self.copies) * self.time
                times = times[times <= self.times[-1]]  # it stays where it is
                at = [
                    self.measured(A, b, x, imperfections, t, jax.random.fold_in(own, j))
                    for j, t in enumerate(times)
                ]
                cost = times + at[0].wait
                errors, predicted = (
                    stacked([p.error for p in at]),
                    np.array([p.predicted for p in at]),
                )
            else:
                count = self.pool // 3 if extrapolate else self.pool
                found = tj.linalg.solve(
                    A, b, own, time=self.time, imperfections=imperfections, copies=count,
                    extrapolate=extrapolate,
                )  # fmt: skip
                cost = found.time.total * found.time.relaxation * np.array(self.copies)
                cost = cost * (3 if extrapolate else 1)
                off, law = np.asarray(found.copies) - x, np.asarray(found.error) ** 2 * count
                errors, predicted = [], []
                for copies in self.copies:
                    groups = off[: count // copies * copies].reshape(-1, copies, len(x)).mean(1)
                    errors.append(relative(np.sum(groups**2, axis=1), size))
                    floor = floor_of(A, b, imperfections, found, copies, extrapolate)
                    predicted.append(np.sqrt(np.sum(floor**2 + law / copies)) / size)
                errors, predicted = stacked(errors), np.array(predicted)
            return np.stack([cost, errors.value, errors.error, errors.count, predicted])

        for name, found in zip(REMEDIES, phase.kept(len(REMEDIES), numbers), strict=True):
            cost, value, error, count, predicted = found
            errors = tj.Estimate(value, error, count.astype(int))
            record[name] = own_record = Record()
            own_record.put("device_time", cost, "relaxation times", ("copies",))
            own_record.put("error", errors, "of the answer", ("copies",))
            own_record.put("predicted", predicted, "of the answer", ("copies",))
        record.put("counts", np.array(self.copies), "1", ("copies",))
        record.put("component_error", self.large_error, "1")
        record.put("input_bits", self.few_bits, "1")
        return record


def floor_of(A, b, given, found, copies: int, extrapolate: bool = False) -> np.ndarray:
    unit = found.time.relaxation
    floor = tj.linalg.floor(
        A, b, imperfections=given, time=found.time.averaging * unit,
        wait=found.time.equilibration * unit, copies=copies, extrapolate=extrapolate,
    )  # fmt: skip
    return np.asarray(floor)


def of_times(times: list[float], points: list[Point]) -> Record:
    """The record of one device: its errors through time, and the headline of the longest."""
    record = Record()
    errors = stacked([point.error for point in points])
    predicted = np.array([point.predicted for point in points])
    record.put("time", np.array(times), "relaxation times", ("time",))
    record.put("error", errors, "of the answer", ("time",))
    record.put("predicted", predicted, "of the answer", ("time",))
    record.put("products", points[-1].products, "products")
    record.put("last", points[-1].error, "of the answer")
    record.put("last_predicted", float(predicted[-1]), "of the answer")
    least = int(np.argmin(np.asarray(errors.value)))
    record.put("least", points[least].error, "of the answer")
    record.put("least_time", times[least], "relaxation times")
    return record
