"""A matrix inverted by a device in a given time: energy, delay, and what the answer lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt
from jax.flatten_util import ravel_pytree

import thermojax as tj
from experiments.driven_inversion_figures import (
    against_the_least,
    covariance_through_time,
    energy_delay_deficiency,
    film,
    nearest_to_the_least,
    slow_mode_start,
    slow_mode_table,
)
from experiments.slow_mode_start import slow_mode_records
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy

STEERINGS = ("waiting", "ramp", "trained", "transport")
KNOTS = 8  # of a trained schedule, as of all others: one program follows them
EXACT = ("dissipation", "deficiency", "bias", "exact_work", "least", "bound")
PICTURES = 25  # snapshots of the covariance
LINE = 40  # points of a curve
LEVELS = (1e-3, 1e-2, 0.1, 1.0)  # deficiencies that transport is asked to leave, in kT
ROUNDING = 1e-10  # of the moment equations, in kT
SHORTEST, LONGEST = 0.03, 30.0  # durations of the curves, in relaxation times


@dataclass(frozen=True)
class SlowModes:
    """The matrices and the products of the comparison of starts."""

    dimension: Annotated[int, Ge(8)]
    conditions: list[float]
    products: list[int]


class DrivenInversion(AbstractStudy):
    r"""The covariance of a device becomes kT A^-1 within a given delay: waited for, or steered.

    Four ways to go from uncoupled springs to the couplings of A: a sudden switch and waiting, a
    ramp, a schedule that was trained on the ends of the spectrum alone, and optimal transport,
    whose author knows the answer. Each has a dissipation kT Sigma and a deficiency, what the final
    law lacks; kT Sigma times the delay is never below a function of the deficiency alone.

    Beside it, the start of a device with its slowest modes set beforehand, from a few products.

    Times are in relaxation times gamma / lambda_min, and lambda_min is one.
    """

    question = "What does it cost to invert a matrix in a given time, and how right is the answer?"
    columns = STEERINGS
    figures: ClassVar = {
        "covariance": covariance_through_time,
        "energy_delay_deficiency": energy_delay_deficiency,
        "slow_mode_start": slow_mode_start,
    }
    tables: ClassVar = {
        "Energy x delay, and the least for the same deficiency": against_the_least,
        "Relaxation times until a thousandth is left of the start": slow_mode_table,
    }
    film = film
    sentences: ClassVar = (nearest_to_the_least,)
    doubts: ClassVar = ()

    def __init__(
        self,
        dimension: Annotated[int, Ge(2)],
        condition: Annotated[float, Gt(1)],
        delays: list[float],
        weights: list[float],
        trajectories: Annotated[int, Ge(100)],
        time_steps: Annotated[int, Ge(10)],
        training_steps: Annotated[int, Gt(0)],
        slow_modes: SlowModes,
    ):
        for name, values in (("delays", delays), ("weights", weights)):
            if not values or min(values) <= 0 or sorted(set(values)) != values:
                raise ValueError(f"{name} = {values}: expected positive numbers in ascending order")
        if min(slow_modes.conditions, default=0) <= 1 or not slow_modes.products:
            raise ValueError("slow_modes: expected conditions above 1 and numbers of products")
        self.dimension, self.condition = dimension, condition
        self.delays, self.weights = delays, weights
        self.trajectories, self.time_steps = trajectories, time_steps
        self.training_steps, self.slow_modes = training_steps, slow_modes
        self.headline = {
            f"{what}, delay {x:g}": f"{name}_{i}"
            for i, x in enumerate(delays)
            for name, what in (
                ("dissipation", "kT Σ"),
                ("deficiency", "deficiency"),
                ("work", "work of the paths"),
                ("exact_work", "work, exact"),
            )
        }

    def run(self, key, progress: Progress) -> Record:
        matrix_key, path_key, slow_key = jax.random.split(key, 3)
        values = np.geomspace(1.0, self.condition, self.dimension)
        matrix = rotated(values, matrix_key)
        results = Record()
        results["matrix"] = Record()
        results["matrix"].put("matrix", matrix, "energy/length^2", ("row", "column"))
        results["matrix"].put("inverse", np.linalg.inv(matrix), "1", ("row", "column"))
        schedules = self.train(progress)
        driven = self.steer(matrix, schedules, path_key, results, progress)
        results["through"] = self.pictures(driven)
        results["curves"] = self.curves(matrix, schedules)
        with progress.phase("slow modes", len(self.slow_modes.conditions), "conditions") as phase:
            results["slow_modes"] = slow_mode_records(self.slow_modes, slow_key, phase)
        return results

    def train(self, progress: Progress) -> dict:
        """A schedule for every delay and weight: (delay, weight) -> protocol."""
        each = [(delay, weight) for delay in self.delays for weight in self.weights]

        def trained(i: int) -> np.ndarray:
            delay, weight = each[i]
            schedule = tj.linalg.trained_steering(
                1.0,
                self.condition,
                duration=delay,
                weight=weight,
                knots=KNOTS,
                steps=self.training_steps,
            )
            return np.asarray(ravel_pytree(schedule)[0])

        def schedule(delay: float, numbers: np.ndarray) -> tj.PiecewiseLinear:
            like = tj.PiecewiseLinear.between([1.0, 0.0, 0.0], [0.0, 1.0, 1.0], delay, KNOTS)
            return ravel_pytree(like)[1](jnp.asarray(numbers))

        with progress.phase("schedules", len(each), "trained") as phase:
            kept = phase.kept(len(each), trained)
        return {key: schedule(key[0], numbers) for key, numbers in zip(each, kept, strict=True)}

    def steer(self, matrix, schedules, key, results: Record, progress: Progress) -> dict:
        """Each steering at each delay, exactly and by paths; the devices of the middle delay."""
        each = [(name, i) for name in STEERINGS for i in range(len(self.delays))]

        def device_of(name: str, i: int) -> tj.linalg.Driven:
            delay = self.delays[i]
            how = schedules[delay, self.weights[-1]] if name == "trained" else name
            return tj.linalg.driven(matrix, duration=delay, steering=how, times=PICTURES)

        def numbers(k: int) -> np.ndarray:
            name, i = each[k]
            device, delay = device_of(name, i), self.delays[i]
            own = jax.random.fold_in(key, 10 * STEERINGS.index(name) + i)
            dt = delay / self.time_steps
            out = tj.simulate(device.system, own, dt=dt, batch=self.trajectories)
            work = out.mean(out.ledger.total_work)
            exact = (
                device.dissipation,
                beyond_rounding(device.deficiency),
                beyond_rounding(device.bias),
                device.work,
                least(matrix, device.deficiency) / delay,
                device.bound,
            )
            return np.array([*exact, work.value, work.error, work.count], float)

        with progress.phase("steering", len(each), "runs") as phase:
            kept = phase.kept(len(each), numbers)
        for (name, i), found in zip(each, kept, strict=True):
            record = results.setdefault(name, Record())
            *exact, value, error, count = map(float, found)
            for what, number in zip(EXACT, exact, strict=True):
                record.put(f"{what}_{i}", number, "1" if what == "bias" else "kT")
            record.put(f"work_{i}", tj.Estimate(value, error, int(count)), "kT")
        return {name: device_of(name, len(self.delays) // 2) for name in STEERINGS}

    def pictures(self, driven: dict) -> Record:
        """The covariance of each steering through the middle delay, over kT."""
        record = Record()
        first = next(iter(driven.values()))
        record.put("time", np.asarray(first.law.times), "relaxation times", ("time",))
        for name, device in driven.items():
            record.put(name, np.asarray(device.law.covariance), "1", ("time", "row", "column"))
        return record

    def curves(self, matrix, schedules) -> Record:
        """What the surface is drawn from: the least, and each steering over many durations."""
        record = Record()
        idle = tj.linalg.driven(matrix, duration=1e-3, steering="ramp", times=PICTURES).deficiency
        line = np.geomspace(1e-4, idle, 200)
        record.put("deficiency", line, "kT", ("line",))
        record.put("least", np.asarray(tj.linalg.energy_delay(matrix, line)), "kT time", ("line",))
        record.put("delay", np.asarray(self.delays), "relaxation times", ("delay",))
        durations = np.geomspace(SHORTEST, LONGEST, LINE)
        for name in ("waiting", "ramp"):
            devices = [
                tj.linalg.driven(matrix, duration=x, steering=name, times=PICTURES)
                for x in durations
            ]
            put_points(record, name, devices)
        trained = [dict(duration=x, steering=how) for (x, _), how in schedules.items()]
        levels = [x for x in LEVELS if x < idle]
        transport = [
            dict(duration=x, steering="transport", deficiency=level)
            for x in self.delays
            for level in levels
        ]
        for name, options in (("trained", trained), ("transport", transport)):
            devices = [tj.linalg.driven(matrix, times=PICTURES, **how) for how in options]  # pyright: ignore[reportArgumentType]  # a dict has one type for all
            put_points(record, name, devices)
        return record


def put_points(record: Record, name: str, devices: list) -> None:
    """Delay, deficiency and dissipation of devices."""
    for what, of in (
        ("delay", lambda device: device.duration),
        ("deficiency", lambda device: device.deficiency),
        ("dissipation", lambda device: device.dissipation),
    ):
        units = "relaxation times" if what == "delay" else "kT"
        record.put(f"{name}_{what}", np.array([of(x) for x in devices]), units, (name,))


def beyond_rounding(value: float) -> float:
    """A number that is not negative, and zero where it is what the moment equations round to."""
    return value if value > ROUNDING else 0.0


def least(matrix, deficiency: float) -> float:
    return float(tj.linalg.energy_delay(matrix, max(deficiency, 0.0)))


def rotated(values: np.ndarray, key) -> np.ndarray:
    """A symmetric matrix of these eigenvalues and random eigenvectors."""
    vectors = np.linalg.qr(np.asarray(jax.random.normal(key, (len(values),) * 2, jnp.float64)))[0]
    return (vectors * values) @ vectors.T
